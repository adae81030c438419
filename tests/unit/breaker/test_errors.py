"""What is raised, what is kept of a failure, and how exceptions are classified."""

import asyncio
import copy
import gc
import pickle
import weakref
from collections.abc import Callable

import pytest

from palaver.breaker import BreakerError, CircuitBreaker, CircuitOpenError, Outcome, Reason, State, WrongKindError
from palaver.breaker.classify import Classifier
from palaver.breaker.errors import describe
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


class SubError(BoomError):
    """A kind of it."""


class MuteError(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_rejection_says_everything_also_after_pickling_and_copying() -> None:
    breaker = CircuitBreaker("db", failure_threshold=1, open_for=10, clock=FakeClock())
    breaker.acquire().failure(BoomError("down"))
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (error.name, error.state, error.reason, error.retry_after) == ("db", State.OPEN, Reason.OPEN, 10.0)
        assert error.last_failure == describe(BoomError("down"), 0.0)
        assert str(error) == (
            "circuit db is open: the dependency failed and is left alone for now; retry in 10 s; "
            f"last failure: {BoomError.__module__}.BoomError: down"
        )
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_rejection_may_be_made_by_hand_for_tests_of_ones_own() -> None:
    error = CircuitOpenError(None, State.HALF_OPEN, Reason.PROBE_LIMIT)
    assert (error.retry_after, error.last_failure) == (None, None)
    assert str(error) == "circuit (unnamed) is half-open: all permitted probes are under way"
    assert isinstance(error, BreakerError)
    assert issubclass(WrongKindError, TypeError)
    for reason in Reason:
        assert str(CircuitOpenError("x", State.OPEN, reason)).startswith("circuit x is open: ")


def test_of_a_failure_only_text_is_kept() -> None:
    assert describe(ValueError("x" * 300), 1.5) == ("ValueError", "x" * 200, 1.5)
    assert describe(MuteError(), 0).message == "(its text cannot be shown)"
    assert describe(None, 0) == ("result", "declared a failure", 0)
    breaker = CircuitBreaker(failure_threshold=1)

    class Frame:
        """Something large in a frame of the traceback."""

    held: list[weakref.ref[Frame]] = []

    def raises() -> None:
        frame = Frame()
        held.append(weakref.ref(frame))
        raise BoomError(frame)

    with pytest.raises(BoomError):
        breaker.call(raises)
    with pytest.raises(CircuitOpenError):
        breaker.call(raises)
    gc.collect()
    assert held[0]() is None


GROUP = ExceptionGroup("g", [ValueError(), ExceptionGroup("inner", [SubError()])])


def is_boom(error: BaseException) -> bool:
    return isinstance(error, BoomError)


def fails_itself(error: BaseException) -> bool:
    raise RuntimeError(error)


@pytest.mark.parametrize(
    ("matchers", "error", "outcome"),
    [
        (((Exception,), (), ()), BoomError(), Outcome.FAILURE),
        (((Exception,), (), ()), TimeoutError(), Outcome.FAILURE),
        (((Exception,), (), ()), asyncio.CancelledError(), Outcome.CANCELLED),
        (((Exception,), (), ()), KeyboardInterrupt(), Outcome.CANCELLED),
        (((Exception,), (), ()), GROUP, Outcome.FAILURE),
        (((Exception,), (), ()), BaseExceptionGroup("g", [KeyboardInterrupt(), GROUP]), Outcome.FAILURE),
        (((Exception,), (), ()), BaseExceptionGroup("g", [KeyboardInterrupt()]), Outcome.CANCELLED),
        (((BoomError,), (), ()), SubError(), Outcome.FAILURE),
        (((OSError, BoomError), (), ()), SubError(), Outcome.FAILURE),
        (((BoomError,), (), ()), ValueError(), Outcome.IGNORED),
        (((BoomError,), (), ()), GROUP, Outcome.FAILURE),
        (((OSError,), (), ()), GROUP, Outcome.IGNORED),
        (((BoomError,), (), ()), GeneratorExit(), Outcome.CANCELLED),
        (((KeyboardInterrupt,), (), ()), KeyboardInterrupt(), Outcome.FAILURE),
        ((is_boom, (), ()), SubError(), Outcome.FAILURE),
        ((is_boom, (), ()), GROUP, Outcome.FAILURE),
        ((is_boom, (), ()), ValueError(), Outcome.IGNORED),
        (((Exception,), (SubError,), ()), SubError(), Outcome.IGNORED),
        (((Exception,), (SubError,), ()), BoomError(), Outcome.FAILURE),
        (((Exception,), (BoomError,), ()), GROUP, Outcome.FAILURE),
        (((Exception,), (BoomError, ValueError), ()), GROUP, Outcome.IGNORED),
        (((Exception,), (), (BoomError,)), SubError(), Outcome.UNREACHABLE),
        (((Exception,), (), (BoomError,)), GROUP, Outcome.UNREACHABLE),
        (((Exception,), (BoomError,), (BoomError,)), BoomError(), Outcome.IGNORED),
        ((fails_itself, (), ()), BoomError(), Outcome.FAILURE),
        ((fails_itself, (), ()), KeyboardInterrupt(), Outcome.CANCELLED),
        (((Exception,), fails_itself, ()), BoomError(), Outcome.FAILURE),
        (((Exception,), (), fails_itself), BoomError(), Outcome.FAILURE),
    ],
)
def test_exceptions_are_matched_by_kind_by_leaf_and_by_predicate(
    matchers: tuple[tuple[type[BaseException], ...] | Callable[[BaseException], bool], ...],
    error: BaseException,
    outcome: Outcome,
) -> None:
    assert Classifier(*matchers)(error) is outcome


def test_a_predicate_over_results_that_raises_says_nothing_against_the_result() -> None:
    breaker = CircuitBreaker(failure_threshold=1, failure_results=lambda result: result.nothing)
    assert breaker.call(lambda: 7) == 7
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 1


def test_the_group_itself_comes_out_of_a_task_group() -> None:
    breaker = CircuitBreaker(failure_threshold=1, failures=BoomError)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(raising())

    async def raising() -> None:
        raise SubError

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(breaker.acall(work))
    assert isinstance(caught.value.exceptions[0], SubError)
    assert breaker.state is State.OPEN
