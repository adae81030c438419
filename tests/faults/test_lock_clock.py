"""The server's clock is set while leases are held. The server counts leases by its wall clock, so they end early or
late; fences must not fall, and what an old holder writes late must be refused.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from palaver.lock import DistributedLock, LockLostError, LossReason, StaleFenceError
from tests.faults.lock_clock import CLOCKS, RealClock, ServerClock, SimulatedClock

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture(params=CLOCKS, ids=lambda made: made.__name__)
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealClock | SimulatedClock]:
    clock: RealClock | SimulatedClock = request.param(tmp_path)
    with clock.server:
        yield clock


@pytest.fixture
def client(clock: RealClock | SimulatedClock) -> Iterator[redis.Redis]:
    with clock.server.client() as client:
        yield client


def test_a_server_clock_set_forward_ends_leases_early_and_is_noticed(clock: ServerClock, client: redis.Redis) -> None:
    lease = DistributedLock(client, "name", ttl=30).acquire()
    clock.move(+60)
    assert lease.held, "by its own clock; nobody told it"
    with pytest.raises(LockLostError) as caught:
        lease.extend()
    assert caught.value.reason is LossReason.GONE


def test_after_a_clock_set_forward_two_may_hold_and_the_old_one_writes_nothing(
    clock: ServerClock, client: redis.Redis
) -> None:
    old = DistributedLock(client, "name", ttl=30).acquire()
    clock.move(+60)
    new = DistributedLock(client, "name", ttl=30).try_acquire()
    assert new is not None
    assert old.held, "this is the overlap that the page on guarantees admits"
    assert new.fence > old.fence
    with pytest.raises(StaleFenceError):
        old.fenced.set("key", "stale")
    new.fenced.set("key", "new")
    assert client.get("key") == b"new"
    with pytest.raises(LockLostError) as caught:
        old.extend()
    assert caught.value.reason is LossReason.TAKEN
    new.release()


def test_a_server_clock_set_back_ends_leases_late_and_fences_go_on_rising(
    clock: ServerClock, client: redis.Redis
) -> None:
    lease = DistributedLock(client, "name", ttl=5).acquire()
    clock.move(-60)
    assert 60_000 < client.pttl("name") <= 65_000
    assert DistributedLock(client, "name").try_acquire() is None
    lease.release()
    fences = [lease.fence]
    for _ in range(3):
        with DistributedLock(client, "name") as later:  # of another process, which saw no fence
            later.fenced.set("key", "value")
            fences.append(later.fence)
    assert fences == sorted(set(fences))


def test_a_clock_set_back_and_data_lost_lets_no_fence_fall_in_a_process_that_saw_it(
    clock: ServerClock, client: redis.Redis
) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    clock.move(-60)
    client.flushall()
    assert lock.acquire().fence > lease.fence
