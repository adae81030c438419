"""What the lagging connections of one room have missed: kept once, for all of them, until each has caught up.

Of what was missed, messages are kept in order; presence is merged into one frame; typing is dropped.

Refuses to do: IO. Invariants: the entries hold at most the limit and one frame in bytes, because who needs more is
closed; a reader's position never goes back; positions count entries from the backlog's beginning, the dropped included.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from palaver.chat.effects import Broadcast, Urgency
from palaver.chat.records import User
from palaver.server.framing import text_frame
from palaver.server.stats import Stats

R = TypeVar("R", bound=Hashable)


class Entry(NamedTuple):
    """One frame that somebody missed."""

    frame: bytes  # as it goes over the wire
    effect: Broadcast
    ends_at: int  # bytes of all entries up to and with this one


class Presence(msgspec.Struct, frozen=True):
    """As much of a presence frame as is needed to merge several. palaver.chat.replies makes them."""

    type: Literal["presence"]
    room: str
    joined: list[User]
    left: list[User]
    member_count: int


_decode = msgspec.json.Decoder(Presence).decode


class Backlog(Generic[R]):
    """The frames that lagging readers of one room have missed, and how far each of them got."""

    __slots__ = ("_bytes", "_dropped_bytes", "_entries", "_first", "_positions", "_stats")

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._entries: deque[Entry] = deque()
        self._first = 0  # position of the first entry
        self._bytes = 0  # of all entries that ever were
        self._dropped_bytes = 0  # of those that are gone
        self._positions: dict[R, tuple[int, int]] = {}  # reader -> entries and bytes that it does not need

    def __contains__(self, reader: R) -> bool:
        return reader in self._positions

    def add_reader(self, reader: R) -> None:
        """A reader begins to lag; it has got everything so far."""
        self._positions[reader] = (self._first + len(self._entries), self._bytes)

    def remove(self, reader: R) -> bool:
        """A reader caught up or is gone. Returns True when it was the last one."""
        self._positions.pop(reader, None)
        return not self._positions

    def add(self, frame: bytes, effect: Broadcast) -> None:
        """Keep one frame, unless it is of a kind that is not kept."""
        if effect.urgency is Urgency.TYPING:
            self._stats.typing_dropped += len(self._positions)
            return
        self._bytes += len(frame)
        self._entries.append(Entry(frame, effect, self._bytes))

    def waiting_bytes(self, reader: R) -> int:
        """How many bytes the reader has missed."""
        return self._bytes - self._positions[reader][1]

    def overdue(self, limit: int) -> list[R]:
        """Readers that have missed more than `limit` bytes. Drops what nobody needs any more."""
        if self._bytes - self._dropped_bytes <= limit:
            return []
        oldest = min(count for count, _ in self._positions.values())
        while self._first < oldest:
            self._dropped_bytes = self._entries.popleft().ends_at
            self._first += 1
        return [reader for reader in self._positions if self.waiting_bytes(reader) > limit]

    def take(self, reader: R) -> list[bytes]:
        """What the reader has missed, ready to be written; after this it has missed nothing."""
        start = self._positions[reader][0] - self._first
        missed = [self._entries[index] for index in range(start, len(self._entries))]
        self.add_reader(reader)
        return list(self._merged(entry for entry in missed if entry.effect.skip is not reader))

    def _merged(self, entries: Iterator[Entry]) -> Iterator[bytes]:
        changes: list[tuple[Entry, Presence]] = []
        for entry in entries:
            presence = _presence(entry.effect)
            if presence is None:
                yield entry.frame
            else:
                changes.append((entry, presence))
        if len(changes) == 1:
            yield changes[0][0].frame
        elif changes:
            self._stats.presence_merged += len(changes) - 1
            yield text_frame(merge([presence for _, presence in changes]))


def _presence(effect: Broadcast) -> Presence | None:
    if effect.urgency is not Urgency.PRESENCE:
        return None
    try:
        return _decode(effect.frame)
    except msgspec.ValidationError:
        return None  # of presence's urgency, but another kind of push: kept as it is


def merge(changes: list[Presence]) -> bytes:
    """One presence frame that leaves its reader with the same members as all of these, one after the other."""
    present: dict[str, tuple[User, bool]] = {}
    for change in changes:
        present.update((user.id, (user, True)) for user in change.joined)
        present.update((user.id, (user, False)) for user in change.left)
    joined = [user for user, here in present.values() if here]
    left = [user for user, here in present.values() if not here]
    last = changes[-1]
    return msgspec.json.encode(Presence("presence", last.room, joined, left, last.member_count))
