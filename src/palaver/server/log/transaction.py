"""One batch of jobs as one transaction. Runs in the writer's thread; knows SQL and nothing about threads or recovery.

Nothing is remembered about a room until the commit succeeded: a transaction works on copies, so that a failed one
leaves no trace. Appends that follow each other are written with two statements for all of them; that a `cid` was seen
long ago is told by the second of them and not by asking first (`RepeatedError`), and then the batch is done again with
asking (`careful`).
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from palaver.chat.effects import (
    Append,
    Fates,
    Found,
    Load,
    Loaded,
    LogJob,
    LogResult,
    Page,
    Paged,
    Redact,
    Redacted,
    Save,
    Saved,
    Stored,
)
from palaver.chat.records import Message, User
from palaver.server.log.retention import Retention
from palaver.server.log.rows import PORTION, insert, values
from palaver.server.log.sends import Key, Place, Sends

_COLUMNS = "seq, time, mid, user, name, text, cid, deleted"
_INSERT = "INSERT INTO messages (room, seq, time, mid, user, name, text, cid) VALUES "
INSERT_MESSAGE = _INSERT + values(8)
_INSERT_MESSAGES = _INSERT + values(8, PORTION)
_LAST = "coalesce((SELECT max(seq) FROM messages WHERE room = rooms.id), 0)"
_SAVE = """INSERT INTO sanctions (kind, room, user, active, until, seconds, by, reason, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET active = excluded.active, until = excluded.until, seconds = excluded.seconds,
by = excluded.by, reason = excluded.reason, at = excluded.at WHERE excluded.at >= at"""

_BIGGEST = 2**63 - 1  # what SQLite can compare
_TRIM_SLACK = 256  # at least so many messages beyond what is kept before they are removed
_TRIM_ROWS = 5_000  # at most so many at once

WRITES = (Append, Redact, Save)
"""The jobs that change something."""


@dataclass(slots=True)
class Room:
    """What the writer remembers of a room between transactions."""

    id: int
    last: int
    trimmed: int


class Transaction:
    """The work of one batch between BEGIN and COMMIT, which the caller issues.

    `rooms` and `recent` are the caller's memory of rooms and sends; they are read here, and changed only by `remember`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        rooms: dict[str, Room],
        recent: dict[Key, Place],
        retention: Retention,
        *,
        epoch: str,
        now_ms: int,
        careful: bool,
    ) -> None:
        self._connection = connection
        self._remembered = rooms
        self._rooms: dict[str, Room] = {}
        self.sends = Sends(connection, recent)
        self._retention = retention
        self._epoch = epoch
        self._oldest_time = retention.oldest_time(now_ms)
        self._careful = careful
        self.removed = 0  # messages
        self._serve: dict[type, Callable[..., LogResult]] = {
            Load: self._load,
            Page: self._page,
            Fates: self._fates,
            Redact: self._redact,
            Save: self._save,
        }

    def perform(self, jobs: Sequence[LogJob]) -> list[LogResult]:
        """The results in the order of the jobs. Raises sqlite3.Error, RepeatedError."""
        results: list[LogResult] = []
        run: list[Append] = []
        for job in jobs:
            if type(job) is Append:
                run.append(job)
                continue
            if run:
                self._append(run, results)
                run = []
            results.append(self._serve[type(job)](job))
        if run:
            self._append(run, results)
        return results

    def remember(self) -> None:
        """After the commit: what this transaction learned and did is true now."""
        self._remembered.update(self._rooms)
        self.sends.remember()

    # ---- appending -----------------------------------------------------------------------------------------------

    def _append(self, run: Sequence[Append], results: list[LogResult]) -> None:
        places: list[tuple[int, str, str, int, str, int]] = []
        messages: list[tuple[int, int, int, str, str, str, str, str | None]] = []
        sends, look_up = self.sends, self.sends.find if self._careful else self.sends.newest
        for job in run:
            room = self._rooms.get(job.room) or self._room_to_write(job.room)
            user, cid = job.user, job.cid
            if cid is not None:
                key = (room.id, user.id, cid)
                first = look_up(key)
                if first is not None:
                    results.append(Stored(job, *first, True))
                    continue
                place = Place(room.last + 1, job.mid, job.time)
                sends.note(key, place)
                places.append(key + place)
            room.last = seq = room.last + 1
            messages.append((room.id, seq, job.time, job.mid, user.id, user.name, job.text, cid))
            results.append(Stored(job, seq, job.mid, job.time, False))
        sends.add(places)
        insert(self._connection, INSERT_MESSAGE, _INSERT_MESSAGES, messages)
        self._trim()

    # ---- rooms ---------------------------------------------------------------------------------------------------

    def _room(self, name: str) -> Room | None:
        """The transaction's own copy of a room, or None for a room without a row."""
        room = self._rooms.get(name)
        if room is not None:
            return room
        remembered = self._remembered.get(name)
        if remembered is not None:
            room = replace(remembered)
        else:
            row = self._connection.execute(
                f"SELECT id, max(trimmed, {_LAST}), trimmed FROM rooms WHERE name = ?",  # noqa: S608 - constants only
                (name,),
            ).fetchone()
            if row is None:
                return None
            room = Room(*row)
        self._rooms[name] = room
        return room

    def _room_to_write(self, name: str) -> Room:
        room = self._room(name)
        if room is None:
            cursor = self._connection.execute("INSERT INTO rooms (name) VALUES (?)", (name,))
            assert cursor.lastrowid is not None, "an INSERT gives a row id"
            room = self._rooms[name] = Room(cursor.lastrowid, 0, 0)
        return room

    def _floor(self, room: Room) -> int:
        """The highest `seq` of a room that is not kept any more, by count or by age."""
        floor = max(self._retention.floor(room.last), room.trimmed)
        if self._oldest_time is not None:
            row = self._connection.execute(
                "SELECT max(seq) FROM messages WHERE room = ? AND seq > ? AND time < ?",
                (room.id, floor, self._oldest_time),
            ).fetchone()
            floor = max(floor, row[0] or 0)
        return floor

    def _trim(self) -> None:
        """Remove what is not kept from the rooms that were written, many messages at a time."""
        slack = max(self._retention.history, _TRIM_SLACK)
        for room in self._rooms.values():
            if room.last - self._retention.history - room.trimmed > slack:
                self._trim_to(room, self._retention.floor(room.last))

    def retain(self, name: str) -> bool:
        """Remove what is not kept of a room, a bounded number of messages. True when nothing is left to remove."""
        room = self._room(name)
        if room is None:
            return True
        floor = self._floor(room)
        if floor > room.trimmed:
            self._trim_to(room, floor)
        return room.trimmed == floor

    def _trim_to(self, room: Room, floor: int) -> None:
        room.trimmed = min(floor, room.trimmed + _TRIM_ROWS)
        deleted = self._connection.execute("DELETE FROM messages WHERE room = ? AND seq <= ?", (room.id, room.trimmed))
        self.removed += deleted.rowcount
        self._connection.execute("UPDATE rooms SET trimmed = ? WHERE id = ?", (room.trimmed, room.id))

    # ---- reading -------------------------------------------------------------------------------------------------

    def _messages(self, name: str, room: Room, low: int, high: int, order: str, limit: int) -> list[Message]:
        """Up to `limit` messages with low < seq < high, in that order of `seq`."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND seq > ? AND seq < ? "  # noqa: S608 - constants only
            f"ORDER BY seq {order} LIMIT ?",
            (room.id, low, high, limit),
        )
        epoch = self._epoch
        return [
            Message(name, seq, epoch, mid, time, User(user, called), text, cid, True if deleted else msgspec.UNSET)
            for seq, time, mid, user, called, text, cid, deleted in rows
        ]

    def _load(self, job: Load) -> Loaded:
        room = self._room(job.room)
        if room is None:
            return Loaded(job, [], 0)
        messages = self._messages(job.room, room, self._floor(room), _BIGGEST, "ASC", self._retention.history)
        return Loaded(job, messages, room.last)

    def _page(self, job: Page) -> Paged:
        room = self._room(job.room)
        if room is None:
            return Paged(job, [], complete=True)
        low = max(self._floor(room), min(job.after or 0, _BIGGEST))
        high = _BIGGEST if job.before is None else min(job.before, _BIGGEST)
        order = "DESC" if job.after is None else "ASC"
        messages = self._messages(job.room, room, low, high, order, job.limit + 1)
        complete = len(messages) <= job.limit
        del messages[job.limit :]
        if order == "DESC":
            messages.reverse()
        return Paged(job, messages, complete)

    def _fates(self, job: Fates) -> Found:
        seqs: dict[str, int | None] = dict.fromkeys(job.cids)
        room = self._room(job.room)
        if room is not None:
            for cid in seqs:
                place = self.sends.find((room.id, job.user, cid))
                seqs[cid] = place and place.seq
        return Found(job, seqs)

    # ---- moderation ----------------------------------------------------------------------------------------------

    def _redact(self, job: Redact) -> Redacted:
        room = self._room(job.room)
        if room is None or not self._floor(room) < job.seq <= room.last:
            return Redacted(job, None)
        self._connection.execute(
            "UPDATE messages SET text = '', deleted = 1 WHERE room = ? AND seq = ?", (room.id, job.seq)
        )
        found = self._messages(job.room, room, job.seq - 1, job.seq + 1, "ASC", 1)
        return Redacted(job, found[0] if found else None)

    def _save(self, job: Save) -> Saved:
        self._connection.execute(_SAVE, msgspec.structs.astuple(job.sanction))
        return Saved(job)
