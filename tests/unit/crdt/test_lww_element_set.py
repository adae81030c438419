"""The set as its users see it: writing, reading, merging."""

import copy
import pickle
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import timedelta

import pytest

from palaver.crdt import (
    MAX_STAMP,
    MIN_STAMP,
    Bias,
    ElementError,
    HybridLogicalClock,
    LWWElementSet,
    MismatchError,
    StampError,
    merged,
)
from palaver.crdt.clock import COUNTER_BITS
from palaver.crdt.delta import DeltaOfOne

pytestmark = pytest.mark.usefixtures("joining")


class Wall:
    """A wall clock that stands where it is put."""

    def __init__(self, milliseconds: int = 1_000_000) -> None:
        self.milliseconds = milliseconds

    def __call__(self) -> int:
        return self.milliseconds


def replica(name: str = "a", *, bias: Bias = "add", wall: Wall | None = None) -> LWWElementSet[str]:
    return LWWElementSet(bias=bias, clock=HybridLogicalClock(name, wall or Wall()))


BIASES: tuple[Bias, Bias] = ("add", "remove")


def test_what_was_added_is_in_the_set() -> None:
    members = replica()

    members.add("ada")

    assert "ada" in members
    assert members.lookup("ada")
    assert list(members) == ["ada"]
    assert len(members) == 1


def test_what_was_removed_is_not_in_the_set() -> None:
    members = replica()
    members.add("ada")

    members.remove("ada")

    assert "ada" not in members
    assert len(members) == 0
    assert members.tombstones() == {"ada"}


def test_removing_an_unseen_element_is_recorded_and_no_error() -> None:
    members = replica()

    delta = members.remove("ada", 7)

    assert delta.removed() == {"ada"}
    assert members.stamp_of("ada") == 7
    assert not members.add("ada", 6)
    assert "ada" not in members


@pytest.mark.parametrize(("bias", "present"), [("add", True), ("remove", False)])
@pytest.mark.parametrize("remove_first", [False, True])
def test_the_bias_decides_at_equal_stamps_in_either_order(bias: Bias, present: bool, remove_first: bool) -> None:
    members = replica(bias=bias)

    writes = [members.add, members.remove]
    for write in reversed(writes) if remove_first else writes:
        write("ada", 5)

    assert ("ada" in members) is present


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("stamp", [0, -1, MIN_STAMP, MAX_STAMP])
def test_zero_and_negative_stamps_are_stamps_like_any_other(bias: Bias, stamp: int) -> None:
    members = replica(bias=bias)

    assert members.add("ada", stamp).added() == {"ada"}
    assert "ada" in members
    assert members.stamp_of("ada") == stamp


@pytest.mark.parametrize("bias", BIASES)
def test_an_element_never_written_is_out_and_has_no_stamp(bias: Bias) -> None:
    members = replica(bias=bias)

    assert "ada" not in members
    assert members.stamp_of("ada") is None


def test_a_write_that_loses_changes_nothing_and_returns_an_empty_delta() -> None:
    members = replica()
    members.add("ada", 9)

    assert not members.remove("ada", 8)
    assert not members.add("ada", 9)
    assert "ada" in members


def test_a_local_write_always_takes_effect_even_when_the_wall_clock_went_back() -> None:
    wall = Wall(5_000)
    members = replica(wall=wall)
    members.add("ada")
    wall.milliseconds = 3

    members.remove("ada")
    assert "ada" not in members
    members.add("ada")
    assert "ada" in members


def test_a_local_write_takes_effect_over_a_stamp_far_ahead_without_dragging_the_clock() -> None:
    wall = Wall()
    members = replica(wall=wall)
    members.add("ada", MAX_STAMP - 1)

    members.remove("ada")

    assert "ada" not in members
    assert members.stamp_of("ada") == MAX_STAMP
    members.add("bob")
    assert members.clock.lead <= timedelta(milliseconds=1)


def test_nothing_can_be_written_after_the_last_stamp_and_the_error_says_so() -> None:
    members = replica()
    members.add("ada", MAX_STAMP)

    with pytest.raises(StampError, match="last stamp"):
        members.remove("ada")
    assert "ada" in members


@pytest.mark.parametrize("stamp", [MAX_STAMP + 1, MIN_STAMP - 1, 1.5, True, "7"])
def test_what_is_no_stamp_is_refused(stamp: int) -> None:
    members = replica()

    with pytest.raises(StampError):
        members.add("ada", stamp)
    with pytest.raises(StampError):
        members.remove("ada", stamp)
    assert members.statistics() == (0, 0, 0, 0)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("last", ["add", "remove"])
