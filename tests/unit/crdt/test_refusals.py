"""What the set refuses: stamps and elements that replicas could disagree about, and settings."""

import pytest

from palaver.crdt import (
    MAX_STAMP,
    MIN_STAMP,
    Bias,
    ElementError,
    HybridLogicalClock,
    LWWElementSet,
    StampError,
)
from tests.unit.crdt.replicas import BIASES, replica

pytestmark = pytest.mark.usefixtures("joining")


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


def test_bad_configuration_is_refused_with_the_value_named() -> None:
    with pytest.raises(ValueError, match="'neither'"):
        LWWElementSet(bias="neither")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match="max_drift"):
        LWWElementSet(clock=HybridLogicalClock("a"), max_drift=None)
