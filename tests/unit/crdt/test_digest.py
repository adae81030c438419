"""Digests find the difference, and say the same on both sides."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.crdt import Bias, CrdtError, Digest, HybridLogicalClock, LWWElementSet, MismatchError, WireError
from palaver.crdt.digest import fitting_buckets

pytestmark = pytest.mark.usefixtures("joining")


def replica(name: str, bias: Bias = "add") -> LWWElementSet[Any]:
    return LWWElementSet(bias=bias, clock=HybridLogicalClock(name, lambda: 1_000_000))


WRITES = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(-3, 3)), max_size=40)


@given(WRITES, WRITES, st.sampled_from([1, 2, 16, 1024]), st.randoms(use_true_random=False))
def test_a_digest_is_a_function_of_the_state_whatever_its_history(
    writes: list[tuple[bool, int, int]], noise: list[tuple[bool, int, int]], buckets: int, random: Any
) -> None:
    one, other = replica("a"), replica("b")
    one.digest()
    for is_add, element, stamp in writes + noise:
        (one.add if is_add else one.remove)(element, stamp)
        if stamp == 0:
            one.digest(buckets)
    shuffled = writes + noise
    random.shuffle(shuffled)
    for is_add, element, stamp in shuffled:
        (other.add if is_add else other.remove)(element, stamp)

    assert one.digest(buckets) == other.digest(buckets)
    assert not one.diff(other.digest(buckets))


@given(WRITES, WRITES, st.sampled_from([1, 16, None]))
def test_exchanging_digests_and_diffs_makes_states_equal(
    left: list[tuple[bool, int, int]], right: list[tuple[bool, int, int]], buckets: int | None
) -> None:
    one, other = replica("a"), replica("b")
    for members, writes in ((one, left), (other, right)):
        for is_add, element, stamp in writes:
            (members.add if is_add else members.remove)(element, stamp)

    first, second = one.digest(buckets), other.digest(buckets)
    to_one, to_other = other.diff(first), one.diff(second)
    one.merge(to_one)
    other.merge(to_other)

    assert one.state_equal(other)


def test_a_small_difference_costs_little_of_the_state() -> None:
    one, other = replica("a"), replica("b")
    one.update(f"user:{number:07d}" for number in range(20_000))
    other.merge(one)
    for number in range(20):
        other.remove(f"user:{number * 997:07d}")
        one.add(f"new:{number}")

    digest = one.digest()
    sent = len(digest.encode()) + len(other.diff(digest).encode())

    assert sent < 0.1 * len(one.encode())


def test_a_tombstone_that_was_never_a_member_counts() -> None:
    one, other = replica("a"), replica("b")
    one.remove("ada", 1)

    assert one.digest() != other.digest()
    assert one.diff(other.digest()).removed() == {"ada"}


def test_a_digest_travels() -> None:
    members = replica("a", "remove")
    members.update(["ada", "bob"])

    digest = members.digest(64)

    assert Digest.decode(digest.encode()) == digest
    assert len(digest.encode()) == 3 + 64 * 8
    with_marks = Digest(0, (1, 2), -5, 7)
    assert Digest.decode(with_marks.encode()) == with_marks


@given(st.binary(max_size=60))
def test_random_bytes_are_no_digest_or_a_good_one(data: bytes) -> None:
    for message in (data, b"\xc1\x18" + data, b"\xc1\x1c" + data):
        try:
            digest = Digest.decode(message)
        except CrdtError:
            continue
        assert digest.encode() == message


def test_a_set_is_not_a_digest_nor_the_other_way_round() -> None:
    members = replica("a")
    with pytest.raises(WireError):
        Digest.decode(members.encode())
    with pytest.raises(WireError):
        LWWElementSet.decode(members.digest().encode())
    with pytest.raises(MismatchError):
        Digest.decode(b"\xc1\x28\x00" + b"\x00" * 8)
    with pytest.raises(WireError, match="11 bytes"):
        Digest.decode(b"\xc1\x18\x00" + b"\x00" * 9)
    with pytest.raises(WireError, match="marks"):
        Digest.decode(Digest(0, (0,), 7, 5).encode())


def test_digests_of_another_bias_are_an_error() -> None:
    with pytest.raises(MismatchError):
        replica("a").diff(replica("b", "remove").digest())


@pytest.mark.parametrize("buckets", [-1, 3, 1 << 17])
def test_a_number_of_buckets_that_is_no_power_of_two_is_refused(buckets: int) -> None:
    with pytest.raises(ValueError, match=str(buckets)):
        replica("a").digest(buckets)


def test_buckets_fit_the_size() -> None:
    assert [fitting_buckets(size) for size in (0, 1_000, 1_000_000, 1 << 40)] == [16, 32, 32_768, 65_536]
