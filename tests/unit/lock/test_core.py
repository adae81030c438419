"""How an attempt waits, decided without a server: what it asks for, when, and what its lease counts from."""

import pytest

from palaver.lock import Durability
from palaver.lock.core import Attempt, Call, Grant, Request, Sleep, Steps, release_call
from palaver.lock.scripts import ABANDON
from palaver.lock.terms import Terms, drift_seconds

TTL = 20.0
BUSY, BUSY_ENDING = 0, 3
TICKET = 7


class Driven:
    """An attempt, answered by the test."""

    def __init__(self, timeout: float | None = None, durability: Durability | None = None) -> None:
        self.now = 100.0
        self.terms = Terms.of("name", ttl=TTL, renew=False, max_hold=None, claim=1, durability=durability)
        self.attempt = Attempt(self.terms, lambda: self.now)
        self.steps: Steps = self.attempt.steps(timeout)
        self.request: Request = next(self.steps)

    def answer(self, reply: object) -> Request:
        self.request = self.steps.send(reply)
        return self.request

    def ends(self, reply: object) -> Grant | None:
        with pytest.raises(StopIteration) as stopped:
            self.steps.send(reply)
        grant: Grant | None = stopped.value.value
        return grant


def busy(seconds: float, status: int = BUSY) -> list[int]:
    return [status, round(seconds * 1000), TICKET]


def test_a_short_first_wait_carries_the_claim_and_the_lease_counts_from_before_it() -> None:
    driven = Driven()
    wait = driven.answer(busy(1))
    assert isinstance(wait, Sleep)
    assert wait.then is not None
    assert wait.then.args[-1] == TICKET, "it asks with its place in the queue"
    asked = driven.now
    driven.now += 0.9
    grant = driven.ends(42)
    assert grant is not None
    assert grant.deadline == asked + TTL - drift_seconds(TTL), "not from when the answer came"


def test_a_claim_that_was_answered_too_late_is_given_back() -> None:
    driven = Driven()
    driven.answer(busy(1))
    driven.now += TTL
    given_up = driven.answer(42)
    assert isinstance(given_up, Call)
    assert given_up.script is ABANDON


def test_the_release_that_was_made_ready_is_that_of_the_token_that_was_granted() -> None:
    """Also if it was made ready for one that was given up before."""
    driven = Driven()
    driven.attempt.prepare()
    first = driven.attempt.token
    driven.answer([2, 0, 0])
    driven.answer(2)
    driven.attempt.prepare()
    grant = driven.ends(42)
    assert grant is not None
    assert grant.token != first
    assert grant.release is not None
    assert grant.release._replace(ahead=None) == release_call(driven.terms, grant.token)
    assert grant.release.packed == release_call(driven.terms, grant.token).packed


def test_a_release_may_not_have_been_made_ready() -> None:
    """Not every client gives the time for it."""
    driven = Driven()
    driven.attempt.prepare()
    driven.answer([2, 0, 0])
    driven.answer(2)
    grant = driven.ends(42)
    assert grant is not None
    assert grant.release is None


def test_a_first_wait_that_would_cost_the_lease_too_much_is_only_a_wait() -> None:
    wait = Driven().answer(busy(TTL / 10 + 0.1))
    assert isinstance(wait, Sleep)
    assert wait.then is None


def test_a_claim_that_must_be_durable_is_not_sent_along() -> None:
    """The copies are asked on the connection that granted it."""
    wait = Driven(durability=Durability()).answer(busy(1))
    assert isinstance(wait, Sleep)
    assert wait.then is None


def test_later_waits_are_only_waits() -> None:
    driven = Driven()
    driven.answer(busy(1))
    wait = driven.answer(busy(1))
    assert isinstance(wait, Sleep)
    assert wait.then is None


def test_when_the_connection_broke_it_asks_anew_with_the_same_token() -> None:
    driven = Driven()
    wait = driven.answer(busy(1))
    assert isinstance(wait, Sleep)
    again = driven.answer(None)
    assert isinstance(again, Call)
    assert wait.then is not None
    assert again.args[0] == wait.then.args[0]


@pytest.mark.parametrize(("status", "exact"), [(BUSY, False), (BUSY_ENDING, True)])
def test_only_the_end_of_the_hold_is_waited_for_exactly(status: int, exact: bool) -> None:
    wait = Driven().answer(busy(8, status))
    assert isinstance(wait, Sleep)
    assert wait.exact is exact


def test_a_reminder_makes_the_wait_exact() -> None:
    driven = Driven()
    driven.answer(busy(8))
    wait = driven.answer("look:500")
    assert isinstance(wait, Sleep)
    assert wait.seconds == pytest.approx(0.5)
    assert wait.exact


@pytest.mark.parametrize("seconds", [1, 8], ids=["with the claim", "without"])
def test_when_the_callers_time_is_over_it_gives_up(seconds: float) -> None:
    driven = Driven(timeout=0.3)
    wait = driven.answer(busy(seconds))
    assert isinstance(wait, Sleep)
    assert wait.seconds == pytest.approx(0.3)
    driven.now += 0.3
    given_up = driven.answer(busy(8) if wait.then is not None else None)
    assert isinstance(given_up, Call)
    assert given_up.script is ABANDON
    assert driven.ends(2) is None


def test_an_answer_that_came_with_the_end_of_the_callers_time_counts() -> None:
    driven = Driven(timeout=0.3)
    driven.answer(busy(1))
    driven.now += 0.3
    assert driven.ends(42) is not None
