"""The set as its users see it: writing, reading, merging."""

import copy
from collections.abc import Set as AbstractSet
from datetime import timedelta

import pytest

from palaver.crdt import (
    MAX_STAMP,
    MIN_STAMP,
    Bias,
    LWWElementSet,
    MismatchError,
    merged,
)
from tests.unit.crdt.replicas import BIASES, Wall, replica

pytestmark = pytest.mark.usefixtures("joining")


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
