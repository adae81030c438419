"""One room: its members, its newest messages, and what a returning reader has missed.

A room is in memory while somebody is in it; its messages are in the log for as long as they are kept. The messages
held here are always exactly the kept ones: the newest `history`, none older than `history_age_seconds`, without holes.

Refuses to do: IO, rights, limits. Invariants: `seq` only grows; the ring's `seq` are consecutive and end at `seq`; a
member has at least one connection, or a deadline at which they have left.
"""

from collections import deque
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from palaver.chat.records import Message, Position, User
from palaver.chat.replies import Gap, encode

if TYPE_CHECKING:
    from palaver.chat.people import Person
    from palaver.chat.requests import Join
    from palaver.chat.session import Session

REPLAY = 100  # messages in one reply; the protocol's page


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A kept message, ready to be written."""

    seq: int
    time: int
    frame: bytes


class Picture(NamedTuple):
    """What a join reply says about messages."""

    messages: Raw  # a list
    replayed: int  # how many
    recovered: Literal["none", "full", "gap"]
    gap: Gap | UnsetType


class Ring:
    """The kept messages of a room, oldest first, and the last `seq` that was given out."""

    __slots__ = ("_age_ms", "_kept", "_newest", "seq")

    def __init__(self, count: int, age_seconds: float | None) -> None:
        self._kept: deque[Kept] = deque(maxlen=count)
        self._age_ms = None if age_seconds is None else age_seconds * 1000
        self._newest: Raw | None = None  # what most joins are answered with, from one to the next message
        self.seq = 0

    def fill(self, messages: list[Message], seq: int) -> None:
        """Take over what the log keeps."""
        self.forget_newest()
        self._kept.clear()
        self._kept.extend(Kept(message.seq, message.time, encode(message)) for message in messages)
        self.seq = seq

    def append(self, seq: int, time: int, frame: bytes) -> None:
        """Add the next message."""
        assert seq == self.seq + 1, f"message {seq} after {self.seq}: the log answers in order and without holes"
        self._newest = None
        self._kept.append(Kept(seq, time, frame))
        self.seq = seq

    def replace(self, message: Message) -> bool:
        """Put a tombstone in a message's place; says whether the message was still kept."""
        first = self._kept[0].seq if self._kept else self.seq + 1
        index = message.seq - first
        if not 0 <= index < len(self._kept):
            return False
        self._newest = None
        self._kept[index] = Kept(message.seq, message.time, encode(message))
        return True

    def get(self, seq: int, wall_ms: int) -> Kept | None:
        """The kept message with this `seq`."""
        kept = self.kept(wall_ms)
        index = seq - (kept[0].seq if kept else seq + 1)
        return kept[index] if 0 <= index < len(kept) else None

    def kept(self, wall_ms: int) -> deque[Kept]:
        """The kept messages; what became too old since is dropped first."""
        kept = self._kept
        if self._age_ms is not None:
            while kept and kept[0].time < wall_ms - self._age_ms:
                self._newest = None
                kept.popleft()
        return kept

    def after(self, seq: int, wall_ms: int) -> list[bytes] | None:
        """Every message after `seq`, or None if some of them are not kept any more."""
        missed = self.seq - seq
        kept = self.kept(wall_ms)
        if missed > len(kept):
            return None
        return [kept[index].frame for index in range(len(kept) - missed, len(kept))]

    def page(self, before: int | None, after: int | None, limit: int, wall_ms: int) -> tuple[list[Raw], bool]:
        """Up to `limit` messages next to a `seq`, and whether nothing more is kept on that side."""
        kept = self.kept(wall_ms)
        if after is not None:
            later = [entry for entry in kept if entry.seq > after and (before is None or entry.seq < before)]
            return [Raw(entry.frame) for entry in later[:limit]], len(later) <= limit
        earlier = [entry for entry in kept if before is None or entry.seq < before]
        return [Raw(entry.frame) for entry in earlier[-limit:]], len(earlier) <= limit

    def picture(self, since: Position | None, epoch: str, wall_ms: int) -> Picture:
        """The newest messages, or those after `since`, and an exact account of what is missing between."""
        kept = self.kept(wall_ms)
        count = most = min(REPLAY, len(kept))
        if since is None:
            return Picture(self._read(count), count, "none", UNSET)
        if since.epoch != epoch or since.seq > self.seq:
            return Picture(self._read(count), count, "gap", Gap(1, self.seq - count, "epoch"))
        count = min(most, self.seq - since.seq)
        first = self.seq - count + 1
        if first == since.seq + 1:
            return Picture(self._read(count), count, "full", UNSET)
        gap = Gap(since.seq + 1, first - 1, "limit" if most < len(kept) else "retention")
        return Picture(self._read(count), count, "gap", gap)

    def _read(self, count: int) -> Raw:
        """The newest `count` messages of what is kept. As many as a reply holds are put together once for all joins."""
        kept = self._kept
        if count < min(REPLAY, len(kept)):
            return _together(kept, count)
        if self._newest is None:
            self._newest = _together(kept, count)
        return self._newest

    def forget_newest(self) -> None:
        """Free what was put together for joins; the next one puts it together anew."""
        self._newest = None


