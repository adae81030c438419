"""A KeyboardInterrupt at every round trip of the threads' lock leaves nothing; the asyncio tests cancel at every await.

The interrupt comes before a request is sent, or when the server has done it and the reply is on its way.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from palaver.lock import DistributedLock, client, lines
from tests.integration.lock.holding import queue_length, until
from tests.valkey import Valkey

pytestmark = pytest.mark.redis

Trip = Callable[..., object]


class Interrupter:
    """Counts the round trips of this thread, and interrupts one of them."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0
        self._victim = threading.current_thread()

    def around(self, trip: Trip) -> Trip:
        def interrupted(*args: Any) -> object:
            if threading.current_thread() is not self._victim:
                return trip(*args)
            self.count += 1
            if self.count != self.at:
                return trip(*args)
            if self.after:
                trip(*args)
            raise KeyboardInterrupt

        return interrupted


@pytest.fixture
def direct(valkey: Valkey) -> Iterator[redis.Redis]:
    with valkey.client() as direct:
        yield direct


def left_behind(direct: redis.Redis) -> list[bytes]:
    """Keys that could make anybody wait: neither a remembered fence nor a remembered token."""
    return [key for key in direct.scan_iter() if b":fence" not in key]


@pytest.mark.parametrize("after", [False, True], ids=["before it is sent", "after it was done"])
@pytest.mark.parametrize(
    ("contended", "ttl", "trips"),
    [
        (False, 30, ["ask", "release"]),
        (True, 30, ["ask", "wait and claim", "release"]),
        (True, 5, ["ask", "wait", "claim", "release"]),
    ],
    ids=["alone", "contended", "contended, a short lease"],
)
def test_an_interrupt_at_every_round_trip_leaves_nothing(
    direct: redis.Redis,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
    contended: bool,
    ttl: float,
    trips: list[str],
) -> None:
    points = 0
    with valkey.client() as interrupted, valkey.client() as others:
        DistributedLock(others, "name").acquire().release()  # from here on the server knows the scripts
        lock = DistributedLock(interrupted, "name", ttl=ttl)
        while True:
            holder = DistributedLock(others, "name", ttl=30).acquire(timeout=30) if contended else None
            helper = threading.Thread(target=give_back, args=(holder, direct, gave_up(direct))) if holder else None
            if helper is not None:
                helper.start()
            interrupter = Interrupter(points + 1, after=after)
            with monkeypatch.context() as patch:
                patch.setattr(client, "_exchange", interrupter.around(client._exchange))
                patch.setattr("palaver.lock.sync.block", interrupter.around(lines.block))
                try:
                    lock.acquire(timeout=30).release()
                    done = True
                except KeyboardInterrupt:
                    done = False
            if helper is not None:
                helper.join()
            assert left_behind(direct) == [], f"interrupted at round trip {points + 1}"
            if done:
                break
            points += 1
    assert points == len(trips)


def gave_up(direct: redis.Redis) -> int:
    """How many attempts the server was told to forget."""
    return len(list(direct.scan_iter("palaver:{name}:fence:gone:*")))


def give_back(holder: Any, direct: redis.Redis, before: int) -> None:
    """Release once somebody waits, or has stopped waiting: the interrupt may come first, also before this begins."""
    until(lambda: queue_length(direct, "name") == 1 or gave_up(direct) > before)
    holder.release()
