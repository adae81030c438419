"""Everything the chat core can ask of the world, and everything the log can answer. Start reading here.

The engine is told what happened and returns a list of these; the shell in palaver.server performs them in order.
Effects that concern the log are performed by it in the order they were given, and it answers each exactly once, in
that same order, through `Engine.logged`. That order is what makes a join one atomic picture.

Refuses to do: anything. These are values. A `Connection` is whatever hashable object the shell uses for one; the
engine never looks inside it.
"""

from collections.abc import Hashable
from enum import Enum

import msgspec

from palaver.chat.records import Message, Sanction, User

Connection = Hashable


class Urgency(Enum):
    """What a broadcast is worth to a reader that cannot keep up: dropped, merged, kept, in this order."""

    TYPING = 0
    PRESENCE = 1
    MESSAGE = 2


# ---- towards connections -----------------------------------------------------------------------------------------


class Send(msgspec.Struct, frozen=True, gc=False):
    """Write one JSON frame to one connection, after everything that was for it before.

    With `overtakable`, broadcasts to its rooms that come soon after may go before it: the ack of a message says nothing
    about the messages that follow, and a connection that is acknowledged often can then share its room's bytes.
    """

    connection: Connection
    frame: bytes
    overtakable: bool = False


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Write one JSON frame to every connection subscribed to the room, but not to `skip`.

    `seq` is the message's place in the room, 0 for what is not a message. A connection that lags is left out; when it
    has drained, `Engine.catch_up` says what it missed.
    """

    room: str
    frame: bytes
    urgency: Urgency
    seq: int = 0
    skip: Connection | None = None


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """From here on the connection gets the room's broadcasts. Earlier ones, also unwritten, are not for it."""

    connection: Connection
    room: str


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """From here on the connection gets none of the room's broadcasts. Idempotent."""

    connection: Connection
    room: str


class Close(msgspec.Struct, frozen=True, gc=False):
    """Send what is queued, then close with this code. The shell reports `disconnected` when it is done."""

    connection: Connection
    code: int
    reason: str


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Take no more requests of this connection until `Release`: the log is reading something for it.

    What the log reads may be large. With one such answer at a time, and no reading while it is unsent, what waits for
    one connection is bounded however much it asks for at once. Its heartbeat goes on: a log that hangs for longer than
    that loses it.
    """

    connection: Connection


class Release(msgspec.Struct, frozen=True, gc=False):
    """The answer for which the connection was held was given."""

    connection: Connection


class Authenticate(msgspec.Struct, frozen=True, gc=False):
    """Verify a token (which may need the network); the answer goes to `Engine.authenticated`."""

    connection: Connection
    re: str
    token: str


class Consider(msgspec.Struct, frozen=True, gc=False):
    """Ask who carries commands out whether this one can be; nothing is stored yet. Answer: `Engine.considered`.

    `guest` is whether the sender has no token, `moderates` whether they moderate the room.
    """

    job: "Append"
    guest: bool
    moderates: bool


class Obey(msgspec.Struct, frozen=True, gc=False):
    """A command is stored: carry it out. A `duplicate` was told before, unless the server was killed in between."""

    job: "Append"
    seq: int
    mid: str
    duplicate: bool


# ---- towards the log ---------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True, gc=False):
    """Store a message and give it the room's next `seq`, unless this user, room and `cid` are stored already.

    Answered by Stored or Failed.
    """

    connection: Connection
    re: str
    room: str
    user: User
    text: str
    cid: str | None
    mid: str
    time: int
    command: bool = False  # whether `Obey` follows when it is stored
    accepted: float = 0.0  # monotonic; the engine's own, for giving the place in the rate window back


class Load(msgspec.Struct, frozen=True, gc=False):
    """Read the newest messages of a room, all that are kept, and its last `seq`. Answered by Loaded or Failed."""

    room: str


class Page(msgspec.Struct, frozen=True, gc=False):
    """Read up to `limit` messages before or after a `seq` (or the newest). Answered by Paged or Failed."""

    connection: Connection
    re: str
    room: str
    before: int | None
    after: int | None
    limit: int


class Fates(msgspec.Struct, frozen=True, gc=False):
    """Look up what became of a user's sends. Answered by Found or Failed."""

    connection: Connection
    re: str
    room: str
    user: str
    cids: tuple[str, ...]


class Redact(msgspec.Struct, frozen=True, gc=False):
    """Remove the text of a message and keep its place. Answered by Redacted or Failed."""

    connection: Connection
    re: str
    room: str
    seq: int


class Save(msgspec.Struct, frozen=True, gc=False):
    """Keep a moderator's decision over restarts. Answered by Saved or Failed."""

    connection: Connection
    re: str
    sanction: Sanction


LogJob = Append | Load | Page | Fates | Redact | Save


# ---- what the log answers ----------------------------------------------------------------------------------------


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The message is as safe as the log's durability says. A duplicate has the first one's `seq`, `mid`, `time`."""

    job: Append
    seq: int
    mid: str
    time: int
    duplicate: bool


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """The room's kept messages, oldest first, and its last `seq` (0 for a room that never had a message)."""

    job: Load
    messages: list[Message]
    seq: int


class Paged(msgspec.Struct, frozen=True, gc=False):
    """Ascending messages. `complete` says that nothing older (with `after`: nothing newer) is kept than these."""

    job: Page
    messages: list[Message]
    complete: bool


class Found(msgspec.Struct, frozen=True, gc=False):
    """For each asked `cid` the `seq` it was stored under, or None where nothing was stored."""

    job: Fates
    seqs: dict[str, int | None]


class Redacted(msgspec.Struct, frozen=True, gc=False):
    """The tombstone that stands in the message's place now, or None where there is no such message."""

    job: Redact
    message: Message | None


class Saved(msgspec.Struct, frozen=True, gc=False):
    """The decision is kept."""

    job: Save


class Failed(msgspec.Struct, frozen=True, gc=False):
    """Nothing of the job was done. `reason` is for the operator's log, never for the wire."""

    job: LogJob
    reason: str


LogResult = Stored | Loaded | Paged | Found | Redacted | Saved | Failed

Effect = Send | Broadcast | Subscribe | Unsubscribe | Close | Hold | Release | Authenticate | Consider | Obey | LogJob
