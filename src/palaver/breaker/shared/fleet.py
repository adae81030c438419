"""Keeps breakers of many processes in step: what one learns, all follow, and the fleet probes as one.

Decisions stay local, and no call ever waits for Redis: two threads of this object talk to it. Openings and recoveries
are written there and announced; the announcement is a hint, what is written is the truth, and is read again every
`poll` seconds. In half-open, a process probes only with a place of the fleet's budget, which the worker claims after
the first call has asked.

While Redis is away every breaker decides alone; it is told once in the log, and by `on_change`. Operators' commands
(force, isolate, reset, modes) stay local. A process that is forked shares on, with threads of its own.
"""

import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable
from typing import Final, Self

import redis

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.checks import duration
from palaver.breaker.shared.member import Member
from palaver.breaker.shared.store import Store

_log = logging.getLogger("palaver.breaker")
_PAUSE_SECONDS: Final = 0.005  # between two passes: a storm of failures must not become a storm of readings
_AWAY: Final = (redis.RedisError, OSError)


class Fleet:
    """Shares breakers with other processes. A context manager: leaving it makes them local again.

    Args:
        client: A synchronous client with a `socket_timeout`, because a server that is silent must count as away.
        prefix: Begins every key and the channel.
        poll: Seconds between two readings of what is written, and between two attempts to reach a server that is away.
        on_change: Called with True when the server is reached, with False when it is lost; from a thread of its own.

    Raises:
        ValueError: if the client would wait for ever.
    """

    def __init__(
        self,
        client: "redis.Redis",
        *,
        prefix: str = "palaver:breaker:",
        poll: float = 1.0,
        on_change: Callable[[bool], object] | None = None,
    ) -> None:
        duration("poll", poll)
        if client.connection_pool.connection_kwargs.get("socket_timeout") is None:
            raise ValueError("client: give redis.Redis(socket_timeout=seconds), or a silent server would never be away")
        self._client = client
        self._prefix = prefix
        self._poll = poll
        self._on_change = on_change
        self._members: dict[str, Member] = {}
        self._closing = threading.Event()
        self._start()
        # Threads are not forked with their process, and without them nobody would ask for probes.
        restart = weakref.WeakMethod(self._restart)
        os.register_at_fork(after_in_child=lambda: (again := restart()) and again())

    def _start(self) -> None:
        """Begin as a node of its own: after construction, and after a fork."""
        self.node = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._connected: bool | None = None  # nobody knows yet
        for member in self._members.values():
            member.move(self.node)
        self._threads = [
            threading.Thread(target=self._work, name="palaver-fleet-worker", daemon=True),
            threading.Thread(target=self._listen, name="palaver-fleet-listener", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _restart(self) -> None:
        """Go on in a process that was just forked, with locks that no thread of the other one holds."""
        if self._closing.is_set():
            return
        self._closing = threading.Event()
        self._start()

    @property
    def connected(self) -> bool:
        """Whether the server answered last time."""
        return bool(self._connected)

    def share(self, breaker: CircuitBreaker) -> None:
        """Share a breaker with all processes that share one of the same name and the same deciding options.

        Raises:
            ValueError: if it has no name, or if this fleet has one of that name.
        """
        if breaker.name is None:
            raise ValueError("a shared breaker needs a name: it is how the processes find each other's")
        store = Store(self._client, self._prefix, breaker.name, breaker.config)
        member = Member(breaker, store, self.node, self._awaken)
        with self._lock:
            if breaker.name in self._members:
                raise ValueError(f"this fleet has a breaker named {breaker.name!r} already")
            self._members[breaker.name] = member
        self._wake.set()

    def _awaken(self) -> None:
        self._wake.set()  # another one after a fork

    def close(self) -> None:
        """Stop sharing. Takes at most the client's timeout; breakers are local again when it returns."""
        self._closing.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        for member in self._everyone():
            member.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the worker: all that is written, read and claimed

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                for member in self._everyone():
                    member.reconcile()
                    self._set_connected(now=True)
                self._closing.wait(_PAUSE_SECONDS)
                self._wake.wait(self._poll)
            except Exception as error:  # noqa: BLE001  # whatever it is: without the worker nobody would get a probe
                self._lose(error)
                self._closing.wait(self._poll)

    def _lose(self, error: BaseException) -> None:
        for member in self._everyone():
            member.alone()
        if self._connected is not False:
            told = None if isinstance(error, _AWAY) else error
            _log.warning("breakers decide alone, because the shared state is away: %s", error, exc_info=told)
        self._set_connected(now=False)

    def _set_connected(self, *, now: bool) -> None:
        before, self._connected = self._connected, now
        if before is not now and self._on_change is not None:
            try:
                self._on_change(now)
            except Exception:  # noqa: BLE001  # foreign code must not end the thread
                _log.exception("on_change raised")

    def _everyone(self) -> tuple[Member, ...]:
        with self._lock:
            return tuple(self._members.values())

    # --- the listener: hints that something was written

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
                    # theirs
                    pubsub.subscribe(f"{self._prefix}changes")
                    while not self._closing.is_set():
                        if pubsub.get_message(timeout=self._poll) is not None:
                            self._wake.set()
            except Exception:  # noqa: BLE001  # the worker meets the same error and tells
                self._closing.wait(self._poll)
