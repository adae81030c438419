"""Requests without a good token, counted per address: guessing tokens and making us check signatures have a price.

Refuses to do: limit those who have a token; the engine does that. Invariants: an address that fails no oftener than
`rate` a second (with a burst of ten times as many) is never refused; memory is bounded by the failures of the last
ten seconds.
"""

from collections.abc import Callable

from palaver.chat.limits import Bucket, milliseconds
from palaver.server.http.answers import Refused

_BURST_SECONDS = 10
_SWEEP_AT = 1_024  # remembered addresses


class Throttle:
    """One per server. With `rate` None it lets everybody through."""

    def __init__(self, rate: int | None, clock: Callable[[], float]) -> None:
        self._bucket = None if rate is None else Bucket(rate, rate * _BURST_SECONDS)
        self._clock = clock
        self._failures: dict[str, float] = {}  # address -> state of its bucket
        self._sweep_at = _SWEEP_AT

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._failures)

    def check(self, ip: str) -> None:
        """Let the address try. Raises Refused."""
        if self._bucket is None or ip not in self._failures:
            return
        wait = self._bucket.wait(self._failures[ip], self._clock())
        if wait > 0:
            after = milliseconds(wait)
            text = f"Too many requests without a good token from this address. Try again in {after} ms."
            raise Refused("rate_limited", text, retry_after_ms=after, scope="ip")

    def failed(self, ip: str) -> None:
        """The address had no good token."""
        if self._bucket is None:
            return
        now = self._clock()
        self._failures[ip] = self._bucket.take(self._failures.get(ip, 0.0), now)
        if len(self._failures) >= self._sweep_at:
            self._failures = {other: state for other, state in self._failures.items() if state > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._failures))
