"""For tests of code that uses a breaker: a clock that moves when it is told to.

Use `FakeClock` as the `clock` of a breaker; nothing in such a test needs to sleep.
"""

from palaver.breaker.testing.clock import FakeClock

__all__ = ["FakeClock"]
