"""What has been said and is not settled yet. Each message ends exactly once: Stored, Refused or Unknown.

    state    what happens                                     next
    QUEUED   written                                          FLYING
    QUEUED   withdrawn, expired, room or chat ended           ends: NotSent
    FLYING   ack                                              ends: Stored
    FLYING   refused, retryable                               QUEUED, after the wait that the server asked for
    FLYING   refused                                          ends: Refused
    FLYING   connection lost                                  DOUBT
    DOUBT    rejoin says it is stored                         ends: Stored
    DOUBT    rejoin says it is not, same user, same epoch     QUEUED
    DOUBT    rejoin cannot know                               ends: Unknown
    FLYING   withdrawn, expired, room or chat ended           ends: Unknown     (DOUBT likewise)

A room's messages are written in the order they were posted, at most `window` of them unanswered at a time. The
outbox mirrors the server's rate limit, so that a user with one connection is never refused for it; a refusal all the
same (another connection of the user, a busy room) pauses what its scope covers.

Refuses to do: IO, clocks, frames. `now` is monotonic seconds.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from palaver.client.errors import NotSent, OutboxFull, Refused, Unknown
from palaver.client.events import Stored

Outcome = Stored | Refused | Unknown
_RETRY_SECONDS = 1.0  # where the server names no wait
_FATE_SECONDS = 23 * 3600.0  # a server remembers sends for 24 hours; after that "not stored" proves nothing
_INTERNAL_TRIES = 5  # a fault of the server that the message itself may cause is not provoked for ever


class Sending(Enum):
    """Where a message is; the table is above."""

    QUEUED = auto()
    FLYING = auto()
    DOUBT = auto()


class Entry:
    """One message on its way. `user` and `epoch` are those under which it was last written."""

    __slots__ = ("cid", "epoch", "expires_at", "number", "room", "state", "text", "tries", "user", "written_at")

    def __init__(self, room: str, text: str, cid: str, expires_at: float | None, number: int) -> None:
        self.room, self.text, self.cid, self.expires_at, self.number = room, text, cid, expires_at, number
        self.state = Sending.QUEUED
        self.tries = 0
        self.user: str | None = None
        self.epoch: str | None = None
        self.written_at = 0.0

    def __repr__(self) -> str:
        return f"<Entry {self.cid} to {self.room} {self.state.name}>"


Settled = tuple[Entry, Outcome]


class Outbox:
    """The messages of all rooms. Its one owner is the Connection."""

    def __init__(self, capacity: int, window: int) -> None:
        if capacity < 1 or window < 1:
            raise ValueError(f"capacity and window of the outbox must be at least 1: {capacity}, {window}")
        self._capacity, self._window = capacity, window
        self._entries: dict[str, Entry] = {}
        self._rooms: dict[str, deque[Entry]] = {}
        self._count = 0
        self._paused_until = 0.0
        self._room_paused_until: dict[str, float] = {}
        self._accepted: deque[float] | None = None  # when the newest messages were accepted; None is no limit
        self._per_seconds = 1.0

    def __len__(self) -> int:
        return len(self._entries)

    def limit(self, messages: int | None, per_seconds: float) -> None:
        """Obey what the server's hello announced: `messages` in any `per_seconds`, or None for no limit."""
        kept = self._accepted or ()
        self._accepted = None if not messages else deque(kept, maxlen=messages)
        self._per_seconds = per_seconds

    def post(self, room: str, text: str, cid: str, expires_at: float | None) -> Entry:
        """Add a message.

        Raises:
            OutboxFull: `capacity` messages are waiting.
            ValueError: a message with this `cid` is waiting.
        """
        if len(self._entries) >= self._capacity:
            raise OutboxFull(self._capacity)
        if cid in self._entries:
            raise ValueError(f"A message with cid {cid!r} is already on its way: each message needs its own.")
        self._count += 1
        entry = self._entries[cid] = Entry(room, text, cid, expires_at, self._count)
        self._rooms.setdefault(room, deque()).append(entry)
        return entry

    def due(self, rooms: Iterable[str], now: float) -> Iterator[Entry]:
        """The messages to write now, in rooms that are joined. The caller writes each and calls `written` at once."""
        while self._wait(now) <= now:
            heads = [entry for room in rooms if (entry := self._head(room, now)) is not None]
            if not heads:
                return
            yield min(heads, key=lambda entry: entry.number)

    def written(self, entry: Entry, user: str, epoch: str, now: float) -> None:
        """The message is on the wire, said by this user in this epoch of the room."""
        assert entry.state is Sending.QUEUED, f"{entry!r} is written twice"
        entry.state, entry.user, entry.epoch = Sending.FLYING, user, epoch
        entry.written_at = now
        entry.tries += 1

    def acked(self, entry: Entry, outcome: Stored, *, duplicate: bool, now: float) -> Settled | None:
        """The server stored the message, now or (duplicate) before. None if it was given up meanwhile."""
        if not duplicate and self._accepted is not None:
            self._accepted.append(now)
        return self._settle(entry, outcome)

    def refused(self, entry: Entry, error: Refused, now: float) -> Settled | None:
        """The server did not store the message: queue it again or give it back."""
        final = not error.retryable or (error.code == "internal" and entry.tries >= _INTERNAL_TRIES)
        if final or self._entries.get(entry.cid) is not entry:
            return self._settle(entry, error)
        entry.state = Sending.QUEUED
        wait = _RETRY_SECONDS if error.retry_after_ms is None else error.retry_after_ms / 1000
        if error.scope == "room":
            self._room_paused_until[entry.room] = now + wait
        else:
            self._paused_until = max(self._paused_until, now + wait)
        return None

    def lost(self) -> None:
        """The connection is gone: what was unanswered is in doubt."""
        for entry in self._entries.values():
            if entry.state is Sending.FLYING:
                entry.state = Sending.DOUBT

    def doubtful(self, room: str) -> list[str]:
        """The `cid`s to ask about when the room is joined again."""
        return [entry.cid for entry in self._rooms.get(room, ()) if entry.state is Sending.DOUBT]

    def fates(self, room: str, stored: dict[str, int | None], user: str, epoch: str, now: float) -> list[Settled]:
        """The room is joined again, as `user`, and this is what became of the doubtful messages."""
        settled: list[Settled | None] = []
        for entry in [entry for entry in self._rooms.get(room, ()) if entry.state is Sending.DOUBT]:
            seq = stored.get(entry.cid)
            if seq is not None:
                settled.append(self._settle(entry, Stored(room, entry.cid, seq, epoch)))
            elif entry.cid not in stored or entry.user != user or entry.epoch != epoch:
                reason = "the server forgot this user or started the room's numbering anew"
                settled.append(self._settle(entry, Unknown(room, entry.cid, reason)))
            elif now - entry.written_at > _FATE_SECONDS:
                reason = "the connection was lost for longer than the server remembers sends"
                settled.append(self._settle(entry, Unknown(room, entry.cid, reason)))
            else:
                entry.state = Sending.QUEUED
        return [each for each in settled if each is not None]

    def withdraw(self, cid: str, reason: str) -> Settled | None:
        """Give a message up. Surely not stored if it is queued; otherwise nobody can say. None if it is settled."""
        entry = self._entries.get(cid)
        if entry is None:
            return None
        return self._settle(
            entry,
            NotSent(f"The message was not sent: {reason}.")
            if entry.state is Sending.QUEUED
            else Unknown(entry.room, cid, reason),
        )

    def expire(self, now: float) -> list[Settled]:
        """Give up what was to be settled by now."""
        late = [cid for cid, entry in self._entries.items() if entry.expires_at is not None and entry.expires_at <= now]
        return [settled for cid in late if (settled := self.withdraw(cid, "its time ran out")) is not None]

    def end(self, room: str | None, error: Refused | None, reason: str) -> list[Settled]:
        """Settle everything of a room, or of all rooms: what is queued with `error`, if there is one."""
        settled = []
        for cid, entry in list(self._entries.items()):
            if room is not None and entry.room != room:
                continue
            if error is not None and entry.state is Sending.QUEUED:
                done = self._settle(entry, error)
            else:
                done = self.withdraw(cid, reason)
            if done is not None:
                settled.append(done)
        return settled

    def deadline(self, rooms: Iterable[str], now: float) -> float | None:
        """When something can be written that cannot be written now, or expires."""
        times = [entry.expires_at for entry in self._entries.values() if entry.expires_at is not None]
        pace = self._wait(now)
        waiting = (room for room in rooms if self._queued_head(room) is not None)
        times.extend(max(pace, self._room_paused_until.get(room, 0.0)) for room in waiting)
        return min(times, default=None)

    def _settle(self, entry: Entry, outcome: Outcome) -> Settled | None:
        if self._entries.get(entry.cid) is not entry:
            return None
        del self._entries[entry.cid]
        waiting = self._rooms[entry.room]
        waiting.remove(entry)
        if not waiting:
            del self._rooms[entry.room]
            self._room_paused_until.pop(entry.room, None)
        return entry, outcome

    def _wait(self, now: float) -> float:
        """From when on the user may send."""
        flying = sum(
            entry.state is Sending.FLYING for queue in self._rooms.values() for entry in _first(queue, self._window)
        )
        accepted = self._accepted
        if accepted is None or accepted.maxlen is None:
            return self._paused_until
        recent = [time for time in accepted if time > now - self._per_seconds]
        free = accepted.maxlen - len(recent) - flying
        if free > 0:
            return self._paused_until
        if not recent:  # all that is allowed is in the air: an answer will come, or the connection will go
            return max(self._paused_until, now + self._per_seconds)
        return max(self._paused_until, recent[0] + self._per_seconds)

    def _head(self, room: str, now: float) -> Entry | None:
        if self._room_paused_until.get(room, 0.0) > now:
            return None
        return self._queued_head(room)

    def _queued_head(self, room: str) -> Entry | None:
        for entry in _first(self._rooms.get(room, ()), self._window):
            if entry.state is Sending.QUEUED:
                return entry
        return None


def _first(entries: Iterable[Entry], count: int) -> Iterator[Entry]:
    for _, entry in zip(range(count), entries, strict=False):
        yield entry
