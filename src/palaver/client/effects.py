"""Everything the client's core can ask of its shell. Values; palaver.client.shell performs them in order."""

from dataclasses import dataclass

from palaver.client.errors import ClientError
from palaver.client.events import Link
from palaver.client.outbox import Outcome
from palaver.client.wire import HistoryAck


@dataclass(frozen=True, slots=True)
class Dial:
    """Make a network connection; report it as this `link`."""

    link: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write one text frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hang:
    """Close the network connection without waiting for anything. Nothing more is reported of it."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Fetch a token; report `renewed` or `renewal_failed`."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The room has something to take, has been joined, or has ended."""

    room: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """This became of the message."""

    cid: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to `history`."""

    question: str
    result: HistoryAck | ClientError


@dataclass(frozen=True, slots=True)
class Moved:
    """The link's state changed."""

    state: Link


Effect = Dial | Write | Hang | Renew | Deliver | Resolve | Answer | Moved
