"""Checks of arguments: each names the argument and the value, and says what to give instead."""

import inspect
from math import isfinite


def whole(name: str, value: object) -> None:
    """Accept an integer of at least 1.

    Raises:
        TypeError: for what is not an integer.
        ValueError: for 0 and less.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: give an integer of at least 1")
    if value < 1:
        raise ValueError(f"{name}={value!r}: give an integer of at least 1")


def duration(name: str, value: object, *, zero: bool = False) -> None:
    """Accept a finite number of seconds above 0, or with `zero` of at least 0.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a number out of range.
    """
    least = "at least 0" if zero else "more than 0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: give a number of seconds, {least}")
    if not isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name}={value!r}: give a finite number of seconds, {least}")


def callback(value: object) -> None:
    """Accept a plain function, or whatever else can be called without being awaited.

    Raises:
        TypeError: for a coroutine function, which nobody would await, and for what cannot be called.
    """
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise TypeError(f"{value!r}: a listener is a plain function; for async code, put what it gets into a queue")
