"""Followers hear everything, and a slow one is told that it missed something."""

import pytest

from palaver.review.events import Done, Event, Missed, Stream, Waiting
from tests.unit.review import made

DONE = Done("e", made.matrix(made.evaluation()), None)


async def _all(stream: Stream, told: list[Event], backlog: int) -> list[Event]:
    async with stream.follow(backlog) as follower:
        for event in told:
            stream.tell(event)
        return [event async for event in follower]


async def test_a_follower_hears_every_event_in_order_until_the_end() -> None:
    told: list[Event] = [*(Waiting("e", "p", float(n)) for n in range(5)), DONE]

    assert await _all(Stream(), told, 10) == told


async def test_a_slow_follower_hears_how_much_it_missed_and_then_the_end() -> None:
    told: list[Event] = [*(Waiting("e", "p", float(n)) for n in range(9)), DONE]

    heard = await _all(Stream(), told, 4)

    assert isinstance(heard[0], Missed)
    assert heard[0].count + len(heard) - 1 == len(told)
    assert heard[-1] == DONE


async def test_nobody_following_costs_nothing_and_leaving_ends_it() -> None:
    stream = Stream()
    async with stream.follow() as follower:
        pass
    stream.tell(DONE)

    assert follower.waiting == 0


def test_a_backlog_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="backlog is 0"):
        Stream().follow(0)
