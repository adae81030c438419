"""The two clocks, read at the edge only. The core gets the time as an argument."""

import time

monotonic = time.monotonic
"""Seconds for durations and deadlines; never goes backwards."""


def wall() -> float:
    """Unix seconds, for what people and other machines read. May jump; never used for a duration."""
    return time.time()  # noqa: TID251 - this is the edge


def wall_ms() -> int:
    """Unix milliseconds."""
    return int(wall() * 1000)
