"""Waiters are served in order and in time; a fork and an interrupt leave nothing; every kind of client works."""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from palaver.lock import DistributedLock, FencedWriter, ForkedError, StaleFenceError
from palaver.lock.core import AcquireReply, Attempt, Call, Mode, Sleep
from palaver.lock.lines import block
from palaver.lock.terms import Terms
from tests.integration.lock.holding import DEADLINE_SECONDS, NO_RETRY, Waiter, expire, queue_length, run_text, until
from tests.valkey import Valkey

pytestmark = pytest.mark.redis

TERMS = Terms.of("name", ttl=30, renew=False, max_hold=None, claim=1, durability=None)


def asked(client: redis.Redis, attempt: Attempt) -> tuple[AcquireReply, int]:
    reply = run_text(client, attempt.call(Mode.WAIT))
    assert isinstance(reply, list)
    return AcquireReply(reply[0]), reply[1]


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
    attempts = [Attempt(TERMS, time.monotonic) for _ in range(2)]
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
    lease = DistributedLock(client, "name", ttl=90, claim=60).acquire(timeout=60)
    assert time.monotonic() - began < 20, "soon after its 0.5 s"
    lease.release()


def test_a_waiter_of_a_holder_that_got_it_while_the_waiter_slept_takes_over_in_time(client: redis.Redis) -> None:
    """It slept with a longer lease in mind, and is reminded of the shorter one."""
    long = DistributedLock(client, "name", ttl=90, claim=60)
    first = long.acquire()
    short = Waiter(DistributedLock(client, "name", ttl=0.3, claim=60))
    until(lambda: queue_length(client, "name") == 1)
    last = Waiter(long)
    until(lambda: queue_length(client, "name") == 2)
    first.release()
    assert short.granted.wait(DEADLINE_SECONDS)
    granted = time.monotonic()
    assert last.granted.wait(DEADLINE_SECONDS)
    assert time.monotonic() - granted < 20, "not after 90 s, or the claim of 60 s"
    short.end()
    last.end()


def test_only_the_first_in_line_times_the_end_of_the_hold(client: redis.Redis) -> None:
    """Or all of them would open new connections when a holder dies."""
    DistributedLock(client, "name", ttl=0.9).acquire()
    statuses = [asked(client, Attempt(TERMS, time.monotonic))[0] for _ in range(3)]
    assert statuses == [AcquireReply.BUSY_ENDING, AcquireReply.BUSY, AcquireReply.BUSY]


@pytest.mark.parametrize(
    ("left_ms", "asked_before", "status", "longest_ms"),
    [
        (5_000, False, AcquireReply.BUSY, 900),
        (950, False, AcquireReply.BUSY_ENDING, 951),
        (20_000, True, AcquireReply.BUSY, 12_000),
        (12_050, True, AcquireReply.BUSY_ENDING, 12_051),
    ],
)
def test_a_wait_that_might_not_be_over_when_the_hold_is_ends_exactly_then(
    client: redis.Redis, left_ms: int, asked_before: bool, status: AcquireReply, longest_ms: int
) -> None:
    """The server ends a wait up to a tenth of a second late, so one that ends a little before the hold is too long."""
    attempt = Attempt(TERMS, time.monotonic)
    client.set("name", "palaver-another", px=left_ms)
    if asked_before:
        steps = attempt.steps(None)
        assert isinstance(next(steps), Call)
        steps.send(run_text(client, attempt.call(Mode.WAIT)))
    answer, wait_ms = asked(client, attempt)
    assert answer is status
    if status is AcquireReply.BUSY:
        assert wait_ms == longest_ms
    else:
        assert client.pttl("name") < wait_ms <= longest_ms, "a moment after the hold, which had less left when it asked"


def test_who_becomes_first_because_another_gave_up_is_told_when_the_hold_ends(client: redis.Redis) -> None:
    client.set("name", "palaver-another", px=900)
    first, second = (Attempt(TERMS, time.monotonic) for _ in range(2))
    assert [asked(client, attempt)[0] for attempt in (first, second)] == [AcquireReply.BUSY_ENDING, AcquireReply.BUSY]
    run_text(client, first.give_up())
    message = client.lpop(f"palaver:{{name}}:queue:wake:{second.token}")
    assert isinstance(message, bytes)
    word, _, left_ms = message.partition(b":")
    assert word == b"look"
    assert 0 < int(left_ms) <= 901


def test_a_wait_that_is_ended_here_leaves_nothing_for_the_next_user_of_its_connection(client: redis.Redis) -> None:
    assert block(client, Sleep("list", 0.05, exact=True)) is None
    until(lambda: client.info("clients")["blocked_clients"] == 0)
    client.rpush("list", "late")
    assert [client.ping() for _ in range(3)] == [True] * 3
    assert client.lrange("list", 0, -1) == [b"late"], "nobody waits for it any more"


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
    assert 0.2 < time.monotonic() - began < 20, "a claim, not a lease of 30 s"
    waiter.end()


def test_waiting_never_takes_more_than_half_of_a_small_pool(valkey: Valkey, client: redis.Redis) -> None:
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        host=valkey.host, port=valkey.port, max_connections=2, timeout=30
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
    with valkey.client(socket_timeout=1.0, retry=NO_RETRY) as short:
        lease = DistributedLock(client, "name").acquire()
        waiter = Waiter(DistributedLock(short, "name", claim=2.5))
        until(lambda: queue_length(client, "name") == 1)
        time.sleep(2)  # the fault itself: nothing comes for longer than the socket's patience
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
            lock.acquire(timeout=30).release()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also where the tests were started in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
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


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_is_encoded_as_the_client_encodes(valkey: Valkey, encoding: str) -> None:
    name = "schloß"
    with valkey.client(encoding=encoding) as client:
        lock = DistributedLock(client, name)
        lease = lock.acquire()
        assert client.get(name) == lease.token.encode()
        waiter = Waiter(lock)
        until(lambda: queue_length(client, name) == 1)
        lease.release()
        assert waiter.granted.wait(DEADLINE_SECONDS)
        waiter.end()
        assert not client.exists(name)


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
