"""Many tasks, many threads, several event loops, and calls within calls: real ones, under watchdogs."""

import asyncio
import contextlib
import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, Outcome, Reason, State, Transition
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError

WATCHDOG_SECONDS = 40.0


@pytest.fixture
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def half_open(**options: int) -> CircuitBreaker:
    clock = FakeClock()
    limit = options.get("limit", 1)
    breaker = CircuitBreaker(
        failure_threshold=1, open_for=10, probes=limit, probe_concurrency=limit, close_after=limit, clock=clock
    )
    breaker.acquire().failure(BoomError("down"))
    clock.advance(10)
    return breaker


def in_threads(count: int, work: Callable[[], object]) -> None:
    """Run `work` in so many threads that begin together, and fail if they do not end."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run() -> None:
        barrier.wait(WATCHDOG_SECONDS)
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG_SECONDS)
        assert not thread.is_alive(), "a thread is stuck"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_a_thousand_tasks_at_half_open_get_exactly_the_permitted_probes(limit: int) -> None:
    breaker = half_open(limit=limit)
    running, peak, go = 0, 0, asyncio.Event()

    async def probe() -> str:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await go.wait()
        running -= 1
        return "probed"

    async def call() -> str:
        try:
            return await breaker.acall(probe)
        except CircuitOpenError as error:
            return error.reason

    tasks = [asyncio.create_task(call()) for _ in range(1000)]
    for _ in range(20):  # turns of the loop, in which every task gets as far as it can
        await asyncio.sleep(0)
    assert sum(task.done() for task in tasks) == 1000 - limit
    go.set()
    answers = await asyncio.gather(*tasks)
    assert (answers.count("probed"), answers.count(Reason.PROBE_LIMIT), peak) == (limit, 1000 - limit, limit)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.usefixtures("eager_switching")
def test_64_threads_at_half_open_get_exactly_the_permitted_probes(limit: int) -> None:
    breaker = half_open(limit=limit)
    answered, everybody = [], threading.Event()
    permits = []

    def call() -> None:
        try:
            permits.append(breaker.acquire())
        except CircuitOpenError as error:
            answered.append(error.reason)
        if len(answered) + len(permits) == 64:
            everybody.set()
        assert everybody.wait(WATCHDOG_SECONDS)

    in_threads(64, call)
    assert (len(permits), answered) == (limit, [Reason.PROBE_LIMIT] * (64 - limit))
    for permit in permits:
        permit.success()
    assert breaker.state is State.CLOSED


def test_the_lock_is_not_held_while_the_function_runs() -> None:
    breaker = CircuitBreaker()
    inside = threading.Barrier(8)
    in_threads(8, lambda: breaker.call(lambda: inside.wait(WATCHDOG_SECONDS)))
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 8


def test_no_foreign_code_runs_under_the_lock() -> None:
    """Every callable of the user's asks the breaker something, which would deadlock if the lock were held."""
    breakers: list[CircuitBreaker] = []

    def free(*_: object) -> bool:
        if breakers:
            assert breakers[0].engine.lock.acquire(blocking=False), "foreign code runs under the lock"
            breakers[0].engine.lock.release()
        return True

    def clock() -> float:
        free()
        return time.monotonic()

    def wait(*_: object) -> float:
        free()
        return 0.0001

    breaker = CircuitBreaker(
        failure_threshold=1,
        open_for=wait,
        failures=free,
        ignore=lambda _: not free(),
        failure_results=free,
        clock=clock,
    )
    breakers.append(breaker)
    breaker.listen(free)
    breaker.observe(free)
    for _ in range(3):
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while breaker.state is State.OPEN:
            assert time.monotonic() < deadline
        breaker.call(lambda: free())
    assert breaker.snapshot().opens == 3


