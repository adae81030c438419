"""Who may still spend how much: caps for a person, a room and the whole server over any 24 hours.

What an evaluation may cost at most is reserved when it starts and counts until it ends; from then on its real cost
does. Pure: it is told what was spent and what time it is. Money is in nanodollars, time in Unix milliseconds.

Invariant: the evaluations that were let start within 24 hours cannot together cost more than any cap.
"""

from collections.abc import Iterable
from dataclasses import dataclass

WINDOW_MS = 24 * 3600 * 1000
NANODOLLARS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Nanodollars in 24 hours, and for one evaluation; `None` means no cap."""

    evaluation: int | None = None
    user: int | None = None
    room: int | None = None
    server: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one evaluation has cost, or may at most cost while it runs (`None`: it has no cap)."""

    at_ms: int
    user: str | None
    room: str | None
    nanodollars: int | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The cap for one more evaluation; `exhausted` says whose money is used up, if any."""

    nanodollars: int | None
    exhausted: str | None = None


def allow(caps: Caps, spent: Iterable[Spending], user: str, room: str | None, now_ms: int) -> Allowed:
    """How much one more evaluation may cost."""
    recent = [each for each in spent if each.at_ms > now_ms - WINDOW_MS]
    limits = {"evaluation": caps.evaluation}
    limits["user"] = _left(caps.user, [each for each in recent if each.user == user])
    if room is not None:
        limits["room"] = _left(caps.room, [each for each in recent if each.room == room])
    limits["server"] = _left(caps.server, recent)
    known = {whose: left for whose, left in limits.items() if left is not None}
    exhausted = next((whose for whose, left in known.items() if left <= 0), None)
    return Allowed(max(0, min(known.values())) if known else None, exhausted)


def _left(cap: int | None, spent: list[Spending]) -> int | None:
    if cap is None:
        return None
    # An evaluation without a cap that still runs was started under other settings: nothing is left until it has ended.
    if any(each.nanodollars is None for each in spent):
        return 0
    return cap - sum(each.nanodollars for each in spent if each.nanodollars is not None)