def test_a_stamp_beyond_the_last_is_refused_after_the_last_too(bias: Bias, last: str) -> None:
    members = replica(bias=bias)
    getattr(members, last)("ada", MAX_STAMP)
    before = members.copy()

    for write in (members.add, members.remove):
        for element in ("ada", "bob"):
            with pytest.raises(StampError):
                write(element, MAX_STAMP + 1)
    assert members.state_equal(before)


class Name(str):
    """Text of a class that could redefine what is equal."""


@pytest.mark.parametrize("twin", [1.0, True, Name("ada"), ("bob", True)])
@pytest.mark.parametrize("stamp", [None, MAX_STAMP])
def test_what_only_equals_a_member_is_refused_as_an_element(twin: str, stamp: int | None) -> None:
    members: LWWElementSet[object] = LWWElementSet([1, "ada", ("bob", 1)])
    before = members.copy()

    for write in (members.add, members.remove):
        with pytest.raises(ElementError):
            write(twin, stamp)
    assert members.state_equal(before)


@pytest.mark.parametrize(
    "element", [1.0, float("nan"), True, None, "\ud800", 1 << 64, -(1 << 63) - 1, ("a", ("b",)), ("a", 1.5), [], {}]
)
def test_what_replicas_could_disagree_about_is_refused_as_an_element(element: str) -> None:
    members = replica()

    for write in (members.add, members.remove):
        with pytest.raises(ElementError):
            write(element)
    with pytest.raises((ElementError, TypeError)):
        members.update([element])
    assert not members


def test_text_bytes_integers_and_tuples_of_them_are_elements() -> None:
    elements = ["", "é", b"\x00", 0, -(1 << 63), (1 << 64) - 1, (), ("room", 7, b"x")]
    members: LWWElementSet[object] = LWWElementSet(elements)

    assert set(members) == set(elements)
    read: LWWElementSet[object] = LWWElementSet.decode(members.encode())
    assert read.state_equal(members)


@pytest.mark.parametrize("bias", BIASES)
def test_merging_takes_the_later_write_of_each_element(bias: Bias) -> None:
    one, other = replica("a", bias=bias), replica("b", bias=bias)
    one.add("ada", 1)
    one.add("bob", 4)
    other.remove("ada", 2)
    other.remove("bob", 3)
    other.add("cy", 1)

    changes = one.merge(other)

    assert set(one) == {"bob", "cy"}
    assert changes.added() == {"cy"}
    assert changes.removed() == {"ada"}
    assert not one.merge(other)


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_merging_few_and_merging_many_say_the_same(size: int) -> None:
    few, many = replica("a"), replica("b")
    incoming = replica("c")
    for number in range(1000):
        few.add(str(number), number * 7 % 13)
        many.add(str(number), number * 7 % 13)
    for number in range(size):
        (incoming.add if number % 3 else incoming.remove)(str(number + 500), number * 5 % 13)

    walked = few.merge(incoming.delta_since(None))
    united = many.merge(incoming)

    assert few.state_equal(many)
    assert walked == united
    assert len(few) == len(many) == len(set(many))


def test_merging_into_an_empty_set_copies() -> None:
    one = replica("a")
    one.update(["ada", "bob"])
    other = replica("b")

    other.merge(one)
    other.remove("ada")

    assert set(one) == {"ada", "bob"}
    assert set(other) == {"bob"}


def test_a_set_merged_with_itself_stays_what_it_was() -> None:
    members = replica()
    members.update(["ada", "bob"])

    assert not members.merge(members)


def test_merging_sets_of_different_bias_is_an_error_and_changes_nothing() -> None:
    one, other = replica(bias="add"), replica(bias="remove")
    other.add("ada")

    with pytest.raises(MismatchError, match="bias"):
        one.merge(other)
    with pytest.raises(MismatchError):
        one.merge(other.delta_since(None))
    with pytest.raises(MismatchError):
        merged(one, other)
    assert not one


def test_merged_leaves_both_sides_alone() -> None:
    one, other = replica("a"), replica("b")
    one.add("ada", 1)
    other.add("bob", 1)

    both = merged(one, other)

    assert set(both) == {"ada", "bob"}
    assert set(one) == {"ada"}
    assert set(other) == {"bob"}


def test_one_batch_gives_one_delta() -> None:
    members = replica()

    delta = members.update(["ada", "bob", "ada"])
    assert delta.added() == {"ada", "bob"}
    assert len(delta) == 2
    assert members.difference_update(["bob", "cy"]).removed() == {"bob", "cy"}
    assert members.clear().removed() == {"ada"}
    assert not members


