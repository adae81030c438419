"""What can be an element: values that every replica, on every Python, takes for the same thing.

Text, bytes, integers of 64 bits, and tuples of these. Their msgpack form is injective and agrees with Python's `==`.
Refused: float and bool (`1 == 1.0 == True`, yet their encodings differ), None, text that UTF-8 cannot write, subclasses
(they may redefine equality), and tuples in tuples (so that no input can nest deeply).
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from palaver.crdt.errors import ElementError

Atom: TypeAlias = str | bytes | int
Element: TypeAlias = str | bytes | int | tuple[str | bytes | int, ...]

_MIN_INT: Final = -(1 << 63)
_MAX_INT: Final = (1 << 64) - 1


def _check_atom(value: object) -> None:
    kind = value.__class__
    if kind is str:
        assert isinstance(value, str)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ElementError(f"element {value!r} cannot be written in UTF-8: {error.reason}") from error
    elif kind is int:
        assert isinstance(value, int)
        if not _MIN_INT <= value <= _MAX_INT:
            raise ElementError(f"element {value} has more than 64 bits: use its text")
    elif kind is not bytes:
        raise ElementError(
            f"element {value!r} is a {kind.__name__}: use str, bytes, int or a tuple of these, "
            f"which mean the same on every replica"
        )


def check_element(value: object) -> None:
    """Raise ElementError unless `value` can be an element."""
    if value.__class__ is tuple:
        assert isinstance(value, tuple)
        for atom in value:
            _check_atom(atom)
    else:
        _check_atom(value)


def check_elements(values: Iterable[object]) -> None:
    """Raise ElementError unless every one of `values` can be an element."""
    for value in values:
        if value.__class__ is not str or not value.isascii():
            check_element(value)
