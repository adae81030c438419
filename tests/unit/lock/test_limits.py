"""A limit ends what is awaited as `asyncio.timeout` does, late by little and never early, and sets hardly any timer."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.lock.limits import LATE_SECONDS, Limit
from tests.unit.lock.timers import noted
from tests.unit.review.virtual import Loop, run


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    with Limit(seconds):
        yield


Bound = Callable[[float], AbstractAsyncContextManager[object]]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_it_ends_what_takes_longer_and_leaves_the_task_as_it_was() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught, Limit(1.0):
            await asyncio.sleep(5)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert 1.0 <= now() <= 1.0 + LATE_SECONDS
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(5)

    run(main())


def test_what_ends_in_time_is_not_touched_afterwards() -> None:
    async def main() -> None:
        with Limit(1.0):
            await asyncio.sleep(0.9)
        await asyncio.sleep(10)

    run(main())


def test_errors_of_the_body_go_through() -> None:
    async def main() -> None:
        with pytest.raises(KeyError), Limit(1.0):
            raise KeyError
        await asyncio.sleep(10)

    run(main())


def test_a_limit_that_is_over_at_once_ends_at_the_first_await() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), Limit(-1.0):
            await asyncio.sleep(1)
        assert now() < LATE_SECONDS

    run(main())


@pytest.mark.parametrize(("outer", "inner"), [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_of_two_around_each_other_the_earlier_counts(outer: float, inner: float) -> None:
    ended = []

    async def main() -> None:
        try:
            with Limit(outer):
                try:
                    with Limit(inner):
                        await asyncio.sleep(5)
                except TimeoutError:
                    ended.append("inner")
                    raise
        except TimeoutError:
            ended.append("outer")
        assert now() <= 1.0 + 2 * LATE_SECONDS
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())
    assert ended == (["inner", "outer"] if inner < outer else ["outer"])


async def outcome(bound: Bound, limit: float, works: float, cancelled: float | None) -> tuple[str, float, int]:
    """What a task sees and is, whose body works for so long under a limit and is perhaps cancelled by another."""
    seen: list[str] = []

    async def body() -> None:
        try:
            async with bound(limit):
                await asyncio.sleep(works)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    task = asyncio.create_task(body())
    if cancelled is not None:
        asyncio.get_running_loop().call_later(cancelled, task.cancel)
    await asyncio.gather(task, return_exceptions=True)
    return "".join(seen), now(), task.cancelling()


moments = st.integers(0, 5).map(float)


@settings(max_examples=60)
@given(moments, moments, st.none() | moments)
def test_it_does_what_asyncio_does(limit: float, works: float, cancelled: float | None) -> None:
    """Also where another cancels the task at the same moment. (What ends at that moment may be seen either way.)"""
    if limit == works:
        works += 0.5
    theirs = run(outcome(asyncio.timeout, limit, works, cancelled))
    ours = run(outcome(limited, limit, works, cancelled))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    assert theirs[1] - 1e-6 <= ours[1] <= theirs[1] + LATE_SECONDS


@settings(max_examples=40)
@given(st.lists(st.tuples(moments, st.integers(1, 30).map(float)), min_size=1, max_size=12))
def test_of_many_each_ends_in_time(tasks: list[tuple[float, float]]) -> None:
    """Each begins at some time and would await for ever."""

    async def one(begins: float, limit: float) -> None:
        await asyncio.sleep(begins)
        with pytest.raises(TimeoutError), Limit(limit):
            await asyncio.get_running_loop().create_future()
        assert begins + limit <= now() <= begins + limit + 2 * LATE_SECONDS

    async def main() -> None:
        await asyncio.gather(*(one(begins, limit) for begins, limit in tasks))

    run(main())


def test_a_thousand_in_a_row_set_one_timer_and_the_last_goes_off_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop()
    timers = noted(loop, monkeypatch)

    async def main() -> None:
        for _ in range(1000):
            with Limit(5.0):
                await asyncio.sleep(0)
        assert timers == [5.0]
        await asyncio.sleep(60)
        assert timers == [5.0, 60.0], "the second is that of the sleep"

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_a_loop_that_ended_is_not_kept() -> None:
    kept = []

    async def main() -> None:
        kept.append(weakref.ref(asyncio.get_running_loop()))
        with Limit(60.0):
            await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert kept[0]() is None
