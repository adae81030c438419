"""What a fleet does when its server forgets, goes back in time or answers late, and when its processes fork."""

import logging
import multiprocessing
import sys
import threading
from multiprocessing.synchronize import Event

import pytest

from palaver.breaker import Cause, CircuitBreaker, CircuitOpenError, State
from palaver.breaker.shared import Fleet
from tests.unit.breaker.driving import BoomError
from tests.unit.breaker.shared.test_fleet import DEADLINE_SECONDS, Node, NodeFactory, eventually, node, probe
from tests.valkey import Valkey

__all__ = ["node"]
pytestmark = pytest.mark.redis
HOUR_MS = 3_600_000


def settled(one: Node) -> None:
    """Take a probe as soon as there is one, and let it succeed."""
    attempt = probe(one.breaker)
    eventually(attempt)
    attempt.permits[0].success()  # type: ignore[attr-defined]  # see probe


def test_an_opening_is_followed_also_after_the_server_has_lost_everything(valkey: Valkey, node: NodeFactory) -> None:
    first, second = node(valkey, open_for=0.1), node(valkey, open_for=0.1)
    for _ in range(2):
        before = len(first.breaker.history)
        second.fail()
        eventually(lambda seen=before: len(first.breaker.history) > seen)  # type: ignore[misc]  # a default binds it
        settled(second)
        eventually(lambda: first.is_(State.CLOSED) and second.is_(State.CLOSED))
        with valkey.client() as client:
            client.flushall()
    assert first.fleet.connected


def test_an_open_circuit_is_not_closed_by_a_server_that_lost_it(valkey: Valkey, node: NodeFactory) -> None:
    one, other = node(valkey, open_for=0.3), node(valkey, open_for=0.3)
    one.fail()
    eventually(lambda: other.is_(State.OPEN))
    with valkey.client() as client:
        client.flushall()
    settled(other)
    eventually(lambda: one.is_(State.CLOSED) and other.is_(State.CLOSED))
    assert other.breaker.history[-1].cause is Cause.RECOVERED
    assert one.breaker.snapshot().outcomes["success"] == 0, "the fleet needed one probe"  # type: ignore[index]  # the members are strings


def test_a_server_whose_clock_was_set_back_delays_probes_by_one_wait_at_most(valkey: Valkey, node: NodeFactory) -> None:
    one = node(valkey, open_for=0.2)
    one.fail()
    with valkey.client() as client:
        eventually(lambda: bool(client.keys("palaver:breaker:*")))
        (key,) = client.keys("palaver:breaker:*")
        # What was written an hour ago, by a clock that was an hour ahead.
        client.hincrby(key, "until", HOUR_MS)
        client.zadd(key + b":probes", {"lost": client.time()[0] * 1000 + HOUR_MS})
    settled(one)
    assert one.is_(State.CLOSED)
    other = node(valkey, open_for=0.2)
    eventually(lambda: other.is_(State.CLOSED))


def test_a_text_that_utf8_cannot_hold_is_told_too(valkey: Valkey, node: NodeFactory) -> None:
    first, second = node(valkey, open_for=0.1), node(valkey, open_for=0.1)
    first.fail()
    attempt = probe(first.breaker)
    eventually(attempt)
    attempt.permits[0].failure(BoomError("no file \udcff"))  # type: ignore[attr-defined]  # see probe
    eventually(lambda: second.breaker.snapshot().attempt == 2)
    assert first.fleet.connected
    assert "\\udcff" in second.breaker.history[-1].why or second.is_(State.HALF_OPEN)


def test_who_joins_while_the_fleet_is_half_open_asks_no_more_than_the_fleet(valkey: Valkey, node: NodeFactory) -> None:
    first = node(valkey, open_for=0.05)
    first.fail()
    attempt = probe(first.breaker)
    eventually(attempt)
    late = node(valkey, open_for=0.05)
    eventually(lambda: late.is_(State.HALF_OPEN))
    with pytest.raises(CircuitOpenError):
        late.breaker.acquire()
    attempt.permits[0].success()  # type: ignore[attr-defined]  # see probe
    eventually(lambda: late.is_(State.CLOSED))


def test_a_server_that_was_never_there_is_told_once(caplog: pytest.LogCaptureFixture, own_valkey: Valkey) -> None:
    own_valkey.kill()
    told: list[bool] = []
    tries = threading.Semaphore(0)
    with own_valkey.client(socket_timeout=1, retry=None) as client:
        connect = client.connection_pool.get_connection

        def counted(*args: object, **kwargs: object) -> object:
            tries.release()
            return connect(*args, **kwargs)

        client.connection_pool.get_connection = counted
        with caplog.at_level(logging.WARNING), Fleet(client, poll=0.01, on_change=told.append) as fleet:
            fleet.share(CircuitBreaker("models", failure_threshold=1))
            for _ in range(8):
                assert tries.acquire(timeout=DEADLINE_SECONDS)
            assert not fleet.connected
    assert told == [False]
    assert sum("decide alone" in record.message for record in caplog.records) == 1


def in_child(one: Node, heard: Event) -> None:
    """Open the circuit in this process, and end well only if it lets a probe through and closes by it."""
    one.fail()
    settled(one)
    heard.wait(DEADLINE_SECONDS)
    sys.exit(0 if one.is_(State.CLOSED) and one.fleet.connected else 1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_shares_on_and_is_not_left_without_probes(valkey: Valkey, node: NodeFactory) -> None:
    one = node(valkey, open_for=0.2)
    fork = multiprocessing.get_context("fork")
    heard = fork.Event()
    child = fork.Process(target=in_child, args=(one, heard))
    child.start()
    try:
        eventually(lambda: one.breaker.snapshot().opens == 1)
        eventually(lambda: one.is_(State.CLOSED))
        heard.set()
        child.join(DEADLINE_SECONDS)
        assert child.exitcode == 0
    finally:
        child.kill()
