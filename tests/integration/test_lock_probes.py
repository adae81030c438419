"""What other locks were found to get wrong, each asked of ours on a real server. Threads; asyncio has its own file."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from palaver.lock import (
    DistributedLock,
    FencedWriter,
    ForkedError,
    Lease,
    LockError,
    LockLostError,
    LossReason,
    NotAcquiredError,
    OutcomeUnknownError,
    StaleFenceError,
)
from palaver.lock.core import Attempt, Call, Mode, Sleep
from palaver.lock.lease import LeaseRecord
from palaver.lock.scripts import ACQUIRE, RELEASE
from palaver.lock.terms import Terms
from palaver.lock.testing import Proxy
from tests.valkey import Valkey

pytestmark = pytest.mark.redis

DEADLINE_SECONDS = 10.0
NO_RETRY = Retry(NoBackoff(), retries=0)


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with valkey.client() as client:
        yield client


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition of the real world, with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.002)


def run_text(client: redis.Redis, call: Call) -> object:
    return client.execute_command(*call.eval)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


def queue_length(client: redis.Redis, name: str) -> int:
    return int(client.zcard(f"palaver:{{{name}}}:queue"))


def expire(client: redis.Redis, name: str) -> None:
    """Let the server end the hold now, as if its time were over."""
    client.delete(name)


class Waiter:
    """A thread that acquires, and then holds until told to let go."""

    def __init__(self, lock: DistributedLock, timeout: float | None = DEADLINE_SECONDS) -> None:
        self.lease: Lease | None = None
        self.error: LockError | None = None
        self.granted = threading.Event()
        self.let_go = threading.Event()
        self._lock, self._timeout = lock, timeout
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.lease = self._lock.acquire(self._timeout)
            self.granted.set()
            self.let_go.wait(DEADLINE_SECONDS)
            self.lease.release()
        except LockError as error:
            self.error = error

    def end(self) -> None:
        self.let_go.set()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()


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
    lease = DistributedLock(client, "name", ttl=0.4).acquire()
    assert 0 < client.pttl("name") <= 400
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

    lease = DistributedLock(client, "name", ttl=0.3, renew=True, on_lost=on_lost).acquire()
    first_deadline = lease.deadline
    until(lambda: lease.deadline > first_deadline + 0.4)
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
            ttl=0.6,
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
    lease = DistributedLock(client, "name", ttl=0.2, renew=True, max_hold=0.5).acquire()
    until(lambda: lease.lost is not None)
    assert lease.lost is LossReason.MAX_HOLD


# Lost replies


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    with Proxy(valkey.host, valkey.port) as proxy:
        yield proxy


@pytest.fixture
def lossy(proxy: Proxy) -> Iterator[redis.Redis]:
    """A client behind the proxy, which knows the scripts, so that the reply lost is the one that matters."""
    with redis.Redis(port=proxy.port) as client:
        DistributedLock(client, "warm").acquire().release()
        yield client


def test_a_lost_reply_to_acquire_is_no_wait_for_oneself(proxy: Proxy, lossy: redis.Redis) -> None:
    proxy.lose_reply_to(ACQUIRE.sha)
    began = time.monotonic()
    lease = DistributedLock(lossy, "name", ttl=30).acquire(timeout=5)
    assert proxy.lost == 1
    assert time.monotonic() - began < 5, "its own ttl is 30 s"
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


# Fences


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


# Waiting


def test_waiters_are_served_in_order(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    waiters = []
    for number in range(5):
        waiters.append(Waiter(lock))
        until(lambda: queue_length(client, "name") == number + 1)  # noqa: B023 - called before the next round
    lease.release()
    fences = []
    for waiter in waiters:
        assert waiter.granted.wait(DEADLINE_SECONDS)
        assert waiter.lease is not None
        fences.append(waiter.lease.fence)
        assert sum(other.granted.is_set() for other in waiters) == len(fences)
        waiter.end()
    assert fences == sorted(fences)


def test_nobody_jumps_the_queue(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name")
    lease = lock.acquire()
    waiter = Waiter(lock)
    until(lambda: queue_length(client, "name") == 1)
    expire(client, "name")
    assert lock.try_acquire() is None, "the lock is free, and belongs to the one who waits"
    assert waiter.granted.wait(DEADLINE_SECONDS)
    waiter.end()
    assert lease.held, "nobody told it, until it asks"


def test_a_waiter_keeps_its_place_when_the_queue_is_lost(client: redis.Redis) -> None:
    holder = DistributedLock(client, "name").acquire()
    terms = Terms.of("name", ttl=30, renew=False, max_hold=None, claim=1, durability=None)
    attempts = [Attempt(terms, time.monotonic) for _ in range(2)]
    machines = [attempt.steps(None) for attempt in attempts]
    for machine in machines:
        request = next(machine)
        assert isinstance(request, Call)
        assert isinstance(machine.send(run_text(client, request)), Sleep)
    client.flushall()
    client.set("name", holder.token, px=30_000)
    for machine in reversed(machines):
        request = machine.send(None)
        assert isinstance(request, Sleep | Call)
        while isinstance(request, Sleep):
            request = machine.send(b"yours")
        machine.send(run_text(client, request))
    order = client.zrange("palaver:{name}:queue", 0, -1)
    assert order == [attempt.token.encode() for attempt in attempts]


def test_a_waiter_takes_over_soon_after_a_dead_holders_lease(client: redis.Redis) -> None:
    DistributedLock(client, "name", ttl=0.5).acquire()  # and never released
    began = time.monotonic()
    lease = DistributedLock(client, "name").acquire(timeout=5)
    assert time.monotonic() - began < 3, "soon after its 0.5 s"
    lease.release()


def test_a_waiter_of_a_holder_that_got_it_while_the_waiter_slept_takes_over_in_time(client: redis.Redis) -> None:
    """It slept with a longer lease in mind, and is reminded of the shorter one."""
    long = DistributedLock(client, "name", ttl=30, claim=5)
    first = long.acquire()
    short = Waiter(DistributedLock(client, "name", ttl=0.3, claim=5))
    until(lambda: queue_length(client, "name") == 1)
    last = Waiter(long)
    until(lambda: queue_length(client, "name") == 2)
    first.release()
    assert short.granted.wait(DEADLINE_SECONDS)
    granted = time.monotonic()
    assert last.granted.wait(DEADLINE_SECONDS)
    assert time.monotonic() - granted < 3, "not after 30 s, or the claim of 5 s"
    short.end()
    last.end()


def test_an_unclaimed_hand_over_costs_the_next_waiter_the_claim_time_only(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=30, claim=0.3)
    lease = lock.acquire()
    now_ms = int(time.time() * 1000)  # noqa: TID251 - the server's own time, which is the wall clock
    client.zadd("palaver:{name}:queue", {"palaver-stopped": 1})
    client.hset("palaver:{name}:queue:awake", "palaver-stopped", now_ms + 10_000)
    waiter = Waiter(lock)
    until(lambda: queue_length(client, "name") == 2)
    began = time.monotonic()
    lease.release()
    assert client.get("name") == b"palaver-stopped"
    assert waiter.granted.wait(DEADLINE_SECONDS)
    assert 0.2 < time.monotonic() - began < 5, "a claim, not a lease of 30 s"
    waiter.end()


def test_waiting_never_takes_more_than_half_of_a_small_pool(valkey: Valkey, client: redis.Redis) -> None:
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        host=valkey.host, port=valkey.port, max_connections=2, timeout=2
    )
    with redis.Redis(connection_pool=pool) as small:
        lock = DistributedLock(small, "name")
        lease = lock.acquire()
        waiters = [Waiter(lock) for _ in range(4)]
        until(lambda: queue_length(client, "name") == 4)
        lease.release()
        for waiter in waiters:
            waiter.let_go.set()
        for waiter in waiters:
            waiter.end()
            assert waiter.granted.is_set()


def test_a_client_with_one_connection_and_one_that_is_watched_are_asked_in_their_own_way(valkey: Valkey) -> None:
    with valkey.client(single_connection_client=True) as single, DistributedLock(single, "name") as lease:
        lease.check()
        assert single.connection_pool._available_connections == []

    seen: list[object] = []

    class Watched(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> object:
            seen.append(args[0])
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

    with Watched(port=valkey.port) as watched:
        DistributedLock(watched, "name").acquire().release()
    assert seen.count("EVALSHA") == 2


def test_waiting_may_last_longer_than_the_clients_socket_timeout(valkey: Valkey, client: redis.Redis) -> None:
    with valkey.client(socket_timeout=0.2, retry=NO_RETRY) as short:
        lease = DistributedLock(client, "name").acquire()
        waiter = Waiter(DistributedLock(short, "name", claim=0.6))
        until(lambda: queue_length(client, "name") == 1)
        time.sleep(0.5)  # the fault itself: nothing comes for longer than the socket's patience
        lease.release()
        assert waiter.granted.wait(DEADLINE_SECONDS)
        waiter.end()
        assert waiter.error is None


# Forks and interrupts


def test_a_forked_child_cannot_release_what_its_parent_holds(client: redis.Redis) -> None:
    lease = DistributedLock(client, "name", renew=True).acquire()
    pid = os.fork()
    if pid == 0:  # the child: no pytest from here on
        code = 1
        try:
            lease.release()
        except ForkedError:
            del lease
            gc.collect()  # that the handle goes away must not release it either
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.get("name") == lease.token.encode()
    lease.release()


def test_a_forked_child_can_acquire_its_own(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name", renew=True)
    lock.acquire().release()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            lock.acquire(timeout=5).release()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_interrupt_while_waiting_leaves_nothing(client: redis.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=30)
    lease = lock.acquire()

    def interrupt() -> None:
        until(lambda: queue_length(client, "name") == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert queue_length(client, "name") == 0
    lease.release()
    assert not client.exists("name")


# Clients


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_every_way_of_decoding_and_protocol_works(valkey: Valkey, decode_responses: bool, protocol: int) -> None:
    with valkey.client(decode_responses=decode_responses, protocol=protocol) as client:
        lock = DistributedLock(client, "name", ttl=5)
        lease = lock.acquire()
        waiter = Waiter(lock)
        until(lambda: queue_length(client, "name") == 1)
        lease.extend()
        lease.fenced.set("key", "value")
        lease.release()
        assert waiter.granted.wait(DEADLINE_SECONDS)
        assert waiter.lease is not None
        stale = FencedWriter(client, lease.fence, lock_name="name")
        with pytest.raises(StaleFenceError):
            stale.incr("number")
        waiter.end()
