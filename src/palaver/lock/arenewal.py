"""Keeps leases alive and notices their end, for asyncio: one scheduler per loop.

A timer per loop decides; each due renewal is a task of its own, so that a silent server delays nobody else's, and a
lease has at most one at a time. It refuses to keep a lease alive whose handle nobody has any more, or whose task has
ended.
"""

import asyncio
import heapq
import itertools
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from palaver.lock.lease import Step

if TYPE_CHECKING:
    from palaver.lock.aio import Lease


class LoopRenewals:
    """The scheduler of one loop. Not thread-safe: only its own loop may call it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, weakref.ref[Lease]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._renewing: weakref.WeakKeyDictionary[Lease, asyncio.Task[None]] = weakref.WeakKeyDictionary()

    @staticmethod
    def of_running_loop() -> "LoopRenewals":
        """The running loop's scheduler."""
        loop = asyncio.get_running_loop()
        renewals = _BY_LOOP.get(loop)
        if renewals is None:
            renewals = _BY_LOOP[loop] = LoopRenewals()
        return renewals

    def watch(self, lease: "Lease", first: float) -> None:
        """Look after the lease from `first` on, until it is released, lost or forgotten."""
        heapq.heappush(self._due, (first, next(self._order), weakref.ref(lease)))
        if self._due[0][0] == first:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Leases that nobody has any more go all at once, or a busy loop of short ones would wake this for each.
        while self._due and self._due[0][2]() is None:
            heapq.heappop(self._due)
        if self._due:
            delay = max(0.0, self._due[0][0] - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            _, _, reference = heapq.heappop(self._due)
            lease = reference()
            if lease is not None:
                self._look_after(lease, now)
        self._set_timer()

    def _look_after(self, lease: "Lease", now: float) -> None:
        step, again = lease.plan(now, owner_alive=lease.owner_alive())
        if step is Step.TELL:
            lease.tell_lost()
        elif step is not Step.FORGET:
            if step is Step.RENEW and lease not in self._renewing:
                task = asyncio.get_running_loop().create_task(lease.renew_now(), name="palaver-lock-renew")
                self._renewing[lease] = task
                task.add_done_callback(lambda _: self._renewing.pop(lease, None))
            heapq.heappush(self._due, (again, next(self._order), weakref.ref(lease)))


# A loop's timer belongs to the loop; there is no other place to keep what lives as long as it does.
_BY_LOOP: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopRenewals] = weakref.WeakKeyDictionary()
