"""kill -9 at random moments under load: what was acknowledged is there, dense, once, and numbering goes on."""

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from palaver.chat.effects import Found, Loaded
from palaver.server.log.opening import open_store
from tests.faults.log_program import ROOMS, job, opened
from tests.unit.server.log.driving import Driven, fates, load

ROUNDS = 5
EVERYTHING = 1_000_000


class Acknowledged:
    """What the killed processes had said: per room, which `mid` has which `seq`."""

    def __init__(self) -> None:
        self.places: dict[str, dict[int, str]] = defaultdict(dict)
        self.seqs: dict[str, dict[str, int]] = defaultdict(dict)
        self.epochs: set[str] = set()

    def add(self, line: str) -> None:
        word, *rest = line.split()
        if word == "epoch":
            self.epochs.add(rest[0])
            return
        seq, mid, cid = int(rest[0]), rest[1], rest[2]
        assert mid == cid.replace("c-", "m-"), "a repetition names the first one"
        assert self.places[word].setdefault(seq, mid) == mid, "a number is given once"
        assert self.seqs[word].setdefault(mid, seq) == seq, "a message has one number"

    @property
    def count(self) -> int:
        return sum(map(len, self.places.values()))


def started(program: str, *arguments: Path | int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.log_program", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def flood_and_kill(directory: Path, first: int, history: int, at_least: int, said: Acknowledged) -> None:
    """Run a flood, and kill it as soon as so many lines were read; then read what else it had said."""
    with started("flood", directory, first, history) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if line.endswith("\n"):  # the last line may be cut by the kill; then nobody was told
                said.add(line)
            if number == at_least:
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("history", [EVERYTHING, 20])
async def test_nothing_acknowledged_is_lost_doubled_or_renumbered_by_kill_9(tmp_path: Path, history: int) -> None:
    said, chance = Acknowledged(), random.Random(history)
    first = 0
    for _ in range(ROUNDS):
        flood_and_kill(tmp_path, first, history, chance.randrange(1, 6_000), said)
        # Overlaps with what the killed process had in flight: some of it is stored, and then a repetition.
        first = max((int(mid[2:]) for room in said.seqs.values() for mid in room), default=0) // ROOMS * ROOMS
        await verify(tmp_path, history, said)
    assert said.count > 1_000
    assert len(said.epochs) == 1


async def verify(directory: Path, history: int, said: Acknowledged) -> None:
    log = Driven(opened(directory, history))
    said.epochs.add(log.log.epoch)
    for room, places in said.places.items():
        loaded = await log.ask(load(room), Loaded)
        stored = {message.seq: message.mid for message in loaded.messages}
        assert sorted(stored) == list(range(max(loaded.seq - history, 0) + 1, loaded.seq + 1)), "dense to the last"
        assert loaded.seq >= max(places)
        assert {seq: mid for seq, mid in places.items() if seq in stored}.items() <= stored.items()
        assert all(message.text == f"text {message.mid[2:]}" for message in loaded.messages)
        assert len(set(stored.values())) == len(stored), "nothing twice"
        fate = await log.ask(fates(*(mid.replace("m-", "c-") for mid in places.values()), room=room, user="u"), Found)
        assert fate.seqs == {mid.replace("m-", "c-"): seq for seq, mid in places.items()}
    await log.log.close()


def test_a_store_that_only_had_joins_keeps_its_epoch_over_kill_9(tmp_path: Path) -> None:
    identities = set()
    for _ in range(2):
        with started("quiet", tmp_path) as process:
            assert process.stdout is not None
            identities.add(process.stdout.readline())
            process.kill()
    store = open_store(tmp_path)
    identities.add(f"{store.epoch} {store.secret.hex()}\n")
    store.close()
    assert len(identities) == 1


def test_the_flood_repeats_itself_within_a_room() -> None:
    repetitions = [(number, job(number)) for number in range(80) if job(number).mid != f"m-{number}"]
    assert len(repetitions) == 10
    assert all(job(number - ROOMS).room == again.room for number, again in repetitions)
