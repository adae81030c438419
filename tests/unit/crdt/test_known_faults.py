"""Faults that sets of this kind have been found to have, elsewhere; each has a test that is named for it."""

import subprocess
import sys
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from palaver.crdt import (
    BehindFloorError,
    Bias,
    ElementError,
    HybridLogicalClock,
    LWWElementSet,
    Roster,
    StampError,
    merged,
)
from palaver.crdt.clock import milliseconds_in, wall_milliseconds
from tests.unit.crdt.replicas import BIASES, Wall

pytestmark = pytest.mark.usefixtures("joining")

NOON_MS = 1_795_262_400_000


def replica(name: str = "a", *, bias: Bias = "add", wall: Wall | None = None) -> LWWElementSet[Any]:
    return LWWElementSet(bias=bias, clock=HybridLogicalClock(name, wall or Wall(NOON_MS)))


# Stamps


@pytest.mark.parametrize("stamp", [0, -1])
def test_a_remove_at_stamp_zero_or_below_is_remembered_and_a_later_add_is_taken(stamp: int) -> None:
    members, other = replica(), replica("b")
    members.remove("ada", stamp)

    assert not members.add("ada", stamp - 1)
    other.merge(members)
    assert other.tombstones() == {"ada"}
    assert members.add("ada", stamp + 1).added() == {"ada"}


@pytest.mark.parametrize("bias", BIASES)
def test_an_element_never_seen_is_not_an_add_and_a_remove_that_tie_at_zero(bias: Bias) -> None:
    assert "ada" not in replica(bias=bias)


def test_an_older_write_does_not_overwrite_a_newer_one_not_even_on_the_replica_that_makes_it() -> None:
    members = replica()
    members.add("ada", 9)

    assert not members.remove("ada", 8)
    assert "ada" in members


@pytest.mark.parametrize("stamp", ["2026-11-21T12:00:00Z", 1.5, float("nan"), True, None])
def test_a_stamp_that_does_not_compare_like_a_number_is_refused(stamp: Any) -> None:
    members = replica()
    if stamp is None:
        assert members.add("ada", stamp)
    else:
        with pytest.raises(StampError):
            members.add("ada", stamp)


def test_many_writes_in_one_tick_of_the_clock_are_all_kept() -> None:
    members = replica()

    for number in range(1_000):
        (members.add if number % 2 else members.remove)("ada")
        assert ("ada" in members) is bool(number % 2)


def test_stamps_mean_the_same_on_every_machine_and_after_every_boot() -> None:
    members: LWWElementSet[str] = LWWElementSet()
    members.add("ada")
    stamp = members.stamp_of("ada")

    assert stamp is not None
    assert abs(milliseconds_in(stamp) - wall_milliseconds()) < 60_000


def test_a_wall_clock_that_goes_back_swallows_no_local_write() -> None:
    wall = Wall(NOON_MS)
    members = replica(wall=wall)
    members.add("ada")
    wall.milliseconds -= 3_600_000

    assert members.remove("ada")
    assert "ada" not in members


# Ties


@pytest.mark.parametrize("bias", BIASES)
def test_equal_stamps_of_one_replica_restarted_with_the_same_name_still_commute(bias: Bias) -> None:
    one, other = replica("a", bias=bias), replica("a", bias=bias)
    one.add("ada", 5)
    other.remove("ada", 5)

    assert merged(one, other).state_equal(merged(other, one))
    assert ("ada" in merged(one, other)) is (bias == "add")


def test_put_put_delete_against_put_converges_in_every_order() -> None:
    here, there = replica("a"), replica("b")
    deltas = [here.add("ada", 1), here.add("ada", 2), here.remove("ada", 3), there.add("ada", 3)]

    states = set()
    for order in permutations(deltas):
        receiver = replica("c")
        for delta in order:
            receiver.merge(delta)
        states.add(receiver.encode())
    assert len(states) == 1


# Views of one state


def test_membership_iteration_length_and_lookup_never_contradict_each_other() -> None:
    members = replica()
    for number in range(60):
        (members.add if number * 7 % 3 else members.remove)(number % 10, number * 11 % 17)

    assert {number for number in range(10) if number in members} == set(members) == members.frozen()
    assert len(members) == len(list(members)) == sum(members.lookup(number) for number in range(10))
    assert members.tombstones().isdisjoint(members)


def test_states_that_share_an_element_are_not_therefore_equal() -> None:
    one, other = replica("a"), replica("b")
    one.update(["ada", "bob"])
    other.update(["ada", "cy"])

    assert one != other
    assert not one.state_equal(other)


def test_an_element_written_many_times_is_kept_once() -> None:
    one, other = replica("a"), replica("b")
    for number in range(100):
        one.add("ada", number)
        other.add("ada", number)
    one.merge(other)

    assert len(one) == 1
    assert one.statistics() == (1, 0, 0, 0)


# Travelling


def test_a_remove_travels() -> None:
    one, other = replica("a"), replica("b")
    other.merge(one.add("ada"))
    one.remove("ada")

    other.merge(one)
    one.merge(other)

    assert "ada" not in one
    assert "ada" not in other


def test_a_remove_is_not_undone_by_a_stale_state_that_still_has_the_element() -> None:
    members = replica()
    members.add("ada")
    stale = LWWElementSet[Any].decode(members.encode())
    members.remove("ada")

    members.merge(stale)

    assert "ada" not in members


def test_a_number_and_its_text_stay_two_elements_and_a_tuple_stays_a_tuple() -> None:
    members = replica()
    members.update([1, "1", b"1", (1,), ("1",)])

    assert set(LWWElementSet[Any].decode(members.encode())) == {1, "1", b"1", (1,), ("1",)}


