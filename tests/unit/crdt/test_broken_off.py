"""Ctrl-C between any two steps of a write: it has happened or it has not, and whoever follows the changes knows."""

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from palaver.crdt import HybridLogicalClock, LWWElementSet

pytestmark = pytest.mark.usefixtures("joining")

Members = LWWElementSet[str]
PACKAGE = LWWElementSet.__module__.rpartition(".")[0]


class Interrupt:
    """Traces what the package does, opcode by opcode, and raises KeyboardInterrupt before the one with the number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_globals.get("__name__", "").startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                # Taking back is not broken off in turn: that would need a second Ctrl-C.
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def hear(heard: set[str], added: frozenset[str], removed: frozenset[str]) -> None:
    heard ^= added | removed


def state(members: Members) -> dict[str, int]:
    return dict(members._items())


def start(number: int = 4) -> Members:
    members: Members = LWWElementSet(replica="here", clock=HybridLogicalClock("here", lambda: 1, max_drift=None))
    for one in range(number):
        (members.add if one % 3 else members.remove)(f"name-{one}", 10 + one)
    return members


def other(number: int = 6) -> Members:
    members: Members = LWWElementSet(replica="there", clock=HybridLogicalClock("there", lambda: 1, max_drift=None))
    for one in range(number):
        (members.add if one % 2 else members.remove)(f"name-{one}", 11 + one - 3 * (one == 2))
    return members


def collecting(members: Members) -> object:
    members.vouch(20)
    return members.collect(20)


def reseeding(members: Members) -> object:
    snapshot = other()
    snapshot.vouch(12)
    snapshot.collect(12)
    return members.reseed(snapshot)


WRITES: dict[str, Callable[[Members], object]] = {
    "a merge by walking": lambda members: members.merge(other(2).delta_since(None)),
    "a merge by union": lambda members: members.merge(other()),
    "an add": lambda members: members.add("name-0", 99),
    "a remove": lambda members: members.remove("name-1", 99),
    "a remove of what was never there": lambda members: members.remove("new", 99),
    "a clear": lambda members: members.clear(),
    "a collection": collecting,
    "a reseeding": reseeding,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_that_is_broken_off_anywhere_has_happened_or_has_not(write: Callable[[Members], object]) -> None:
    whole = start()
    write(whole)
    left, number = 0, 0
    while not left:
        number += 1
        members, heard = start(), set(start())
        members.digest()
        cursor, copy = members.cursor(), members.copy()
        members.subscribe(partial(hear, heard))
        tracer = Interrupt(number)
        sys._getframe().f_trace_opcodes = True  # Python 3.12 traces opcodes only if a frame asks before `settrace`
        sys.settrace(tracer)
        try:
            write(members)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        left = tracer.left

        assert not members._live.keys() & members._dead.keys(), number
        assert state(members) in (state(start()), state(whole)), number
        assert members._top >= max(state(members).values()), number
        assert members.digest() == members.copy().digest(), number
        assert heard in (set(start()), set(members)), number
        copy.merge(members.delta_since(cursor))
        # What a floor took away, no delta takes away.
        assert members.floor is not None or write is reseeding or copy.state_equal(members), number
    assert state(members) == state(whole)
    assert heard == set(members)
    assert number > 40
