"""Stamps from too far in the future: they wait, and are neither believed nor lost."""

from datetime import timedelta

import pytest

from palaver.crdt import (
    MAX_STAMP,
    LWWElementSet,
    merged,
)
from palaver.crdt.clock import COUNTER_BITS
from palaver.crdt.delta import DeltaOfOne
from tests.unit.crdt.replicas import Wall, replica

pytestmark = pytest.mark.usefixtures("joining")


def test_a_future_stamp_waits_in_quarantine_and_joins_when_the_clock_allows_it() -> None:
    wall = Wall(1_000_000)
    members, fast = replica("a", wall=wall), replica("b", wall=Wall(1_090_000))
    members.add("bob")
    delta = fast.add("ada")

    assert not members.merge(delta)
    assert "ada" not in members
    assert set(members.pending) == {"ada"}
    assert members.clock.lead < timedelta(seconds=1)

    wall.milliseconds += 29_000
    assert not members.admit()
    wall.milliseconds += 1_000
    assert members.admit().added() == {"ada"}
    assert not members.pending
    assert members.state_equal(merged(members, fast))


def test_a_far_future_stamp_does_not_hide_a_nearer_one_of_the_same_element() -> None:
    wall = Wall(1_000_000)
    members = replica(wall=wall)
    members.merge(DeltaOfOne(0, "ada", 2 * (1_070_000 << COUNTER_BITS) + 1))
    members.merge(DeltaOfOne(0, "ada", 2 * MAX_STAMP))

    wall.milliseconds += 10_000
    members.admit()

    assert "ada" in members
    assert members.statistics().pending == 1


def test_the_believed_part_of_a_merge_is_taken_at_once() -> None:
    members, fast = replica("a"), replica("b")
    fast.add("ada", 5)
    fast.add("bob", MAX_STAMP)

    assert members.merge(fast).added() == {"ada"}
    assert set(members.pending) == {"bob"}


def test_a_full_quarantine_turns_away_and_counts() -> None:
    members, fast = replica("a"), replica("b")
    for number in range(10_003):
        fast.add(str(number), MAX_STAMP)

    members.merge(fast)

    assert members.statistics() == (0, 0, 10_000, 3)


def test_without_a_drift_bound_every_stamp_is_believed() -> None:
    members: LWWElementSet[str] = LWWElementSet(max_drift=None)
    fast = replica("b")
    fast.add("ada", MAX_STAMP)

    assert members.merge(fast).added() == {"ada"}
