"""The wire form of sets and deltas: canonical bytes, read with care.

    byte 0      0xc1, which begins no msgpack document
    byte 1      version 1 in the upper four bits; then one bit each: 0, has a floor, is a delta, bias "remove"
    varint      how many cells follow
    2 varints   with a floor only: the floor, and the stamp up to which the sender has received everything (zigzag)
    varint      milliseconds of the first stamp (zigzag), if there are cells
    per cell    varint: milliseconds since the cell before << 2 | has a counter << 1 | is an add;
                varint: the counter, if it has one; within one millisecond its growth since the cell before
    msgpack     an array of the elements in the same order: text and integers as they are, bytes as extension 2,
                a tuple as extension 1 around an array of its atoms

Cells are sorted, equal cells by the bytes of their elements: equal states have equal bytes in every process. The
version stands for the order of cells, the layout of stamps and the codec of elements together.

Reading allocates in proportion to the input, at most `max_bytes`, does not nest, and raises only WireError, or
MismatchError for another version. What it returns satisfies every rule that a set keeps for itself.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from palaver.crdt.clock import COUNTER_BITS
from palaver.crdt.delta import Delta, DeltaOfMany
from palaver.crdt.elements import Atom, Element
from palaver.crdt.errors import MismatchError, WireError
from palaver.crdt.order import MAX_STAMP, MIN_STAMP, add_cell, remove_cell, stamp_in

MAGIC: Final = 0xC1
VERSION: Final = 1
DEFAULT_MAX_BYTES: Final = 64 << 20

_REMOVE_BIAS, _IS_DELTA, _HAS_FLOOR = 1, 2, 4
_TUPLE, _BYTES = 1, 2
_COUNTER_MASK: Final = (1 << COUNTER_BITS) - 1
# Ten groups of seven bits hold every legal number; a longer one is an attack.
_MAX_VARINT_SHIFT: Final = 63

_Ext: TypeAlias = msgspec.msgpack.Ext
_Packed: TypeAlias = str | int | _Ext
_encode_packed = msgspec.msgpack.Encoder().encode
# No array may stand inside the array: msgspec would make room for it before anything could be said about it.
_decode_packed = msgspec.msgpack.Decoder(list[_Packed]).decode


class Cells(NamedTuple):
    """What a message says."""

    elements: list[Element]
    cells: list[int]
    bias_bit: int
    is_delta: bool
    floor: int | None
    received: int | None


def _pack_atom(atom: Atom) -> _Packed:
    return _Ext(_BYTES, atom) if isinstance(atom, bytes) else atom


def _pack(element: Element) -> _Packed:
    if isinstance(element, tuple):
        return _Ext(_TUPLE, _encode_packed([_pack_atom(atom) for atom in element]))
    return _pack_atom(element)


def _unpack_atom(packed: _Packed) -> Atom:
    if isinstance(packed, _Ext):
        if packed.code != _BYTES:
            raise WireError(f"extension {packed.code} is not {_BYTES}, bytes")
        return bytes(packed.data)
    return packed


def _unpack(packed: _Packed) -> Element:
    if isinstance(packed, _Ext) and packed.code == _TUPLE:
        return tuple([_unpack_atom(atom) for atom in _decode_packed(packed.data)])
    return _unpack_atom(packed)


def encode_element(element: Element) -> bytes:
    """Return the canonical bytes of one element."""
    return _encode_packed(_pack(element))


def encode_any(element: Any) -> bytes:  # noqa: ANN401  # sets are generic in their elements, which were checked
    """Return what `encode_element` returns, for an element of a generic set."""
    return encode_element(element)


def _encode_elements(elements: Sequence[Element]) -> bytes:
    if set(map(type, elements)) <= {str, int}:
        return _encode_packed(elements)
    return _encode_packed([_pack(element) for element in elements])


def _decode_elements(data: bytes) -> list[Element]:
    try:
        packed = _decode_packed(data)
        if _Ext not in set(map(type, packed)):
            return cast("list[Element]", packed)
        return [_unpack(one) for one in packed]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"the elements are malformed: {error}") from error


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _unzigzag(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1


def _write_varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > _MAX_VARINT_SHIFT:
            raise WireError(f"the number that ends at byte {at} has more than 70 bits")


def _read_stamp(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(data, at)
    stamp = _unzigzag(number)
    if not MIN_STAMP <= stamp <= MAX_STAMP:
        raise WireError(f"stamp {stamp} is out of range")
    return stamp, at


def _sorted(items: Iterable[tuple[Any, int]]) -> list[tuple[Any, int]]:
    by_cell = sorted(items, key=itemgetter(1))
    if len(set(map(itemgetter(1), by_cell))) < len(by_cell):
        by_cell.sort(key=lambda item: (item[1], encode_element(item[0])))
    return by_cell


def _write_stamps(out: bytearray, cells: Sequence[int], bias_bit: int) -> None:
    milliseconds = stamp_in(cells[0], bias_bit) >> COUNTER_BITS
    _write_varint(out, _zigzag(milliseconds))
    counter = 0
    for cell in cells:
        stamp = stamp_in(cell, bias_bit)
        step = (stamp >> COUNTER_BITS) - milliseconds
        growth = stamp & _COUNTER_MASK
        if step:
            milliseconds += step
            counter = growth
        else:
            growth -= counter
            counter += growth
        _write_varint(out, step << 2 | (growth > 0) << 1 | cell & 1)
        if growth:
            _write_varint(out, growth)


def _read_stamps(data: bytes, at: int, count: int, bias_bit: int) -> tuple[list[int], int]:
    base, at = _read_varint(data, at)
    milliseconds, counter = _unzigzag(base), 0
    cells: list[int] = []
    for _ in repeat(None, count):
        token, at = _read_varint(data, at)
        step, growth = token >> 2, 0
        if token & 2:
            growth, at = _read_varint(data, at)
        milliseconds += step
        counter = growth if step else counter + growth
        stamp = (milliseconds << COUNTER_BITS) + counter
        if counter > _COUNTER_MASK or not MIN_STAMP <= stamp <= MAX_STAMP:
            raise WireError(f"stamp {stamp} is out of range")
        cells.append(add_cell(stamp) if token & 1 else remove_cell(stamp, bias_bit))
    return cells, at


def encode_cells(
    items: Iterable[tuple[Element, int]],
    bias_bit: int,
    *,
    is_delta: bool = False,
    floor: int | None = None,
    received: int | None = None,
) -> bytes:
    """Return the canonical bytes of cells, each element at most once; a floor comes with `received`."""
    rows = _sorted(items)
    flags = bias_bit | is_delta * _IS_DELTA | (floor is not None) * _HAS_FLOOR
    out = bytearray((MAGIC, VERSION << 4 | flags))
    _write_varint(out, len(rows))
    if floor is not None and received is not None:
        _write_varint(out, _zigzag(floor))
        _write_varint(out, _zigzag(received))
    if rows:
        _write_stamps(out, [cell for _, cell in rows], bias_bit)
    out += _encode_elements([element for element, _ in rows])
    return bytes(out)


def decode_cells(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Cells:
    """Read what `encode_cells` wrote. Raises WireError, or MismatchError for another version."""
    if len(data) > max_bytes:
        raise WireError(f"the message has {len(data)} bytes, more than the {max_bytes} allowed")
    if len(data) < 3 or data[0] != MAGIC:
        raise WireError("this is not a set: it does not begin with 0xc1")
    if data[1] >> 4 != VERSION:
        raise MismatchError("wire version", VERSION, data[1] >> 4)
    if data[1] & 8:
        raise WireError("a reserved bit is set")
    bias_bit = data[1] & _REMOVE_BIAS
    try:
        count, at = _read_varint(data, 2)
        if count > len(data):
            raise WireError(f"{count} cells cannot stand in {len(data)} bytes")
        floor = received = None
        if data[1] & _HAS_FLOOR:
            floor, at = _read_stamp(data, at)
            received, at = _read_stamp(data, at)
            if received < floor:
                raise WireError(f"the floor {floor} is above {received}, up to which the sender has everything")
        cells, at = _read_stamps(data, at, count, bias_bit) if count else ([], at)
    except IndexError:
        raise WireError("the message ends too early") from None
    elements = _decode_elements(data[at:])
    if len(elements) != count or len(set(elements)) != count:
        raise WireError(f"{count} cells, but {len(set(elements))} different elements")
    return Cells(elements, cells, bias_bit, bool(data[1] & _IS_DELTA), floor, received)


def encode_delta(delta: Delta[Any]) -> bytes:
    """Return the canonical bytes of a delta."""
    return encode_cells(delta.items(), delta.bias_bit, is_delta=True)


def decode_delta(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Delta[Any]:
    """Read a delta, or a whole set as a delta; safe on hostile bytes. Raises as `LWWElementSet.decode`."""
    message = decode_cells(data, max_bytes=max_bytes)
    return DeltaOfMany(message.bias_bit, message.elements, message.cells)
