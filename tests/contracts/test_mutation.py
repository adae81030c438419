"""The mutation tests are tested: which mutants are made, and how the end of the tests against one is told."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.mutate_breaker import EQUIVALENT, MODULES, mutants_of
from tools.mutation import FORK, HELD_UP_SECONDS, TRIES, Ending, Limits, ending, mutants, sleeps

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SHORT = Limits(processor=1, asleep=1.0)

SOURCE = '''
"""Example."""
LIMIT = 3

class Door:
    def __init__(self, width: int = 2) -> None:
        """Open it."""
        self.open = True

    def passes(self, size):
        def fits():
            return 0 < size < 5
        if fits() and self.open:
            return min(size, -1)
        self.open -= 1 + 1
        shut()
'''

CHANGES = [
    "Door.__init__: self.open = True -> self.open = None",
    "Door.__init__: True -> False",
    "Door.passes: if fits() and self.open: -> if not (fits() and self.open):",
    "Door.passes: fits() and self.open -> fits() or self.open",
    "Door.passes: return min(size, -1) -> return None",
    "Door.passes: min(size, -1) -> max(size, -1)",
    "Door.passes: -1 -> +1",
    "Door.passes: 1 -> 2",
    "Door.passes: self.open -= 1 + 1 -> self.open += 1 + 1",
    "Door.passes: 1 + 1 -> 1 - 1",
    "Door.passes: 1 -> 2 #2",
    "Door.passes: 1 -> 2 #3",
    "Door.passes: shut() -> None",
    "Door.passes.fits: return 0 < size < 5 -> return None",
    "Door.passes.fits: 0 < size < 5 -> 0 <= size < 5",
    "Door.passes.fits: 0 < size < 5 -> 0 < size <= 5",
    "Door.passes.fits: 0 -> 1",
    "Door.passes.fits: 5 -> 6",
]


def test_every_mutant_has_one_change_and_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(SOURCE)
    found = list(mutants(path))
    assert sorted(map(str, found)) == sorted(f"example:{change}" for change in CHANGES)
    assert len({mutant.source for mutant in found}) == len(found)


@pytest.mark.slow
def test_what_is_explained_exists() -> None:
    names = [str(mutant) for module in MODULES for mutant in mutants_of(module)]
    assert len(set(names)) == len(names)
    assert EQUIVALENT.keys() - set(names) == set()


def spin() -> int:
    for _ in itertools.count():
        pass
    return 0


def deadlock() -> int:
    lock = threading.Lock()
    with lock:
        lock.acquire()
    return 0


def doze() -> int:
    while not threading.Event().wait(0.01):
        pass
    return 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda: 0, Ending.PASSED),
        (lambda: 2, Ending.FAILED),
        (spin, Ending.OUT_OF_TIME),
        (deadlock, Ending.OUT_OF_TIME),
        (doze, Ending.OUT_OF_TIME),
    ],
)
def test_tests_pass_or_fail_or_come_to_no_end(run: Callable[[], int], expected: Ending) -> None:
    assert ending(run, SHORT) is expected


def test_who_is_stopped_does_not_sleep() -> None:
    process = FORK.Process(target=deadlock)
    process.start()
    pid = process.pid
    assert pid is not None
    while not sleeps(pid):
        pass
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    assert not sleeps(pid)
    process.kill()
    process.join()
    assert not sleeps(pid)


@pytest.mark.parametrize("disturbed", [0, 1, TRIES])
def test_a_failure_is_believed_when_nobody_was_held_up(disturbed: int) -> None:
    tries = multiprocessing.Value("i", 0)
    now, seen = 0.0, 0

    def run() -> int:
        tries.value += 1
        return 1

    def clock() -> float:
        """Leaps once in each run in which this process is said to be held up."""
        nonlocal now, seen
        if tries.value != seen:
            seen = tries.value
            now += HELD_UP_SECONDS * (2 if seen <= disturbed else 0)
        return now

    assert ending(run, clock=clock) is (Ending.FAILED if disturbed < TRIES else Ending.UNKNOWN)
    assert tries.value == min(disturbed + 1, TRIES)


def test_who_was_held_up_and_passed_has_passed() -> None:
    assert ending(lambda: 0, clock=itertools.count(0, 2 * HELD_UP_SECONDS).__next__) is Ending.PASSED
