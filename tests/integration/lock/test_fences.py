"""Fences rise through everything that a server can forget, and refuse the writes of those who came before."""

import pytest
import redis

from palaver.lock import DistributedLock, LockLostError, LossReason, StaleFenceError
from tests.integration.lock.holding import Waiter, expire, queue_length, until
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


def test_fences_rise_from_grant_to_grant(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    fences = []
    for _ in range(20):
        with lock as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


def test_fences_rise_after_expiry_flush_and_restart_without_persistence(own_valkey: Valkey) -> None:
    fences = []
    with own_valkey.client() as client:
        for trouble in (lambda: None, lambda: expire(client, "name"), client.flushall, own_valkey.restart):
            lease = DistributedLock(client, "name").acquire()
            fences.append(lease.fence)
            trouble()
            if client.get("name") == lease.token.encode():
                lease.release()
        fences.append(DistributedLock(client, "name").acquire().fence)
    assert fences == sorted(set(fences))


def test_a_holder_learns_that_the_server_forgot_it_and_another_has_the_lock(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        forgotten = DistributedLock(client, "name").acquire()
        taken = DistributedLock(client, "other").acquire()
        own_valkey.restart()
        DistributedLock(client, "other").acquire()
        for lease, reason in ((forgotten, LossReason.GONE), (taken, LossReason.TAKEN)):
            with pytest.raises(LockLostError) as caught:
                lease.extend()
            assert caught.value.reason is reason


def test_the_last_fence_is_remembered_for_a_day_and_not_for_ever(client: redis.Redis) -> None:
    day_ms = 24 * 60 * 60 * 1000
    DistributedLock(client, "name", ttl=10).acquire().release()
    assert day_ms < client.pttl("palaver:{name}:fence") <= day_ms + 10_000


def test_a_fence_rises_though_the_clock_was_set_back(client: redis.Redis) -> None:
    future = 4_000_000_000_000_000
    client.set("palaver:{name}:fence", future)
    assert DistributedLock(client, "name").acquire().fence == future + 1


def test_a_fence_rises_in_this_process_though_clock_and_fence_were_lost(client: redis.Redis) -> None:
    future = 4_000_000_000_000_000
    lock = DistributedLock(client, "name")
    client.set("palaver:{name}:fence", future)
    lock.acquire()
    client.flushall()
    assert lock.acquire().fence > future + 1


def test_no_key_is_permanent(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    waiter = Waiter(lock)
    until(lambda: queue_length(client, "name") == 1)
    assert all(client.pttl(key) > 0 for key in client.scan_iter())
    lease.fenced.set("key", "value", ttl=5)
    lease.release()
    waiter.end()
    assert all(client.pttl(key) > 0 for key in client.scan_iter())


def test_a_stale_write_is_refused_once_a_newer_holder_was_granted(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    old = lock.acquire()
    old.fenced.set("key", "old")
    expire(client, "name")
    new = lock.acquire()
    for write in (
        lambda: old.fenced.set("key", "stale"),
        lambda: old.fenced.hset("hash", {"field": "stale"}),
        lambda: old.fenced.incr("number"),
        lambda: old.fenced.eval("return redis.call('SET', KEYS[1], ARGV[1])", "key", "stale"),
    ):
        with pytest.raises(StaleFenceError) as caught:
            write()
        assert (caught.value.fence, caught.value.newest) == (old.fence, new.fence)
    assert client.get("key") == b"old"
    assert not client.exists("hash", "number")


def test_fenced_writes_write(client: redis.Redis) -> None:
    with DistributedLock(client, "name") as lease:
        lease.fenced.set("key", "value", ttl=60)
        assert client.get("key") == b"value"
        assert 0 < client.ttl("key") <= 60
        assert lease.fenced.hset("hash", {"a": 1, "b": 2}) == 2
        assert lease.fenced.incr("number", 5) == 5
        assert lease.fenced.eval("return {KEYS[1], ARGV[1], #ARGV}", "key", "x") == [b"key", b"x", 1]
        assert lease.fenced.eval("return nil", "key") is None


def test_a_fenced_write_after_the_lease_is_not_even_sent(client: redis.Redis) -> None:
    now = [100.0]
    lease = DistributedLock(client, "name", clock=lambda: now[0]).acquire()
    now[0] += 60
    with pytest.raises(LockLostError):
        lease.fenced.set("key", "value")
    assert not client.exists("key")
