"""The wire form: canonical, small, and safe to read."""

import sys
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaver.crdt import (
    MAX_STAMP,
    MIN_STAMP,
    CrdtError,
    HybridLogicalClock,
    LWWElementSet,
    MismatchError,
    WireError,
    decode_delta,
)
from palaver.crdt.delta import DeltaOfMany
from palaver.crdt.wire import decode_cells, encode_cells

ATOMS = st.text(max_size=8) | st.binary(max_size=8) | st.integers(-(1 << 63), (1 << 64) - 1)
ELEMENTS = ATOMS | st.lists(ATOMS, max_size=3).map(tuple)
STAMPS = st.integers(MIN_STAMP, MAX_STAMP) | st.integers(-3, 3) | st.integers(1 << 57, (1 << 57) + (1 << 20))
WRITES = st.lists(st.tuples(st.booleans(), ELEMENTS, STAMPS), max_size=12)


def written(writes: list[tuple[bool, Any, int]], bias: Any) -> LWWElementSet[Any]:
    members: LWWElementSet[Any] = LWWElementSet(bias=bias, max_drift=None)
    for is_add, element, stamp in writes:
        (members.add if is_add else members.remove)(element, stamp)
    return members


@given(WRITES, st.sampled_from(["add", "remove"]))
@example([(True, "a", MIN_STAMP), (False, "b", MAX_STAMP)], "remove")
def test_what_is_encoded_is_decoded(writes: list[tuple[bool, Any, int]], bias: str) -> None:
    members = written(writes, bias)

    assert LWWElementSet.decode(members.encode()).state_equal(members)
    assert decode_delta(members.delta_since(None).encode()) == members.delta_since(None)


@given(WRITES, st.randoms(use_true_random=False))
def test_equal_states_have_equal_bytes_whatever_their_history(writes: list[tuple[bool, Any, int]], random: Any) -> None:
    shuffled = writes * 2
    random.shuffle(shuffled)

    assert written(shuffled, "add").encode() == written(writes, "add").encode()


def test_the_bytes_are_these() -> None:
    """A change of this text is a change of the format: give it a new version."""
    members = written([(True, "ada", 131_072), (False, "bob", 131_073), (True, ("r", 1, b"x"), 524_288)], "remove")

    assert members.encode().hex() == "c11103020102010d" + "93a3616461a3626f62c7070193a17201d40278"


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1\x10")
@example(b"\xc1\x10" + b"\xff" * 40)
@example(b"\xc1\x10\x01\x00\x01\xdd\xff\xff\xff\xff")
@example(b"\xc1\x10\x01\x00\x01" + b"\x91" * 100)
@example(b"\xc1\x10\x01\x00\x01\x91\xcb\x00\x00\x00\x00\x00\x00\x00\x00")
@example(b"\xc1\x10\x01\x00\x01\x91\xc7\x05\x01\x91\x91\x91\x91\x01")
@example(b"\xc1\x10\x02\x00\x01\x01\x92\xa1a\xa1a")
def test_random_bytes_are_refused_with_an_error_of_ours_or_are_a_set(data: bytes) -> None:
    try:
        message = decode_cells(data)
    except CrdtError:
        return
    assert decode_cells(encode_cells(zip(message.elements, message.cells, strict=True), message.bias_bit)).cells


@given(WRITES, st.data())
def test_mutated_bytes_are_refused_with_an_error_of_ours_or_are_a_set(
    writes: list[tuple[bool, Any, int]], data: st.DataObject
) -> None:
    good = bytearray(written(writes, "add").encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    cut = bytes(good[: data.draw(st.integers(0, len(good)))])

    for message in (bytes(good), cut):
        try:
            read: LWWElementSet[Any] = LWWElementSet.decode(message)
        except CrdtError:
            continue
        assert LWWElementSet.decode(read.encode()).state_equal(read)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x93\x01\x02", "0xc1"),
        (b"\xc1\x18\x00\x90", "reserved"),
        (b"\xc1\x10\x07\x00\x01\x90", "cannot stand"),
        (b"\xc1\x10\x01\x00", "too early"),
        (b"\xc1\x10\x01\x00\x01\x90", "1 cells, but 0"),
        (b"\xc1\x10\x02\x00\x01\x01\x92\xa1a\xa1a", "1 different"),
        (b"\xc1\x10\x01\x00\x01\x91\xc0", "malformed"),
        (b"\xc1\x10\x01\x00\x01\x91\xa1\xff", "malformed"),
        (b"\xc1\x10\x01\x00\x01\x91\xd4\x07x", "extension 7"),
        (b"\xc1\x10\x01\x00\x01\x91\xa1a\x00", "malformed"),
        (b"\xc1\x10\x01\x00\x03\xff\xff\xff\x7f\x91\xa1a", "out of range"),
        (b"\xc1\x12\x00\x90", "delta"),
    ],
)
def test_what_is_wrong_with_bytes_is_said(data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        LWWElementSet.decode(data)


def test_another_version_is_a_mismatch() -> None:
    with pytest.raises(MismatchError, match="wire version"):
        LWWElementSet.decode(b"\xc1\x20\x00\x90")


def test_bytes_beyond_the_bound_are_not_looked_at() -> None:
    with pytest.raises(WireError, match="more than the 10"):
        decode_delta(b"\xc1" * 11, max_bytes=10)


def test_claimed_sizes_reserve_no_memory() -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    payload = b"\xc1\x10\x01\x00\x01\x91\xc6\x00\x01\x00\x00\x01" + b"\xdc\xff\xff" * 21_845
    payload += b"\x00" * (12 + 65_536 - len(payload))
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode_delta(payload)
        assert tracemalloc.get_traced_memory()[1] < 16 * len(payload)
    finally:
        tracemalloc.stop()


def test_a_delta_of_one_element_takes_at_most_32_bytes() -> None:
    clock = HybridLogicalClock("a", lambda: 1_795_000_000_000)
    members: LWWElementSet[str] = LWWElementSet(clock=clock)

    for number in range(1000):
        assert len(members.add(f"user:{number:07d}").encode()) <= 32


def test_stamp_and_flag_cost_at_most_three_bytes_an_element() -> None:
    members: LWWElementSet[str] = LWWElementSet(max_drift=None)
    day_ms, count = 86_400_000, 20_000
    for number in range(count):
        stamp = (1_795_000_000_000 + number * 7_919 % count * (day_ms // 200_000)) << 17
        (members.remove if number % 10 == 0 else members.add)(f"user:{number:07d}", stamp)
    names = len(msgspec.msgpack.encode([f"user:{number:07d}" for number in range(count)]))

    assert (len(members.encode()) - names) / count <= 3


def test_a_delta_says_what_it_is() -> None:
    delta = DeltaOfMany(0, ("a", "b"), (3, 4))

    assert (delta.bias, delta.top, len(delta), bool(delta)) == ("add", 4, 2, True)
    assert delta.added() == {"a"}
    assert delta.removed() == {"b"}
    assert repr(delta) == "Delta({'a': 3, 'b': 4}, bias='add')"
    assert hash(delta) == hash(DeltaOfMany(0, ("b", "a"), (4, 3)))
    assert delta == DeltaOfMany(0, ("b", "a"), (4, 3))
    assert not delta != DeltaOfMany(0, ("b", "a"), (4, 3))  # noqa: SIM202 - the operator is what is tested
    assert delta != DeltaOfMany(1, ("a", "b"), (3, 4))
    assert delta != sys
    with pytest.raises(MismatchError):
        delta.joined(DeltaOfMany(1, (), ()))
