"""Checks of arguments: each names the argument and the value, and says what to give instead."""

import inspect
from collections.abc import Callable
from math import inf, isfinite


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


def finite(name: str, value: object, wanted: str) -> float:
    """Accept a finite number, and return it; `wanted` says what to give instead of any other value.

    Raises:
        TypeError: for what is not a number.
        ValueError: for infinities, NaN, and integers that are larger than any float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: give {wanted}")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ValueError(f"{name}={value!r}: give {wanted}")
    return number


def duration(name: str, value: object, *, zero: bool = False) -> None:
    """Accept a finite number of seconds above 0, or with `zero` of at least 0.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a number out of range.
    """
    wanted = f"a finite number of seconds, {'at least' if zero else 'more than'} 0"
    number = finite(name, value, wanted)
    if number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name}={value!r}: give {wanted}")


def callback(value: object) -> None:
    """Accept a plain function, or whatever else can be called without being awaited.

    Raises:
        TypeError: for a coroutine function, which nobody would await, and for what cannot be called.
    """
    if not callable(value) or is_async(value):
        raise TypeError(f"{value!r}: a listener is a plain function; for async code, put what it gets into a queue")


def predicate(name: str, value: object, wanted: str) -> None:
    """Accept a plain function. What a coroutine function returns is always true, and nobody would await it.

    Raises:
        TypeError: for a coroutine function, and for what cannot be called.
    """
    if not callable(value):
        raise TypeError(f"{name}={value!r}: give {wanted}")
    if is_async(value):
        raise TypeError(f"{name}={value!r}: give {wanted}; it is asked without await, so not by `async def`")


def is_async(value: Callable[..., object]) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, or an object that is one or has one as `__call__`."""
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__)
