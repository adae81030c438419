"""Any sequence of jobs, restarts and waiting is answered by every log as a plain model answers it."""

import asyncio
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.chat.effects import Append, LogJob
from palaver.chat.records import Sanction, User
from tests.unit.server.log.driving import (
    ADA,
    BOB,
    START_MS,
    Clock,
    Driven,
    fates,
    fold_early,
    load,
    maker,
    page,
    redact,
    save,
)
from tests.unit.server.log.model import Model

AGE_SECONDS = 60
rooms = st.sampled_from(["lobby", "kitchen", "\u00fc"])
users = st.sampled_from([ADA, BOB, User("u-ada", "ada renamed")])
cids = st.sampled_from(["c-1", "c-2", "c-3", "c-4"])
numbers = st.integers(0, 12)
optional = st.none() | numbers


@st.composite
def appends(draw: st.DrawFn) -> Append:
    when = START_MS + draw(st.integers(-5, 5)) * 1000
    return Append(
        "c",
        "1",
        draw(rooms),
        draw(users),
        draw(st.text(max_size=5)),
        draw(st.none() | cids),
        f"m-{draw(numbers)}",
        when,
    )


@st.composite
def sanctions(draw: st.DrawFn) -> Sanction:
    kinds: tuple[Literal["ban", "mute", "slow"], ...] = ("ban", "mute", "slow")
    until = draw(st.none() | st.integers(0, 2**40))
    seconds = draw(st.floats(0, 100))
    return Sanction(
        draw(st.sampled_from(kinds)),
        draw(rooms),
        draw(cids),
        draw(st.booleans()),
        until,
        seconds,
        "u-mod",
        "why",
        draw(numbers),
    )


jobs: st.SearchStrategy[LogJob] = st.one_of(
    appends(),
    appends(),
    appends(),
    st.builds(lambda room: load(room), rooms),
    st.builds(
        lambda room, before, after, limit: page(room=room, before=before, after=after, limit=limit),
        rooms,
        optional,
        optional,
        st.integers(1, 5),
    ),
    st.builds(lambda room, some, user: fates(*some, room=room, user=user.id), rooms, st.sets(cids), users),
    st.builds(lambda room, seq: redact(seq, room=room), rooms, numbers),
    st.builds(save, sanctions()),
)
full = st.integers(1, 20)  # messages of a generation of the journal
step = st.integers(1, 4)  # rows of a step of folding; a slice has four
restart = st.just("restart")
waiting = st.integers(1, 40)  # seconds
steps = st.lists(st.one_of(st.lists(jobs, max_size=12), st.lists(jobs, max_size=12), restart, waiting), max_size=12)


async def compare(kind: str, steps: list[list[LogJob] | str | int], history: int, *, ageing: bool) -> None:
    age = AGE_SECONDS if ageing else None
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        make = maker(kind, Path(directory), clock)
        log = Driven(make(history=history, age_seconds=age))
        model = Model(history, AGE_SECONDS * 1000 if ageing else None, log.log.epoch)
        try:
            for step in steps:
                if isinstance(step, list):
                    expected = [model.perform(job, clock.ms) for job in step]
                    assert await log.do(*step) == expected
                elif isinstance(step, int):
                    clock.ms += step * 1000
                elif kind != "memory":
                    await log.log.close()
                    log = Driven(make(history=history, age_seconds=age))
                    saved = {(s.kind, s.room, s.user): s for s in log.log.sanctions()}
                    assert (log.log.epoch, saved) == (model.epoch, model.sanctions)
        finally:
            await log.log.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None)
@given(steps=steps, history=st.integers(0, 6), ageing=st.booleans(), full=full, step=step)
def test_a_log_answers_as_the_plain_model_does(
    kind: str, steps: list[list[LogJob] | str | int], history: int, ageing: bool, full: int, step: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fold_early(patch, full=full, stored=1, step=step)
        asyncio.run(compare(kind, steps, history, ageing=ageing))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=5_000, deadline=None)
@given(steps=steps, history=st.integers(0, 6), ageing=st.booleans(), full=full, step=step)
def test_a_log_answers_as_the_plain_model_does_at_length(
    kind: str, steps: list[list[LogJob] | str | int], history: int, ageing: bool, full: int, step: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fold_early(patch, full=full, stored=1, step=step)
        asyncio.run(compare(kind, steps, history, ageing=ageing))