@pytest.mark.parametrize("element", [1.0, True, float("nan")])
def test_what_python_takes_for_equal_but_bytes_do_not_is_no_element(element: object) -> None:
    with pytest.raises(ElementError):
        replica().add(element)


def test_a_snapshot_keeps_the_stamp_of_every_element() -> None:
    members = replica()
    for number in range(20):
        (members.add if number % 3 else members.remove)(number, number * number)

    read = LWWElementSet[Any].decode(members.encode())
    assert [read.stamp_of(number) for number in range(20)] == [number * number for number in range(20)]


def test_a_small_delta_does_not_copy_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    members = replica()
    members.update(range(1_000))
    empty = merged(replica("c"), replica("d"))
    monkeypatch.setattr("palaver.crdt.replica.join_many", None)

    latest = members.stamp_of(7)
    assert latest is not None
    assert members.merge(replica("b").add(7, latest + 1))
    assert not members.merge(empty)


def test_what_is_missing_from_a_partial_diff_is_not_taken_for_removed() -> None:
    one, other = replica("a"), replica("b")
    one.update(range(200))
    other.merge(one)
    other.add(-1)

    one.merge(other.diff(one.digest(64)))

    assert len(one) == 201


def test_a_delta_that_was_lost_is_brought_again_by_the_next_digest() -> None:
    one, other = replica("a"), replica("b")
    one.add("ada")
    one.remove("bob")

    other.merge(one.diff(other.digest()))

    assert other.state_equal(one)


def test_a_later_delta_that_comes_without_the_one_before_it_leaves_no_gap() -> None:
    one, other = replica("a"), replica("b")
    first, second = one.update(["ada", "bob"]), one.remove("ada")

    other.merge(second)
    other.merge(first)

    assert other.state_equal(one)


# Clocks that are wrong


def test_a_remote_clock_a_day_ahead_neither_raises_nor_holds_up_the_rest() -> None:
    members, fast = replica("a"), replica("b", wall=Wall(NOON_MS + 86_400_000))
    fast.add("old", 5)
    fast.add("ada")

    assert members.merge(fast).added() == {"old"}
    assert set(members.pending) == {"ada"}


def test_old_stamps_are_never_refused() -> None:
    members, old = replica("a"), replica("b", wall=Wall(0))
    old.add("ada")

    assert members.merge(old).added() == {"ada"}


def test_a_future_stamp_is_in_no_digest_and_no_snapshot_until_its_time() -> None:
    members, fast = replica("a"), replica("b", wall=Wall(NOON_MS + 86_400_000))
    fast.add("ada")
    members.merge(fast)

    assert members.digest() == replica("c").digest()
    assert members.encode() == replica("c").encode()
    assert members.clock.lead <= timedelta(0)


# Tombstones


def test_a_tombstone_is_lifted_by_a_newer_add_that_comes_by_merge() -> None:
    one, other = replica("a"), replica("b")
    one.remove("ada", 5)
    other.add("ada", 6)

    one.merge(other)

    assert "ada" in one
    assert not one.tombstones()


def test_a_tombstone_that_all_hold_stays_while_an_older_add_may_be_on_its_way() -> None:
    wall = Wall(NOON_MS)
    a, b = replica("a", wall=wall), replica("b", wall=wall)
    rosters = Roster(a, ["a", "b", "c"]), Roster(b, ["a", "b", "c"])
    late = replica("c", wall=wall).add("ada")
    wall.milliseconds += 1
    b.merge(a.remove("ada"))
    for _ in range(3):
        wall.milliseconds += 1
        rosters[0].receive(rosters[1].report(), b)
        rosters[1].receive(rosters[0].report(), a)

    assert rosters[0].collect() == 0, "c has not spoken, and what it wrote is still on its way"
    a.merge(late)
    assert "ada" not in a


def test_a_replica_that_slept_through_a_collection_brings_nothing_back() -> None:
    awake, asleep = replica("a"), replica("b")
    asleep.merge(awake.add("ada", 5))
    awake.remove("ada", 6)
    awake.vouch(10)
    awake.collect(10)

    with pytest.raises(BehindFloorError):
        awake.merge(asleep)
    awake.merge(asleep.delta_since(None))
    assert "ada" not in awake


def test_an_element_without_tombstones_is_counted_so_that_growth_is_seen() -> None:
    members = replica()
    members.update(range(10))
    members.difference_update(range(4))

    assert members.statistics()[:2] == (6, 4)


# Standing alone


def test_it_needs_the_standard_library_and_msgspec_only() -> None:
    """In a process of its own, where importing anything else fails."""
    program = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {*sys.stdlib_module_names, "palaver", "msgspec"}:
            raise ImportError(f"{name} is not allowed")

before = set(sys.modules)
sys.meta_path.insert(0, Nothing())
from palaver.crdt import Digest, LWWElementSet, Roster, decode_delta
one, other = LWWElementSet(["ada"], replica="a"), LWWElementSet(replica="b")
other.merge(decode_delta(one.remove("bob").encode()))
other.merge(one.diff(Digest.decode(other.digest().encode())))
Roster(one, ["a"]).collect()
assert other.explain("ada").present and LWWElementSet.decode(other.encode()).state_equal(other)
tops = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(*sorted(tops))
parts = {name.split(".")[1] for name in sys.modules if name.startswith("palaver.")}
print(*sorted(parts))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["msgspec palaver", "crdt"]
