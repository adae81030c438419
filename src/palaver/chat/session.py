"""One connection, as the engine sees it: how far it is, who it is, and when it was last heard.

Refuses to do: rooms, names, sending. Invariants: the phase only moves forward along `PHASES`; a closed session is
never sent anything again; a session's person is set exactly while it is READY.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from palaver.chat import requests
from palaver.chat.effects import Connection
from palaver.chat.rights import Rights

if TYPE_CHECKING:
    from palaver.chat.people import Person
    from palaver.chat.rooms import Room


class Phase(Enum):
    """How far a connection is."""

    FRESH = "fresh"  # connected; must authenticate in time
    READY = "ready"  # authenticated
    CLOSED = "closed"  # a close was decided; what still arrives is not looked at


# Which phases may follow. The diagram in the docs is drawn from this.
PHASES: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.FRESH: frozenset({Phase.READY, Phase.CLOSED}),
        Phase.READY: frozenset({Phase.CLOSED}),
        Phase.CLOSED: frozenset(),
    }
)

# Which requests are looked at in which phase; any other is `unauthenticated`.
ALLOWED: Mapping[Phase, frozenset[type[requests.Request]]] = MappingProxyType(
    {
        Phase.FRESH: frozenset({requests.Auth, requests.Ping, requests.Pong}),
        Phase.READY: frozenset(requests.TYPES.values()),
        Phase.CLOSED: frozenset(),
    }
)


_NO_RIGHTS = Rights(join=(), send=(), ask=())


class Session:
    """The state of one connection. Slotted: there are tens of thousands."""

    __slots__ = (
        "awaiting_since",
        "connection",
        "expires",
        "expires_ms",
        "expiry_warned",
        "frames",
        "http",
        "ip",
        "joining",
        "last_in",
        "last_out",
        "malformed",
        "person",
        "phase",
        "reads",
        "rights",
        "rooms",
        "stall_at_ping",
    )

    def __init__(self, connection: Connection, ip: str, now: float, stall: float, *, http: bool = False) -> None:
        self.connection = connection
        self.ip = ip
        self.http = http  # one request over HTTP: no rooms to be in, no heartbeat, no deadline
        self.phase = Phase.FRESH
        self.person: Person | None = None
        self.rights = _NO_RIGHTS
        self.expires: float | None = None  # monotonic
        self.expires_ms: int | None = None
        self.expiry_warned = False
        self.rooms: dict[str, Room] = {}
        self.joining: dict[str, requests.Join] | None = None  # joins that wait for the fate of sends, by request id
        self.reads = 0  # of the log, for this connection, that are not answered
        self.last_in = now
        self.last_out = now
        self.awaiting_since: float | None = now  # since when an answer is due: at first the `auth`, later a pong
        self.stall_at_ping = stall  # the server's own accumulated stall when the wait began
        self.frames = 0.0  # state of the frame bucket
        self.malformed: deque[float] | None = None  # when the last malformed frames came; most never send one

    def __repr__(self) -> str:
        who = self.person.user.id if self.person else "nobody"
        return f"<Session {self.phase.value} {who} from {self.ip} in {len(self.rooms)} rooms>"

    def enter(self, phase: Phase) -> None:
        """Move on to a later phase. The one writer of `phase`."""
        assert phase in PHASES[self.phase], f"{self.phase} cannot become {phase}"
        self.phase = phase

    def spend_malformed(self, budget: int, seconds: float, now: float) -> bool:
        """Count a malformed frame; say whether the budget of the last `seconds` is spent with it."""
        if budget == 0:
            return True
        if self.malformed is None:
            self.malformed = deque(maxlen=budget)
        self.malformed.append(now)
        return len(self.malformed) == budget and now - self.malformed[0] < seconds
