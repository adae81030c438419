"""A reply that is lost is neither a wait for oneself nor a false alarm, whatever the server goes through."""

import time

import pytest
import redis

from palaver.lock import DistributedLock, OutcomeUnknownError
from palaver.lock.core import Attempt, Mode
from palaver.lock.scripts import ACQUIRE, RELEASE
from palaver.lock.terms import Terms
from palaver.lock.testing import Proxy
from tests.integration.lock.holding import DEADLINE_SECONDS, NO_RETRY, Waiter, queue_length, run_text, until
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


# Lost replies


def test_a_lost_reply_to_acquire_is_no_wait_for_oneself(proxy: Proxy, lossy: redis.Redis) -> None:
    proxy.lose_reply_to(ACQUIRE.sha)
    began = time.monotonic()
    lease = DistributedLock(lossy, "name", ttl=30).acquire(timeout=25)
    assert proxy.lost == 1
    assert time.monotonic() - began < 20, "its own ttl is 30 s"
    lease.check()
    lease.release()


def test_a_lost_reply_to_release_is_no_false_alarm(proxy: Proxy, lossy: redis.Redis) -> None:
    lease = DistributedLock(lossy, "name").acquire()
    proxy.lose_reply_to(RELEASE.sha)
    lease.release()
    assert proxy.lost == 1
    assert not lossy.exists("name")


def test_a_lost_reply_to_release_is_no_false_alarm_though_another_holds_it_now(
    proxy: Proxy, lossy: redis.Redis, client: redis.Redis
) -> None:
    lease = DistributedLock(lossy, "name").acquire()
    waiter = Waiter(DistributedLock(client, "name"))
    until(lambda: queue_length(client, "name") == 1)
    proxy.lose_reply_to(RELEASE.sha)
    lease.release()
    assert waiter.granted.wait(DEADLINE_SECONDS)
    assert waiter.lease is not None
    waiter.lease.check()
    waiter.end()
    assert waiter.error is None


def test_without_retries_a_lost_reply_to_acquire_leaves_nothing(proxy: Proxy, valkey: Valkey) -> None:
    with redis.Redis(port=proxy.port, retry=NO_RETRY) as client, valkey.client() as direct:
        DistributedLock(client, "warm").acquire().release()
        proxy.lose_reply_to(ACQUIRE.sha)
        with pytest.raises(redis.ConnectionError):
            DistributedLock(client, "name").acquire(timeout=1)
        assert proxy.lost == 1
        assert not direct.exists("name")


def test_without_retries_a_lost_reply_to_release_is_unknown(proxy: Proxy) -> None:
    with redis.Redis(port=proxy.port, retry=NO_RETRY) as client:
        lease = DistributedLock(client, "name").acquire()
        proxy.lose_reply_to(RELEASE.sha)
        with pytest.raises(OutcomeUnknownError) as caught:
            lease.release()
        assert 0 < caught.value.within_seconds <= 10
        assert isinstance(caught.value.__cause__, redis.ConnectionError)


def test_an_acquire_that_arrives_after_it_was_given_up_does_nothing(client: redis.Redis) -> None:
    """The server read the undoing first: the late command must not leave a lock that nobody has."""
    terms = Terms.of("name", ttl=30, renew=False, max_hold=None, claim=1, durability=None)
    attempt = Attempt(terms, time.monotonic)
    run_text(client, attempt.give_up())
    assert run_text(client, attempt.call(Mode.WAIT)) == [2, 0, 0]
    assert not client.exists("name")
    assert queue_length(client, "name") == 0


# The server's own troubles


def test_script_flush_is_survived(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    client.script_flush()
    lease.extend()
    client.script_flush()
    lease.fenced.set("key", "value")
    client.script_flush()
    lease.release()
    assert client.get("key") == b"value"


def test_client_kill_is_survived(client: redis.Redis, valkey: Valkey) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    waiter = Waiter(DistributedLock(client, "name"))
    until(lambda: queue_length(client, "name") == 1)
    with valkey.client() as other:
        other.client_kill_filter(_type="normal", skipme=True)
    lease.release()
    assert waiter.granted.wait(DEADLINE_SECONDS)
    waiter.end()


def test_client_pause_delays_and_breaks_nothing(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    client.client_pause(100)
    with lock as lease:
        lease.check()
