"""Keeps leases alive and notices their end, for threads: one scheduler per process.

One thread keeps time and never does anything that can block; it calls `on_lost` and hands due renewals to one more
thread per client, so that a silent server delays neither a loss nor another server's renewals. Both threads end
when they have nothing to do.

It refuses to keep a lease alive whose handle nobody has any more, or whose thread has ended.
"""

import heapq
import itertools
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from palaver.lock.lease import Step

if TYPE_CHECKING:
    from palaver.lock.sync import Lease

IDLE_SECONDS = 5.0
"""How long a thread without work stays, so that a busy loop of short leases starts none."""


class _Sender:
    """Sends the renewals for one client, one after the other. Bounded: a lease has at most one in its queue."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Lease] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._running = False

    def send(self, lease: "Lease") -> None:
        with self._guard:
            self._queue.put(lease)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="palaver-lock-renew", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                lease = self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._guard:
                    if self._queue.empty():
                        self._running = False
                        return
                continue
            lease.renew_now()
            del lease


class Renewals:
    """The scheduler. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._due: list[tuple[float, int, weakref.ref[Lease]]] = []
        self._order = itertools.count()
        self._running = False
        self._senders: weakref.WeakKeyDictionary[Any, _Sender] = weakref.WeakKeyDictionary()

    def watch(self, lease: "Lease", first: float) -> None:
        """Look after the lease from `first` on, until it is released, lost or forgotten."""
        with self._changed:
            heapq.heappush(self._due, (first, next(self._order), weakref.ref(lease)))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="palaver-lock-clock", daemon=True).start()
            elif self._due[0][0] == first:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                # Leases that nobody has any more go all at once, or a busy loop of short ones would wake this for each.
                while self._due and self._due[0][2]() is None:
                    heapq.heappop(self._due)
                if not self._due:
                    self._changed.wait(IDLE_SECONDS)
                    if not self._due:
                        self._running = False
                        return
                wait = self._due[0][0] - self._clock()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, reference = heapq.heappop(self._due)
            lease = reference()
            if lease is not None:
                self._look_after(lease)
            del lease  # or this thread would keep alive what nobody else has

    def _look_after(self, lease: "Lease") -> None:
        step, again = lease.plan(self._clock(), owner_alive=lease.owner_alive())
        if step is Step.TELL:
            lease.tell_lost()
        elif step is not Step.FORGET:
            if step is Step.RENEW:
                self._sender(lease).send(lease)
            self.watch(lease, again)

    def _sender(self, lease: "Lease") -> _Sender:
        sender = self._senders.get(lease.server)
        if sender is None:
            sender = self._senders[lease.server] = _Sender()
        return sender


@cache
def _renewals_of(_pid: int) -> Renewals:
    return Renewals()


def process_renewals() -> Renewals:
    """This process's scheduler; a forked child gets one of its own, because threads do not survive a fork."""
    return _renewals_of(os.getpid())
