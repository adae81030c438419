"""Every mistake in the fast path is found: wrong C files are built, and the comparison with the ordinary way fails."""

import asyncio
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, given, settings

import hatch_build
from palaver.chat.settings import ChatSettings
from palaver.server import fastpath
from palaver.server.bounds import Bounds
from tests.compiling import built
from tests.property.server.test_fastpath import all_bounds, all_settings, all_steps, tell

pytestmark = pytest.mark.skipif(not fastpath.COMPILED, reason="there is no C compiler or no Python.h here")

# What is wrong: the file, what stands there once, and what stands there instead.
MUTANTS = {
    "a room's bucket is not asked": ("receive.c", "arrival - tolerance - now > ROUNDING", "0"),
    "a bucket is filled from the past": (
        "receive.c",
        "(arrival > now ? arrival : now) + interval",
        "arrival + interval",
    ),
    "a user's window is not asked": ("receive.c", "taken < limit ? PLAIN", "1 ? PLAIN"),
    "nobody's place is taken": ("receive.c", "take_place(at, message) == 0", "1"),
    "moderation is not asked": ("receive.c", "moderated ? NOT_PLAIN : PLAIN", "PLAIN"),
    "rights are not asked": ("receive.c", "|| FIELD_OF(rights, Rights, send) != at->EVERYWHERE", ""),
    "a sign of life is not noted": ("receive.c", "|| FIELD_OF(session, Session, awaiting_since) != Py_None", ""),
    "when it came is not noted": (
        "receive.c",
        "set_field(&FIELD_OF(message->session, Session, last_in), Py_NewRef(message->now));",
        "",
    ),
    "a command is said aloud": ("receive.c", "span->start[0] == '/'", "0"),
    "spaces are a text": ("receive.c", "!odd && seen", "!odd"),
    "texts have no limit": ("receive.c", "span->size <= self->text_chars", "1"),
    "the clock is not the world's": ("receive.c", "(now + wall) * 1000", "now * 1000"),
    "who is held is heard": ("receive.c", "FIELD_OF(connection, Connection, deaf) == Py_False", "1"),
    "nobody is slowed down": ("receive.c", "if (on_at > now)", "if (0)"),
    "a frame is not counted": (
        "receive.c",
        "count_in(FIELD_OF(self->state, State, requests), at->SendRequest) == 0",
        "1",
    ),
    "the log's turn never comes": (
        "receive.c",
        "answer == PLAIN && FIELD_OF(self->performer",
        "0 && FIELD_OF(self->performer",
    ),
    "who lags is forgotten": ("deliver.c", "FIELD_OF(message->readers, FanoutRoom, backlog) != Py_None", "0"),
    "a window forgets nothing": ("deliver.c", "taken + seconds > now", "1"),
    "milliseconds are rounded down": ("deliver.c", "ceil(", "floor("),
    "nothing is kept": ("deliver.c", "keep(at, message, plain) == 0", "1"),
    "an old picture is shown": (
        "deliver.c",
        "set_field(&FIELD_OF(message->ring, Ring, _newest), Py_NewRef(Py_None));",
        "",
    ),
    "quotes are not escaped": ("frames.c", """ | (byte == '"')""", ""),
    "escapes are not seen": ("frames.c", """odd |= (byte < 0x20) | (byte == '\\\\')""", "odd |= (byte < 0x20)"),
    "what follows is not seen": ("frames.c", "&& skip_spaces(one + 1, end) == end", ""),
    "large frames are taken": ("frames.c", "|| length > limit", ""),
    "acks are repeated": (
        "write.c",
        "FIELD_OF(reader, Connection, acks) = Py_NewRef(Py_None);",
        "FIELD_OF(reader, Connection, acks) = Py_NewRef(acks);",
    ),
    "two rooms are one": ("write.c", "PyTuple_GET_SIZE(FIELD_OF(reader, Connection, rooms)) != 1", "0"),
}


def loaded(folder: Path) -> ModuleType:
    """The module that the C files in a folder make."""
    return built(hatch_build.FAST_PATH, sorted(folder.glob("*.c")), folder, "-O0")


def compare(examples: int) -> None:
    """The comparison, the same each time, up to the first difference."""

    @given(all_settings, all_bounds, all_steps)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    def run(chat: ChatSettings, bounds: Bounds, steps: list[tuple[object, ...]]) -> None:
        asyncio.run(tell(chat, bounds, steps))

    run()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for source in hatch_build.FAST_PATH.sources()[0].parent.glob("*.[ch]"):
        shutil.copy(source, tmp_path)
    return tmp_path


def test_what_is_compiled_here_is_as_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "_fastpath", loaded(folder))
    compare(100)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mistake_in_it_is_found(mutant: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new = MUTANTS[mutant]
    source = (folder / name).read_text()
    assert source.count(old) == 1
    (folder / name).write_text(source.replace(old, new))
    monkeypatch.setattr(fastpath, "_fastpath", loaded(folder))
    with pytest.raises(AssertionError):
        compare(3_000)
