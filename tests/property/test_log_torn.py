"""Power is lost in the middle of a write: whatever part of the log file is there, the store is some earlier moment.

The machine is not switched off here. A torn file is made by cutting a copy of it anywhere, or by damaging the rest.
"""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaver.chat.effects import Append, Fates, Found, Load, Loaded, Stored
from palaver.chat.records import User
from palaver.server.log.opening import DATABASE, open_store
from palaver.server.log.retention import Retention
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import fold_early

BATCHES, EACH = 12, 9
WAL = f"{DATABASE}-wal"
ROOMS = ("a", "b", "c")


def job(number: int) -> Append:
    return Append("c", "1", ROOMS[number % 3], User("u", "n"), f"text {number}", f"c-{number}", f"m-{number}", number)


@cache
def written() -> tuple[bytes, bytes, str]:
    """The two files of a store that never closed, after some batches, and its epoch."""
    with tempfile.TemporaryDirectory() as directory:
        writer = Writer(open_store(Path(directory)), Retention(1_000), lambda: 0)
        with pytest.MonkeyPatch.context() as patch:
            fold_early(patch, full=30, stored=EACH, step=5)
            for batch in range(BATCHES):
                writer.perform([job(batch * EACH + number) for number in range(EACH)])
                writer.tend(idle=False)
        files = [(Path(directory) / name).read_bytes() for name in (DATABASE, WAL)]
        epoch = writer._store.epoch
        writer.close()
        return files[0], files[1], epoch


@given(share=st.floats(0, 1), damaged=st.booleans())
@example(share=0.0, damaged=False)
@example(share=1.0, damaged=False)
def test_a_torn_log_is_a_whole_number_of_batches_dense_and_goes_on(share: float, damaged: bool) -> None:
    database, wal, epoch = written()
    cut = int(len(wal) * share)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / DATABASE).write_bytes(database)
        (directory / WAL).write_bytes(wal[:cut] + (b"\xa5" * (len(wal) - cut) if damaged else b""))
        store = open_store(directory)
        writer = Writer(store, Retention(1_000), lambda: 0)
        try:
            check(writer, whole=share == 1.0)
            assert store.epoch == epoch
        finally:
            writer.close()


def check(writer: Writer, *, whole: bool) -> None:
    loaded = [result for result in writer.perform([Load(room) for room in ROOMS]).results if isinstance(result, Loaded)]
    count = sum(len(result.messages) for result in loaded)
    assert count % EACH == 0
    assert not whole or count == BATCHES * EACH
    stored = sorted(message.time for result in loaded for message in result.messages)
    assert stored == list(range(count)), "exactly the first batches"
    for result in loaded:
        assert [message.seq for message in result.messages] == list(range(1, result.seq + 1))
        cids = tuple(f"c-{number}" for number in range(BATCHES * EACH))
        (found,) = writer.perform([Fates("c", "2", result.job.room, "u", cids)]).results
        assert isinstance(found, Found)
        assert {c: s for c, s in found.seqs.items() if s} == {message.cid: message.seq for message in result.messages}
    (again,) = writer.perform([job(count)]).results
    assert isinstance(again, Stored)
    assert (again.seq, again.duplicate) == (count // 3 + 1, False)
