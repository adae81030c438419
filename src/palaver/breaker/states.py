"""The vocabulary of a circuit: states, modes, causes, and the table of legal transitions.

The table is the only description of what may follow what. The state diagram in the documentation is drawn from it,
and the core refuses every step that is not in it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Mode(StrEnum):
    """How much of the breaker is in force. `SHADOW` counts and changes state but rejects nobody; `DISABLED` does
    neither."""

    NORMAL = "normal"
    SHADOW = "shadow"
    DISABLED = "disabled"


class Cause(StrEnum):
    """Why a circuit changed its state."""

    TRIPPED = "tripped"
    WAITED = "waited"
    RECOVERED = "recovered"
    RELAPSED = "relapsed"
    EXPIRED = "expired"
    FORCED = "forced"
    RELEASED = "released"
    RESET = "reset"
    PEER_OPENED = "peer_opened"
    PEER_CLOSED = "peer_closed"


CAUSES: Final[Mapping[Cause, str]] = {
    Cause.TRIPPED: "a trip rule fired",
    Cause.WAITED: "the wait is over and a call asks to be admitted",
    Cause.RECOVERED: "enough probes succeeded",
    Cause.RELAPSED: "a probe failed",
    Cause.EXPIRED: "the lease of a probe ran out",
    Cause.FORCED: "an operator opened the circuit",
    Cause.RELEASED: "the last isolation ended",
    Cause.RESET: "an operator reset the circuit",
    Cause.PEER_OPENED: "another process opened the shared circuit",
    Cause.PEER_CLOSED: "another process closed the shared circuit",
}

TRANSITIONS: Final[Mapping[tuple[State, Cause], State]] = {
    (State.CLOSED, Cause.TRIPPED): State.OPEN,
    (State.CLOSED, Cause.FORCED): State.OPEN,
    (State.CLOSED, Cause.RESET): State.CLOSED,
    (State.CLOSED, Cause.PEER_OPENED): State.OPEN,
    (State.OPEN, Cause.WAITED): State.HALF_OPEN,
    (State.OPEN, Cause.FORCED): State.OPEN,
    (State.OPEN, Cause.RELEASED): State.HALF_OPEN,
    (State.OPEN, Cause.RESET): State.CLOSED,
    (State.OPEN, Cause.PEER_OPENED): State.OPEN,
    (State.OPEN, Cause.PEER_CLOSED): State.CLOSED,
    (State.HALF_OPEN, Cause.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Cause.RELAPSED): State.OPEN,
    (State.HALF_OPEN, Cause.EXPIRED): State.OPEN,
    (State.HALF_OPEN, Cause.FORCED): State.OPEN,
    (State.HALF_OPEN, Cause.RESET): State.CLOSED,
    (State.HALF_OPEN, Cause.PEER_OPENED): State.OPEN,
    (State.HALF_OPEN, Cause.PEER_CLOSED): State.CLOSED,
}


class Reason(StrEnum):
    """Why a call was rejected."""

    OPEN = "open"
    PROBE_LIMIT = "probe_limit"
    FORCED = "forced"
    RAMP = "ramp"


class Outcome(StrEnum):
    """How an admitted call ended. Only `SUCCESS` and `FAILURE` speak about the dependency; the rest are neutral."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNREACHABLE = "unreachable"
    IGNORED = "ignored"
    CANCELLED = "cancelled"


# Plain names for the members that are compared on every call: looking a member up in its class costs several times as
# much on Python 3.11.
CLOSED: Final = State.CLOSED
OPEN: Final = State.OPEN
HALF_OPEN: Final = State.HALF_OPEN
SUCCESS: Final = Outcome.SUCCESS
FAILURE: Final = Outcome.FAILURE
UNREACHABLE: Final = Outcome.UNREACHABLE
IGNORED: Final = Outcome.IGNORED
CANCELLED: Final = Outcome.CANCELLED
