"""Power is lost at any moment: what was synced is on the disk, and of what was not any part, in any order.

The writes and syncs of a real process are recorded on their way to the kernel, and the files made from them as a disk
may have them. So this shows which commits wait for the disk, which `test_log_torn.py` cannot.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaver.chat.effects import Fates, Found, Load, Loaded
from palaver.server.log.opening import DATABASE, open_store
from palaver.server.log.retention import Retention
from palaver.server.log.writer import Writer
from tests.faults.power_program import ACKNOWLEDGED, MESSAGES, ROOMS

FAILURES = 60
FILES = {b"d": DATABASE, b"w": f"{DATABASE}-wal"}
HERE = Path(__file__).parent
compiler = shutil.which("cc")
Record = tuple[bytes, bytes, int, bytes]  # operation, file, offset or number, data


def recorded(tmp_path: Path, history: int) -> list[Record]:
    """What a process did, in order."""
    assert compiler is not None
    library, trace = tmp_path / "shim.so", tmp_path / "trace"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "power_shim.c", "-ldl"], check=True)
    trace.touch()
    command = [sys.executable, "-m", "tests.faults.power_program", str(tmp_path / "store"), str(history)]
    environment = {**os.environ, "LD_PRELOAD": str(library), "POWER_TRACE": str(trace)}
    subprocess.run(command, check=True, env=environment, cwd=HERE.parents[1])
    return list(records(trace.read_bytes()))


def records(data: bytes) -> Iterator[Record]:
    at = 0
    while at < len(data):
        operation, file, offset, length = struct.unpack_from("<ccqq", data, at)
        at += 18 + length
        yield operation, file, offset, data[at - length : at]


def change(content: bytearray, record: Record) -> None:
    operation, _, offset, data = record
    if operation == b"T":
        del content[offset:]
        return
    content.extend(bytes(max(offset - len(content), 0)))
    content[offset : offset + len(data)] = data


class Disk:
    """The files as they are for sure, and what may or may not be there as well."""

    def __init__(self) -> None:
        self.sure = {file: bytearray() for file in FILES}
        self.open: dict[bytes, list[Record]] = {file: [] for file in FILES}

    def take(self, record: Record) -> None:
        operation, file = record[:2]
        if operation != b"S":
            self.open[file].append(record)
            return
        for each in self.open[file]:
            change(self.sure[file], each)
        self.open[file].clear()

    def fail(self, directory: Path, chance: random.Random) -> None:
        """The files as they may be found after a failure now."""
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for file, name in FILES.items():
            content = bytearray(self.sure[file])
            for record in self.open[file]:
                if chance.random() < share:
                    change(content, record)
            (directory / name).write_bytes(content)


def check(directory: Path, history: int, acknowledged: int) -> None:
    """Everything acknowledged is there, once, in order, with its send; and so is whatever else is there."""
    writer = Writer(open_store(directory), Retention(history), lambda: 0)
    for room in range(ROOMS):
        (loaded,) = writer.perform([Load(f"r{room}")]).results
        assert isinstance(loaded, Loaded)
        assert loaded.seq >= acknowledged // ROOMS
        seqs = range(max(loaded.seq - history, 0) + 1, loaded.seq + 1)
        assert [(each.seq, each.mid) for each in loaded.messages] == [(n, f"m-{(n - 1) * ROOMS + room}") for n in seqs]
        fates = {f"c-{(n - 1) * ROOMS + room}": n for n in range(1, loaded.seq + 1)}
        (found,) = writer.perform([Fates("c", "2", f"r{room}", "u", tuple(fates))]).results
        assert isinstance(found, Found)
        assert found.seqs == fates
    writer.close()


@pytest.mark.skipif(compiler is None, reason="there is no C compiler")
@pytest.mark.parametrize("history", [5, 1_000_000])
def test_what_was_acknowledged_is_there_after_power_was_lost_at_any_moment(tmp_path: Path, history: int) -> None:
    done, disk, acknowledged, chance = recorded(tmp_path, history), Disk(), 0, random.Random(history)
    assert sum(operation == b"S" and file == b"d" for operation, file, *_ in done) > 10, "there were checkpoints"
    begun = next(number for number, record in enumerate(done) if record[0] + record[1] == ACKNOWLEDGED)
    failures = set(chance.sample(range(begun, len(done)), FAILURES))
    for number, record in enumerate(done):
        if record[0] + record[1] == ACKNOWLEDGED:
            acknowledged = record[2]
        else:
            disk.take(record)
        if number in failures:
            with tempfile.TemporaryDirectory() as directory:
                disk.fail(Path(directory), chance)
                check(Path(directory), history, acknowledged)
    assert acknowledged == MESSAGES
