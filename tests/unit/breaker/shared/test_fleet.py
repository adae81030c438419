"""Breakers of a fleet over a real Valkey: what one learns all follow, one probe budget, and local while it is away."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, State, Transition
from palaver.breaker.shared import Fleet
from tests.unit.breaker.driving import BoomError
from tests.valkey import Valkey

pytestmark = pytest.mark.redis
DEADLINE_SECONDS = 40.0


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what another thread brings about, up to a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        threading.Event().wait(0.002)


class Node:
    """One process of the fleet, as far as the server can tell."""

    def __init__(self, server: Valkey, *, patience: float = 10.0, **options: float) -> None:
        self.client = server.client(socket_timeout=patience, retry=None)
        self.changes: list[bool] = []
        self.fleet = Fleet(self.client, poll=0.05, on_change=self.changes.append)
        self.breaker = CircuitBreaker("models", failure_threshold=2, open_for=options.pop("open_for", 60), **options)  # type: ignore[arg-type]  # the options of these tests are numbers
        self.fleet.share(self.breaker)
        eventually(lambda: self.fleet.connected)

    def fail(self, times: int = 2) -> None:
        for _ in range(times):
            self.breaker.acquire().failure(BoomError("down"))

    def is_(self, state: State) -> bool:
        return self.breaker.state is state

    def close(self) -> None:
        self.fleet.close()
        self.client.close()


NodeFactory = Callable[..., Node]


@pytest.fixture
def node() -> Iterator[NodeFactory]:
    nodes: list[Node] = []

    def make(server: Valkey, **options: float) -> Node:
        nodes.append(Node(server, **options))
        return nodes[-1]

    yield make
    for one in nodes:
        one.close()


def probe(breaker: CircuitBreaker) -> Callable[[], bool]:
    """Return a function that tries to begin a probe, and keeps it unsettled in its list if it may."""

    def attempt() -> bool:
        try:
            attempt.permits.append(breaker.acquire())  # type: ignore[attr-defined]  # a list on the function itself
        except CircuitOpenError:
            return False
        return True

    attempt.permits = []  # type: ignore[attr-defined]  # see above
    return attempt


def test_an_opening_reaches_every_other_process(valkey: Valkey, node: NodeFactory) -> None:
    first, second = node(valkey), node(valkey)
    first.fail()
    eventually(lambda: second.is_(State.OPEN))
    last: Transition = second.breaker.history[-1]
    assert last.cause.value == "peer_opened"
    assert "2 failures in a row" in last.why
    assert 50 < (second.breaker.retry_after or 0) <= 60


def test_a_process_that_starts_later_learns_that_the_circuit_is_open(valkey: Valkey, node: NodeFactory) -> None:
    first = node(valkey)
    first.fail()
    with valkey.client() as client:
        eventually(lambda: bool(client.keys("palaver:breaker:*")))
    second = node(valkey)
    eventually(lambda: second.is_(State.OPEN))


def test_the_whole_fleet_takes_one_probe_and_closes_by_it(valkey: Valkey, node: NodeFactory) -> None:
    nodes = [node(valkey, open_for=0.2) for _ in range(3)]
    nodes[0].fail()
    eventually(lambda: all(not one.breaker.is_closed for one in nodes))
    attempts = [probe(one.breaker) for one in nodes]
    deadline = time.monotonic() + DEADLINE_SECONDS
    taken = 0
    while not taken and time.monotonic() < deadline:
        taken = sum(attempt() for attempt in attempts)
    assert taken == 1
    assert not any(attempt() for attempt in attempts for _ in range(20))
    (permit,) = [permit for attempt in attempts for permit in attempt.permits]  # type: ignore[attr-defined]  # as above
    assert permit.success()
    eventually(lambda: all(one.is_(State.CLOSED) for one in nodes))


def test_successes_of_different_processes_add_up(valkey: Valkey, node: NodeFactory) -> None:
    options = {"open_for": 0.1, "close_after": 2, "probe_concurrency": 2}
    first, second = node(valkey, **options), node(valkey, **options)
    first.fail()
    eventually(lambda: not second.breaker.is_closed)
    mine, theirs = probe(first.breaker), probe(second.breaker)
    eventually(mine)
    eventually(theirs)
    mine.permits[0].success()  # type: ignore[attr-defined]  # see probe
    assert not first.is_(State.CLOSED)
    theirs.permits[0].success()  # type: ignore[attr-defined]  # see probe
    eventually(lambda: first.is_(State.CLOSED) and second.is_(State.CLOSED))


def test_a_failed_probe_opens_again_for_everybody(valkey: Valkey, node: NodeFactory) -> None:
    first, second = node(valkey, open_for=0.2), node(valkey, open_for=0.2)
    first.fail()
    eventually(lambda: not second.breaker.is_closed)
    attempt = probe(second.breaker)
    eventually(attempt)
    attempt.permits[0].failure(BoomError("still down"))  # type: ignore[attr-defined]  # see probe
    eventually(lambda: first.breaker.snapshot().attempt == 2)


def test_a_place_that_no_call_takes_goes_back_to_the_fleet(valkey: Valkey, node: NodeFactory) -> None:
    first, second = node(valkey, open_for=0.1), node(valkey, open_for=0.1)
    first.fail()
    eventually(lambda: not second.breaker.is_closed)
    wants = probe(first.breaker)
    eventually(lambda: first.breaker.state is State.HALF_OPEN)
    wants()  # asks, is granted a place, and never comes back for it
    theirs = probe(second.breaker)
    eventually(theirs)
    theirs.permits[0].release()  # type: ignore[attr-defined]  # see probe


def test_every_process_decides_alone_while_the_server_is_away(own_valkey: Valkey, node: NodeFactory) -> None:
    one = node(own_valkey, open_for=0.1)
    own_valkey.kill()
    eventually(lambda: not one.fleet.connected)
    one.fail()
    assert one.is_(State.OPEN) or one.is_(State.HALF_OPEN)
    attempt = probe(one.breaker)
    eventually(attempt)
    attempt.permits[0].success()  # type: ignore[attr-defined]  # see probe
    assert one.is_(State.CLOSED)
    own_valkey.start()
    eventually(lambda: one.fleet.connected)
    assert one.changes == [True, False, True]


def test_a_silent_server_counts_as_away_and_delays_no_call(own_valkey: Valkey, node: NodeFactory) -> None:
    one = node(own_valkey, open_for=60, patience=3.0)
    own_valkey.pause()
    try:
        one.fail()
        started = time.monotonic()
        with pytest.raises(CircuitOpenError):
            one.breaker.call(lambda: None)
        assert time.monotonic() - started < 2.0, "it does not wait as long as the client would"
        eventually(lambda: not one.fleet.connected)
    finally:
        own_valkey.resume()
    eventually(lambda: one.fleet.connected)


def test_what_was_learnt_alone_is_told_when_the_server_is_back(own_valkey: Valkey, node: NodeFactory) -> None:
    one = node(own_valkey)
    own_valkey.kill()
    eventually(lambda: not one.fleet.connected)
    one.fail()
    own_valkey.start()
    other = node(own_valkey)
    eventually(lambda: other.is_(State.OPEN))


def test_different_options_do_not_share(valkey: Valkey, node: NodeFactory) -> None:
    strict, lenient = node(valkey), node(valkey, probe_timeout=99)
    same = node(valkey)
    strict.fail()
    eventually(lambda: same.is_(State.OPEN))
    assert lenient.is_(State.CLOSED)


def test_what_cannot_be_shared_is_refused(valkey: Valkey) -> None:
    with pytest.raises(ValueError, match="socket_timeout"), valkey.client(socket_timeout=None) as client:
        Fleet(client)
    with valkey.client(socket_timeout=1) as client, Fleet(client) as fleet:
        with pytest.raises(ValueError, match="needs a name"):
            fleet.share(CircuitBreaker())
        fleet.share(CircuitBreaker("a"))
        with pytest.raises(ValueError, match="already"):
            fleet.share(CircuitBreaker("a"))
