"""A clock that stands still until it is advanced."""


class FakeClock:
    """A callable that returns seconds, and moves only by `advance`. Safe to read from any thread.

    Example:
        clock = FakeClock()
        breaker = CircuitBreaker(clock=clock, failure_threshold=1, open_for=30)
        ...
        clock.advance(30)
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """Return the present time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by so many seconds, at least 0.

        Raises:
            ValueError: for a negative number; a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): a monotonic clock does not go back")
        self._now += seconds

    def __repr__(self) -> str:
        return f"FakeClock({self._now!r})"