@pytest.mark.usefixtures("eager_switching")
def test_no_update_is_lost_between_threads() -> None:
    breaker = CircuitBreaker(failure_threshold=10**9)
    calls = 5_000

    def work() -> None:
        guarded = breaker(lambda number: number)
        for number in range(calls):
            guarded(number)
            if number % 10 == 0:
                with pytest.raises(BoomError), breaker.guard():
                    raise BoomError

    in_threads(8, work)
    outcomes = breaker.snapshot().outcomes
    assert (outcomes[Outcome.SUCCESS], outcomes[Outcome.FAILURE]) == (8 * calls, 8 * calls // 10)
    assert breaker.snapshot().late_results == 0


@pytest.mark.usefixtures("eager_switching")
def test_under_storms_of_threads_transitions_stay_legal_and_numbered_without_gaps() -> None:
    breaker = CircuitBreaker(failure_threshold=3, open_for=0.0001, history=10**6)
    heard: list[Transition] = []
    breaker.listen(heard.append)

    deadline = time.monotonic() + WATCHDOG_SECONDS

    def work() -> None:
        for number in itertools.count():
            if len(heard) >= 100 or time.monotonic() > deadline:
                break
            with contextlib.suppress(CircuitOpenError):
                permit = breaker.acquire()
                if number % 3:
                    permit.failure(BoomError())
                else:
                    permit.success()

    in_threads(8, work)
    assert [transition.number for transition in heard] == list(range(1, len(heard) + 1))
    for before, after in itertools.pairwise(heard):
        assert before.after is after.before
    assert tuple(heard) == breaker.history
    assert len(heard) >= 100


def test_one_breaker_serves_several_event_loops_and_sync_code_at_once() -> None:
    breaker = CircuitBreaker(failure_threshold=3)

    @breaker
    async def work(value: int) -> int:
        await asyncio.sleep(0)
        return value

    assert asyncio.run(work(1)) == 1
    assert asyncio.run(work(2)) == 2
    in_threads(4, lambda: asyncio.run(work(3)))
    assert breaker.call(lambda: 4) == 4
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 7


def test_calls_within_calls_of_the_same_breaker_work() -> None:
    breaker = CircuitBreaker(failure_threshold=3)

    @breaker
    def stream() -> Iterator[int]:
        yield breaker.call(lambda: breaker.call(lambda: 1))

    def nested() -> None:
        with breaker.guard(), breaker.guard():
            assert list(stream()) == [1]

    in_threads(1, nested)
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 5


async def test_a_listener_may_use_the_breaker_even_to_change_it() -> None:
    breaker = CircuitBreaker(failure_threshold=1)
    heard: list[tuple[int, State]] = []

    def listener(transition: Transition) -> None:
        heard.append((transition.number, transition.after))
        if transition.after is State.OPEN:
            breaker.reset("by the listener")

    breaker.listen(listener)
    breaker.acquire().failure(BoomError())
    assert heard == [(1, State.OPEN), (2, State.CLOSED)]
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN])
async def test_cancelling_at_every_await_gives_the_place_back_and_moves_nothing(state: State) -> None:
    for steps in range(4):
        clock = FakeClock()
        breaker = half_open() if state is State.HALF_OPEN else CircuitBreaker(failure_threshold=1, clock=clock)

        async def work() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        for run in (breaker.acall(work), breaker(work)()):
            task = asyncio.create_task(run)
            for _ in range(steps + 1):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert breaker.state is state
        assert breaker.snapshot().in_flight == 0
        assert breaker.snapshot().outcomes[Outcome.CANCELLED] == 2


async def test_a_timeout_around_a_call_is_neutral_and_a_timeout_inside_is_a_failure() -> None:
    breaker = CircuitBreaker(failure_threshold=1)

    async def times_out() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await breaker.acall(asyncio.sleep, 1)
    assert breaker.is_closed
    with pytest.raises(TimeoutError):
        await breaker.acall(times_out)
    assert not breaker.is_closed


def test_a_finaliser_that_runs_inside_a_locked_section_does_not_deadlock() -> None:
    """The garbage collector may run anywhere, so also where this very thread holds the lock."""
    breaker = half_open()

    @breaker
    def stream() -> Iterator[int]:
        yield 1
        yield 2

    def work() -> None:
        open_stream = stream()
        next(open_stream)
        with breaker.engine.lock:
            del open_stream
            gc.collect()

    in_threads(1, work)
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 1


def test_the_core_loads_no_event_loop_and_nothing_from_outside_the_standard_library() -> None:
    code = (
        "import sys, palaver.breaker\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "foreign = sorted(name for name in loaded - set(sys.stdlib_module_names) if not name.startswith('_'))\n"
        "print(*foreign, 'asyncio' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "src"}
    )
    assert answer.stdout.split() == ["palaver", "False"], answer.stderr