def test_deltas_of_one_replica_bring_another_up_to_date_in_any_grouping() -> None:
    one, other = replica("a"), replica("b")
    first, second = one.add("ada"), one.remove("ada")

    other.merge(second.joined(first))
    other.merge(first)

    assert other.state_equal(one)


def test_a_delta_since_a_cursor_names_what_changed_after_it() -> None:
    members = replica()
    members.update(["ada", "bob"])
    cursor = members.cursor()

    assert not members.delta_since(cursor)
    members.add("cy")
    members.remove("ada")
    members.add("cy")

    assert members.delta_since(cursor).added() == {"cy"}
    assert members.delta_since(cursor).removed() == {"ada"}
    assert len(members.delta_since(None)) == 3


def test_a_cursor_of_another_set_or_from_too_long_ago_gives_everything() -> None:
    members, other = replica("a"), replica("b")
    members.add("ada")
    cursor = members.cursor()
    other.add("bob")

    for _ in range(5_000):
        members.add("cy")

    assert members.delta_since(cursor).added() == {"ada", "cy"}
    assert members.delta_since(other.cursor()).added() == {"ada", "cy"}
    assert other.delta_since(cursor).added() == {"bob"}


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


def test_set_algebra_is_about_members_and_gives_plain_sets() -> None:
    one, other = replica("a"), replica("b")
    one.update(["ada", "bob"])
    other.update(["bob", "cy"])

    assert type(one | other) is set
    assert one | other == {"ada", "bob", "cy"}
    assert one & other == {"bob"}
    assert one - other == {"ada"}
    assert one ^ other == {"ada", "cy"}
    plain: AbstractSet[str] = {"ada", "bob"}
    assert one == plain
    assert one.frozen() == frozenset({"ada", "bob"})
    assert one <= {"ada", "bob", "cy"}
    assert one.isdisjoint({"cy"})


def test_equal_members_are_not_yet_equal_states() -> None:
    one, other = replica("a"), replica("b")
    one.add("ada", 1)
    other.add("ada", 2)

    assert one == other
    assert not one.state_equal(other)
    assert other.dominates(one)
    assert not one.dominates(other)


def test_a_set_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(replica())


def test_a_copy_is_independent() -> None:
    one = replica()
    one.add("ada")
    twin = one.copy()

    twin.remove("ada")

    assert "ada" in one
    assert "ada" not in twin
    assert len(one) == 1
    assert len(twin) == 0


def test_bad_configuration_is_refused_with_the_value_named() -> None:
    with pytest.raises(ValueError, match="'neither'"):
        LWWElementSet(bias="neither")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match="max_drift"):
        LWWElementSet(clock=HybridLogicalClock("a"), max_drift=None)


def test_a_set_shows_a_few_members() -> None:
    members = replica()
    members.update(str(number) for number in range(9))

    assert repr(members) == "LWWElementSet({'0', '1', '2', '3', '4', '5', ... 9 in all}, replica='a', bias='add')"


def test_a_lookup_that_was_taken_before_a_merge_still_tells_the_truth() -> None:
    one, other = replica("a"), replica("b")
    lookup = one.lookup
    other.update(str(number) for number in range(50))

    one.merge(other)

    assert lookup("7")


def test_a_subclass_may_look_up_in_its_own_way() -> None:
    class Shouting(LWWElementSet[str]):
        def lookup(self, element: str) -> bool:
            return super().lookup(element.lower())

    members = Shouting(["ada"])

    assert members.lookup("ADA")
    assert copy.deepcopy(members).lookup("ADA")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda members: pickle.loads(pickle.dumps(members))])
def test_every_way_to_copy_gives_an_independent_set(
    duplicate: Callable[[LWWElementSet[str]], LWWElementSet[str]],
) -> None:
    members: LWWElementSet[str] = LWWElementSet(["ada", "bob"])
    members.remove("bob")

    twin = duplicate(members)
    twin.add("cy")

    assert set(twin) == {"ada", "cy"}
    assert set(members) == {"ada"}
    assert twin.lookup("cy")
    assert not members.lookup("cy")
    assert twin.tombstones() == members.tombstones()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda members: pickle.loads(pickle.dumps(members))])
def test_a_duplicate_keeps_neither_those_who_watch_nor_the_log(
    duplicate: Callable[[LWWElementSet[str]], LWWElementSet[str]],
) -> None:
    members: LWWElementSet[str] = LWWElementSet(["ada"])
    seen: list[frozenset[str]] = []
    members.subscribe(lambda added, removed: seen.append(added))
    cursor = members.cursor()
    members.keep_provenance()
    members.digest()

    twin = duplicate(members)
    twin.add("bob")

    assert not seen
    assert twin.delta_since(cursor).added() == {"ada", "bob"}
    assert twin.digest() == twin.copy().digest()
