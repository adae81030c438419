"""How often may ask: addresses without a good token, because guessing and checking signatures have a price; and users
with one, who have over HTTP the rate of frames that one connection has over the socket.

Refuses to do: limit messages; the engine does that, whichever way they come. Invariants: who asks no oftener than
`rate` a second (with a burst of so many seconds' worth) is never refused; memory is bounded by what was asked in the
last `burst_seconds`.
"""

from collections.abc import Callable

from palaver.chat.errors import Scope
from palaver.chat.limits import Bucket, milliseconds
from palaver.server.http.answers import Refused

_SWEEP_AT = 1_024  # remembered keys


class Throttle:
    """One per kind of key. With `rate` None it lets everybody through."""

    def __init__(
        self, rate: int | None, clock: Callable[[], float], *, scope: Scope = "ip", burst_seconds: int = 10
    ) -> None:
        self._bucket = None if rate is None else Bucket(rate, rate * burst_seconds)
        self._clock = clock
        self._scope: Scope = scope
        self._states: dict[str, float] = {}  # address or user -> state of its bucket
        self._sweep_at = _SWEEP_AT

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._states)

    def check(self, key: str) -> None:
        """Let them try. Raises Refused."""
        if self._bucket is None or key not in self._states:
            return
        wait = self._bucket.wait(self._states[key], self._clock())
        if wait > 0:
            after = milliseconds(wait)
            what = "requests without a good token from this address" if self._scope == "ip" else "requests"
            text = f"Too many {what}. Try again in {after} ms."
            raise Refused("rate_limited", text, retry_after_ms=after, scope=self._scope)

    def count(self, key: str) -> None:
        """They have tried."""
        if self._bucket is None:
            return
        now = self._clock()
        self._states[key] = self._bucket.take(self._states.get(key, 0.0), now)
        if len(self._states) >= self._sweep_at:
            self._states = {other: state for other, state in self._states.items() if state > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._states))
