"""Whose the lock is, and how its holder learns that it is not any more. What other locks were found to get wrong."""

import threading
import time

import pytest
import redis

from palaver.lock import (
    DistributedLock,
    Lease,
    LockLostError,
    LossReason,
    NotAcquiredError,
)
from palaver.lock.lease import LeaseRecord
from tests.integration.lock.holding import DEADLINE_SECONDS, Waiter, expire, queue_length, until
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


# Ownership


def test_the_key_is_a_plain_string_with_the_token(client: redis.Redis) -> None:
    with DistributedLock(client, "name", ttl=5) as lease:
        assert client.get("name") == lease.token.encode()
        assert 4000 < client.pttl("name") <= 5000


def test_redis_pys_own_lock_is_excluded_and_excludes_ours(client: redis.Redis) -> None:
    theirs = client.lock("name", timeout=5, blocking=False)
    with DistributedLock(client, "name"):
        assert not theirs.acquire()
    assert theirs.acquire()
    assert DistributedLock(client, "name").try_acquire() is None
    waiter = Waiter(DistributedLock(client, "name"))
    until(lambda: queue_length(client, "name") == 1)
    theirs.release()
    assert waiter.granted.wait(4.0), "another library's release is noticed by looking"
    waiter.end()


def test_release_after_expiry_leaves_the_next_holder_alone(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=5)
    first = lock.acquire()
    expire(client, "name")
    second = lock.acquire()
    with pytest.raises(LockLostError) as caught:
        first.release()
    assert caught.value.reason is LossReason.TAKEN
    assert client.get("name") == second.token.encode()
    second.release()


def test_release_after_expiry_with_nobody_else_is_an_error_too(client: redis.Redis) -> None:
    lease = DistributedLock(client, "name").acquire()
    expire(client, "name")
    with pytest.raises(LockLostError) as caught:
        lease.release()
    assert caught.value.reason is LossReason.GONE


def test_extend_after_expiry_brings_nothing_back(client: redis.Redis) -> None:
    lease = DistributedLock(client, "name").acquire()
    expire(client, "name")
    with pytest.raises(LockLostError):
        lease.extend()
    assert lease.lost is LossReason.GONE
    assert not client.exists("name")


def test_extend_moves_the_end_both_ways(client: redis.Redis) -> None:
    with DistributedLock(client, "name", ttl=5) as lease:
        lease.extend(60)
        assert client.pttl("name") > 50_000
        assert 50 < lease.remaining() < 60
        lease.extend(1)
        assert client.pttl("name") <= 1000
        assert lease.remaining() < 1
        for bad in (0, -20, True, float("nan")):
            with pytest.raises((TypeError, ValueError), match="ttl"):
                lease.extend(bad)
        lease.check()


def test_a_second_release_does_nothing(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    first = lock.acquire()
    first.release()
    second = lock.acquire()
    first.release()
    assert client.get("name") == second.token.encode()


def test_threads_may_share_one_lock(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    first = lock.acquire()
    expire(client, "name")
    waiter = Waiter(lock)
    assert waiter.granted.wait(DEADLINE_SECONDS)
    with pytest.raises(LockLostError):
        first.release()
    assert waiter.lease is not None
    assert client.get("name") == waiter.lease.token.encode()
    waiter.end()


def test_a_second_attempt_that_fails_costs_the_first_nothing(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    assert lock.try_acquire() is None
    with pytest.raises(NotAcquiredError) as caught:
        lock.acquire(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    lease.check()
    lease.release()
    assert not client.exists("name")


def test_a_timed_out_attempt_leaves_no_place_in_the_queue(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    with lock:
        with pytest.raises(NotAcquiredError):
            lock.acquire(timeout=0.02)
        assert queue_length(client, "name") == 0
    assert not client.exists("name")


def test_a_short_ttl_in_milliseconds_works(client: redis.Redis) -> None:
    lease = DistributedLock(client, "name", ttl=1.5).acquire()
    assert 0 < client.pttl("name") <= 1_500
    lease.release()


# Losing the lease


def test_the_local_clock_ends_the_lease_without_the_server(client: redis.Redis) -> None:
    now = [100.0]
    lease = DistributedLock(client, "name", ttl=10, clock=lambda: now[0]).acquire()
    assert lease.held
    now[0] += 10
    assert lease.lost is LossReason.EXPIRED
    assert lease.remaining() == 0
    with pytest.raises(LockLostError):
        lease.check()
    with pytest.raises(LockLostError):
        lease.release()


def test_leaving_the_body_of_a_lost_lease_says_so(client: redis.Redis) -> None:
    with pytest.raises(LockLostError), DistributedLock(client, "name"):
        expire(client, "name")


def test_the_bodys_own_error_is_kept_and_the_loss_is_noted_on_it(client: redis.Redis) -> None:
    def body() -> None:
        with DistributedLock(client, "name"):
            expire(client, "name")
            raise KeyError("the body's")

    with pytest.raises(KeyError) as caught:
        body()
    assert "the lease was lost" in caught.value.__notes__[0]


def test_renewal_keeps_the_lease_and_tells_when_it_is_taken(client: redis.Redis) -> None:
    told: list[object] = []
    heard = threading.Event()

    def on_lost(lease: object) -> None:
        told.append(lease)
        heard.set()

    lease = DistributedLock(client, "name", ttl=0.9, renew=True, on_lost=on_lost).acquire()
    first_deadline = lease.deadline
    until(lambda: lease.deadline > first_deadline + 1.0)
    client.set("name", "another")
    assert heard.wait(DEADLINE_SECONDS)
    assert told == [lease]
    assert lease.lost is LossReason.TAKEN


def test_renewal_that_hears_nothing_gives_up_before_the_lease_ends(own_valkey: Valkey) -> None:
    heard = threading.Event()
    remaining: list[float] = []

    def on_lost(lease: LeaseRecord) -> None:
        remaining.append(lease.deadline - time.monotonic())
        heard.set()

    with own_valkey.client() as client:
        lock = DistributedLock(
            client,
            "name",
            ttl=3,
            renew=True,
            on_lost=on_lost,
        )
        lease = lock.acquire()
        own_valkey.pause()
        assert heard.wait(DEADLINE_SECONDS)
        assert lease.lost is LossReason.UNCONFIRMED
        assert remaining[0] > 0, "told while the lease was still valid"
        own_valkey.resume()


def test_renewal_stops_when_nobody_has_the_lease_any_more(client: redis.Redis) -> None:
    DistributedLock(client, "name", ttl=0.15, renew=True).acquire()
    until(lambda: not client.exists("name"))


def test_renewal_stops_when_the_thread_that_acquired_has_ended(client: redis.Redis) -> None:
    kept: list[Lease] = []
    lock = DistributedLock(client, "name", ttl=0.15, renew=True)
    thread = threading.Thread(target=lambda: kept.append(lock.acquire()))
    thread.start()
    thread.join()
    until(lambda: not client.exists("name"))
    assert kept[0].lost is not None


def test_renewal_ends_at_the_longest_hold(client: redis.Redis) -> None:
    lease = DistributedLock(client, "name", ttl=0.9, renew=True, max_hold=1.5).acquire()
    until(lambda: lease.lost is not None)
    assert lease.lost is LossReason.MAX_HOLD
