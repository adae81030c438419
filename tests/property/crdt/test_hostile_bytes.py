"""Whatever arrives: an error of ours or a set, in time and memory that are in proportion to the bytes."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.crdt import CrdtError, Digest, HybridLogicalClock, LWWElementSet, MismatchError, WireError, decode_delta
from palaver.crdt.wire import MAGIC

Read = Callable[[bytes], object]
READERS: tuple[Read, ...] = (LWWElementSet[Any].decode, decode_delta, Digest.decode)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


NUMBERS = st.integers(0, 5) | st.integers(0, (1 << 70) - 1) | st.sampled_from([1 << 43, 1 << 63, (1 << 64) - 1])
VARINTS = st.lists(NUMBERS.map(varint), max_size=8).map(b"".join)
# What a msgpack decoder can be told: nothing, floats, maps, times, sizes without contents, nesting, broken text.
ODD = st.sampled_from(
    [
        b"\xc0",
        b"\xc3",
        b"\xcb" + bytes(8),
        b"\x80",
        b"\x81\xa1a\x01",
        b"\xd6\xff" + bytes(4),
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 50,
        b"\xa1\xff",
        b"\xc1",
        b"\xd4\x01\x90",
        b"\xc7\x02\x01\x91\x90",
        b"\xc7\x00\x02",
        b"\xd4\x01\x91",
        b"\xc7\x03\x01\x91\xc7\x00",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    ]
)
GOOD = (st.text(max_size=4) | st.integers(-5, 5)).map(msgspec.msgpack.encode)
ARRAYS = st.lists(ODD | GOOD, max_size=6).map(lambda parts: bytes([0x90 | len(parts)]) + b"".join(parts))
MESSAGES = st.builds(
    lambda flags, numbers, rest: bytes([MAGIC, flags]) + numbers + rest,
    st.integers(0x10, 0x1F) | st.integers(0, 255),
    VARINTS,
    ARRAYS | st.binary(max_size=20),
)


def read(reader: Read, message: bytes) -> object | None:
    """Return what was read, or None if it was refused; anything but our own errors fails the test."""
    try:
        return reader(message)
    except (WireError, MismatchError):
        return None


@settings(max_examples=1_000)
@given(MESSAGES, st.sampled_from(READERS))
def test_what_looks_like_a_message_is_refused_or_read(message: bytes, reader: Read) -> None:
    read(reader, message)


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
@settings(max_examples=1_000_000)
@given(MESSAGES, st.sampled_from(READERS))
def test_what_looks_like_a_message_is_refused_or_read_a_million_times(message: bytes, reader: Read) -> None:
    read(reader, message)


def example() -> LWWElementSet[Any]:
    members = LWWElementSet[Any](clock=HybridLogicalClock("a", lambda: 1_000_000))
    members.update([*(f"user:{number}" for number in range(40)), b"bytes", 7, ("room", 3, b"x"), ()])
    members.difference_update(["user:3", "user:4"])
    members.vouch(900_000 << 17)
    return members


@pytest.mark.parametrize("form", ["set", "delta", "digest"])
def test_every_byte_changed_to_every_value_and_every_cut_is_refused_or_read(form: str) -> None:
    members = example()
    good = {
        "set": members.encode(),
        "delta": members.delta_since(None).encode()[:200],
        "digest": members.digest(16).encode(),
    }[form]
    reader = dict(zip(("set", "delta", "digest"), READERS, strict=True))[form]
    for at in range(len(good)):
        read(reader, good[:at])
        for value in (*range(0, 256, 7), good[at] ^ 1, good[at] ^ 0x80):
            read(reader, good[:at] + bytes([value]) + good[at + 1 :])


@given(MESSAGES)
def test_what_is_read_can_be_used_written_and_read_again(message: bytes) -> None:
    members = read(LWWElementSet[Any].decode, message)
    if members is None:
        return
    assert isinstance(members, LWWElementSet)
    again = LWWElementSet[Any].decode(members.encode())
    assert again.state_equal(members)
    assert again.digest() == members.digest()
    try:
        members.add("ada")
        example().merge(members)
    except CrdtError:
        # The last stamp, or marks that are behind the floor.
        pass


SIZE = 1 << 15
ATTACKS = {
    "as many cells as bytes, and nothing more": bytes([MAGIC, 0x10]) + varint(SIZE),
    "a count beyond every memory": bytes([MAGIC, 0x10]) + varint(1 << 60) + bytes(SIZE),
    "cells without elements": bytes([MAGIC, 0x10]) + varint(SIZE) + bytes(SIZE + 1) + b"\x90",
    "an array of four thousand million": bytes([MAGIC, 0x10, 1, 0, 1]) + b"\xdd\xff\xff\xff\xff" + b"\x01" * SIZE,
    "a text of four thousand million bytes": bytes([MAGIC, 0x10, 1, 0, 1, 0x91])
    + b"\xdb\xff\xff\xff\xff"
    + b"a" * SIZE,
    "arrays in arrays": bytes([MAGIC, 0x10, 1, 0, 1]) + b"\x91" * SIZE,
    "arrays in an extension": bytes([MAGIC, 0x10, 1, 0, 1, 0x91, 0xC8])
    + SIZE.to_bytes(2, "big")
    + b"\x01"
    + b"\x91" * SIZE,
    "extensions in extensions": bytes([MAGIC, 0x10, 1, 0, 1, 0x91]) + b"\xc7\xff\x01\x91" * (SIZE // 4),
    "one number without an end": bytes([MAGIC, 0x10]) + b"\xff" * SIZE,
    "a stamp without an end": bytes([MAGIC, 0x10, 1]) + b"\xff" * SIZE,
    "the same element again and again": bytes([MAGIC, 0x10])
    + varint(SIZE)
    + bytes(SIZE + 1)
    + b"\xdc"
    + (SIZE).to_bytes(2, "big")
    + b"\x01" * SIZE,
    "stamps that add up beyond the last": bytes([MAGIC, 0x10])
    + varint(2_000)
    + b"\x00"
    + varint(1 << 44) * 2_000
    + b"\x90",
    "a digest of too many buckets": bytes([MAGIC, 0x18, 255]) + bytes(SIZE),
    "a digest that is cut": bytes([MAGIC, 0x18, 16]) + bytes(SIZE),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("reader", READERS, ids=["set", "delta", "digest"])
def test_an_attack_costs_memory_and_steps_in_proportion_to_its_bytes(attack: str, reader: Read) -> None:
    message = ATTACKS[attack]
    steps = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        steps += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        assert read(reader, message) is None
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 200 * len(message) + 100_000
    assert steps < 10 * len(message) + 1_000


def test_a_message_beyond_the_bound_is_not_looked_at() -> None:
    with pytest.raises(WireError, match="more than the 100 allowed"):
        LWWElementSet.decode(bytes([MAGIC, 0x10]) + bytes(200), max_bytes=100)
