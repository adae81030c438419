"""Stores messages with many small folds, sweeps and checkpoints, and notes in $POWER_TRACE what was acknowledged."""

import os
import struct
import sys
from pathlib import Path

import pytest

from palaver.chat.effects import Append
from palaver.chat.records import User
from palaver.server.log.opening import open_store
from palaver.server.log.retention import Retention
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import fold_early

ROOMS, EACH, MESSAGES = 5, 15, 900
ACKNOWLEDGED = b"A-"


def job(number: int) -> Append:
    return Append(
        "c", "1", f"r{number % ROOMS}", User("u", "n"), f"text {number}", f"c-{number}", f"m-{number}", number
    )


def main(directory: Path, history: int) -> None:
    writer = Writer(open_store(directory), Retention(history), lambda: 0)
    trace = os.open(os.environ["POWER_TRACE"], os.O_WRONLY | os.O_APPEND)
    with pytest.MonkeyPatch.context() as patch:
        fold_early(patch, full=120, stored=1, step=5)
        patch.setattr("palaver.server.log.writer._CHECKPOINT_PAGES", 15)
        patch.setattr("palaver.server.log.writer._SWEEP_STORED", 40)
        patch.setattr("palaver.server.log.writer._SWEEP_SECONDS", 0.0)
        for first in range(0, MESSAGES, EACH):
            writer.perform([job(number) for number in range(first, first + EACH)])
            os.write(trace, struct.pack("<2sqq", ACKNOWLEDGED, first + EACH, 0))
            writer.tend(idle=False)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