def _together(kept: deque[Kept], count: int) -> Raw:
    frames = [entry.frame for entry in islice(kept, len(kept) - count, None)]
    return Raw(b"[" + b",".join(frames) + b"]")


class Member:
    """Somebody in a room, on one or more connections, or on none until `grace` is over."""

    __slots__ = ("leaves_at", "person", "sessions")

    def __init__(self, person: "Person") -> None:
        self.person = person
        self.sessions: list[Session] = []
        self.leaves_at: float | None = None


Change = Literal["joined", "renamed", "left"]


class Loading(Enum):
    """Whether the kept messages are here yet."""

    LOADING = "loading"
    READY = "ready"


class Room:
    """A room in memory."""

    __slots__ = ("changes", "last_broadcast", "members", "name", "ring", "roll", "state", "waiting")

    def __init__(self, name: str, ring: Ring, now: float) -> None:
        self.name = name
        self.ring = ring
        self.state = Loading.LOADING
        self.waiting: list[tuple[Session, Join, dict[str, int | None] | None]] = []  # joins until the room is ready
        self.members: dict[str, Member] = {}
        self.roll: bytearray | None = None  # the members as joins list them, but for the last bracket; while many join
        self.changes: dict[str, tuple[Change, User]] = {}  # presence since the last push, by user id
        self.last_broadcast = now

    def __repr__(self) -> str:
        return f"<Room {self.name} {self.state.value} {len(self.members)} members seq={self.ring.seq}>"

    @property
    def empty(self) -> bool:
        """Nobody is in it or about to be."""
        return not self.members and not self.waiting

    def listed(self, most: int) -> Raw:
        """The members who came first, at most so many, as a list."""
        if self.roll is None:
            users = [member.person.user for member in islice(self.members.values(), most)]
            self.roll = bytearray(encode(users)[:-1])
        return Raw(self.roll + b"]")

    def enlist(self, user: User, most: int) -> None:
        """Go on with the list of members, who are with this one not fewer than two, if there is a list."""
        if self.roll is not None and len(self.members) <= most:
            self.roll += b"," + encode(user)

    def forget_copies(self) -> None:
        """Free what was put together for joins; the next one puts it together anew."""
        self.roll = None
        self.ring.forget_newest()

    def note_joined(self, user: User) -> None:
        """Remember for the next presence push that the user came. A leave just before is undone instead."""
        before = self.changes.get(user.id)
        if before is not None and before[0] == "left":
            if before[1] == user:
                del self.changes[user.id]
            else:
                self.changes[user.id] = ("renamed", user)
        else:
            self.changes[user.id] = ("joined", user)

    def note_renamed(self, user: User) -> None:
        """Remember that a member's name changed; told as a join, which clients take over by id."""
        before = self.changes.get(user.id)
        self.changes[user.id] = ("joined" if before is not None and before[0] == "joined" else "renamed", user)

    def note_left(self, user: User) -> None:
        """Remember for the next presence push that the user left. A join just before is undone instead."""
        before = self.changes.get(user.id)
        if before is not None and before[0] == "joined":
            del self.changes[user.id]
        else:
            self.changes[user.id] = ("left", user)
