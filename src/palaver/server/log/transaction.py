"""One batch of jobs as one transaction. Runs in the writer's thread; knows SQL and nothing about threads or recovery.

Nothing is remembered about a room until the commit succeeded: a transaction works on copies, so that a failed one
leaves no trace. All messages of a batch are written together, by `write`, to the journal; that a `cid` was seen long
ago is looked up there for all of them and not for each (`RepeatedError`), and then the batch is done again with asking
first (`careful`).
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from palaver.server.log import sends
from palaver.server.log.journal import CID, MID, SEQ, TIME, USER, Journal, Key, OverfullError, Row, blank, encoded
from palaver.server.log.retention import Retention
from palaver.server.log.sends import Place

_COLUMNS = "room, seq, time, mid, user, name, text, cid, deleted"
_LAST = "coalesce((SELECT max(seq) FROM messages WHERE room = rooms.id), 0)"
_SAVE = """INSERT INTO sanctions (kind, room, user, active, until, seconds, by, reason, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET active = excluded.active, until = excluded.until, seconds = excluded.seconds,
by = excluded.by, reason = excluded.reason, at = excluded.at WHERE excluded.at >= at"""

_BIGGEST = 2**63 - 1  # what SQLite can compare
_TRIM_ROWS = 5_000  # a sweep removes at most so many messages at once

WRITES = (Append, Redact, Save)
"""The jobs that change something."""


class RepeatedError(Exception):
    """A send of this batch was stored long ago. Roll back, and do the batch again with looking first."""


@dataclass(slots=True)
class Room:
    """What the writer remembers of a room between transactions, and what the present one adds to it."""

    id: int
    last: int
    trimmed: int
    fresh: list[Row] = field(default_factory=list)


class Transaction:
    """The work of one batch between BEGIN and COMMIT, which the caller issues.

    `rooms` and `journal` are the caller's memory of rooms and of the journal's table; they are read here, and changed
    only by `remember`. Their owner throws the journal away when a transaction fails.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        rooms: dict[str, Room],
        journal: Journal,
        retention: Retention,
        *,
        epoch: str,
        now_ms: int,
        careful: bool,
    ) -> None:
        self.retention = retention
        self.bytes = 0  # of what was written to the journal
        self._connection = connection
        self._remembered = rooms
        self._rooms: dict[str, Room] = {}
        self._journal = journal
        self._batch: list[Row] = []
        self._number = 0  # of the batch in the journal
        self._places: dict[Key, Row] = {}
        self._blanked: dict[Row, Row] = {}  # rows of the journal that were redacted
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
        """The results in the order of the jobs; `write` must follow. Raises sqlite3.Error."""
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

    def write(self) -> None:
        """Write the messages that were stored.

        Raises sqlite3.Error, ValueError, OverflowError, OverfullError, RepeatedError.
        """
        if not self._batch:
            return
        if self._journal.overfull:
            raise OverfullError
        if not self._careful and sends.any_known(self._connection, list(self._places)):
            raise RepeatedError
        blob, number = encoded(self._batch), self._journal.newest + 1
        self._connection.execute("INSERT INTO journal VALUES (?, ?)", (number, blob))
        self._number, self.bytes = number, len(blob)

    def remember(self) -> None:
        """After the commit: what this transaction learned and did is true now."""
        for old, new in self._blanked.items():
            generation = self._journal.generation_of(old)
            assert generation is not None, "only rows of the journal are blanked there"
            generation.replace(old, new)
        rooms = self._rooms
        if self._batch:
            fresh = [(room.id, room.fresh) for room in rooms.values() if room.fresh]
            self._journal.add(self._number, self._batch, self.bytes, fresh, self._places)
            for room in rooms.values():
                room.fresh = []
        self._remembered.update(rooms)

    # ---- appending -----------------------------------------------------------------------------------------------

    def _append(self, run: Sequence[Append], results: list[LogResult]) -> None:
        rooms, places, batch = self._rooms, self._places, self._batch
        for job in run:
            room = rooms.get(job.room) or self._room_to_write(job.room)
            user, cid = job.user, job.cid
            key = None if cid is None else (room.id, user.id, cid)
            if key is not None:
                first = self._place(key, beyond_journal=self._careful)
                if first is not None:
                    results.append(Stored(job, *first, True))
                    continue
            room.last = seq = room.last + 1
            row = (room.id, seq, job.time, job.mid, user.id, user.name, job.text, cid, 0)
            if key is not None:
                places[key] = row
            room.fresh.append(row)
            batch.append(row)
            results.append(Stored(job, seq, job.mid, job.time, False))

    def _place(self, key: Key, *, beyond_journal: bool) -> Place | None:
        row = self._places.get(key) or self._journal.place(key)
        if row is not None:
            return Place(row[SEQ], row[MID], row[TIME])
        return sends.find(self._connection, key) if beyond_journal else None

    # ---- rooms ---------------------------------------------------------------------------------------------------

    def _room(self, name: str) -> Room | None:
        """The transaction's own copy of a room, or None for a room without a row."""
        room = self._rooms.get(name)
        if room is not None:
            return room
        remembered = self._remembered.get(name)
        if remembered is not None:
            room = Room(remembered.id, remembered.last, remembered.trimmed)
        else:
            row = self._connection.execute(
                f"SELECT id, max(trimmed, {_LAST}), trimmed FROM rooms WHERE name = ?",  # noqa: S608 - constants only
                (name,),
            ).fetchone()
            if row is None:
                return None
            room = Room(*row)
            room.last = max(room.last, self._journal.last(room.id))
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
        floor = max(self.retention.floor(room.last), room.trimmed)
        if self._oldest_time is not None:
            row = self._connection.execute(
                "SELECT max(seq) FROM messages WHERE room = ? AND seq > ? AND time < ?",
                (room.id, floor, self._oldest_time),
            ).fetchone()
            newest = [one[SEQ] for one in self._newest(room) if one[TIME] < self._oldest_time]
            floor = max(floor, row[0] or 0, *newest[-1:])
        return floor

    def retain(self, name: str) -> bool:
        """Remove what is not kept of a room, a bounded number of messages. True when nothing is left to remove."""
        room = self._room(name)
        if room is None:
            return True
        floor = self._floor(room)
        if floor > room.trimmed:
            self._trim_to(room, min(floor, room.trimmed + _TRIM_ROWS))
        return room.trimmed == floor

    def floor_by_count(self, id_: int) -> tuple[int, int]:
        """Of a room that exists: the highest `seq` that is not kept by count, and the highest that was removed."""
        room = self._room_by_id(id_)
        return self.retention.floor(room.last), room.trimmed

    def trim(self, id_: int, seq: int) -> tuple[int, int]:
        """Remove the messages of a room up to that one. Returns how many these were, and `seq`."""
        return self._trim_to(self._room_by_id(id_), seq), seq

    def _room_by_id(self, id_: int) -> Room:
        (name,) = self._connection.execute("SELECT name FROM rooms WHERE id = ?", (id_,)).fetchone()
        room = self._room(name)
        assert room is not None, "its row was just read"
        return room

    def _trim_to(self, room: Room, seq: int) -> int:
        room.trimmed = seq
        removed = self._connection.execute("DELETE FROM messages WHERE room = ? AND seq <= ?", (room.id, seq)).rowcount
        self._connection.execute("UPDATE rooms SET trimmed = ? WHERE id = ?", (seq, room.id))
        self.removed += removed
        return removed

    # ---- reading -------------------------------------------------------------------------------------------------

    def _newest(self, room: Room) -> list[Row]:
        """A room's messages that are not looked up in `messages`: ascending, without a hole, up to the last."""
        rows = self._journal.rows(room.id) + room.fresh
        return [self._blanked.get(row, row) for row in rows] if self._blanked else rows

    def _rows(self, room: Room, low: int, high: int, limit: int, *, descending: bool) -> list[Row]:
        """Up to `limit` messages with low < seq < high: the first, or the last in descending order."""
        newest = self._newest(room)
        first = newest[0][SEQ] if newest else high
        found = newest[max(low + 1 - first, 0) : max(high - first, 0)]
        if descending:
            found = found[: -limit - 1 : -1]
        if low + 1 < first and (len(found) < limit or not descending):
            order, wanted = ("DESC", limit - len(found)) if descending else ("ASC", limit)
            older = self._connection.execute(
                f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND seq > ? AND seq < ? "  # noqa: S608 - constants only
                f"ORDER BY seq {order} LIMIT ?",
                (room.id, low, min(high, first), wanted),
            ).fetchall()
            found = found + older if descending else older + found
        return found[:limit]

    def _shown(self, name: str, rows: Sequence[Row]) -> list[Message]:
        epoch = self._epoch
        return [
            Message(name, seq, epoch, mid, time, User(user, called), text, cid, True if deleted else msgspec.UNSET)
            for _, seq, time, mid, user, called, text, cid, deleted in rows
        ]

    def _load(self, job: Load) -> Loaded:
        room = self._room(job.room)
        if room is None:
            return Loaded(job, [], 0)
        rows = self._rows(room, self._floor(room), _BIGGEST, self.retention.history, descending=False)
        return Loaded(job, self._shown(job.room, rows), room.last)

    def _page(self, job: Page) -> Paged:
        room = self._room(job.room)
        if room is None:
            return Paged(job, [], complete=True)
        low = max(self._floor(room), min(job.after or 0, _BIGGEST))
        high = _BIGGEST if job.before is None else min(job.before, _BIGGEST)
        descending = job.after is None
        rows = self._rows(room, low, high, job.limit + 1, descending=descending)
        complete = len(rows) <= job.limit
        del rows[job.limit :]
        if descending:
            rows.reverse()
        return Paged(job, self._shown(job.room, rows), complete)

    def _fates(self, job: Fates) -> Found:
        seqs: dict[str, int | None] = dict.fromkeys(job.cids)
        room = self._room(job.room)
        if room is not None:
            for cid in seqs:
                place = self._place((room.id, job.user, cid), beyond_journal=True)
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
        self._blank(room, job.seq)
        found = self._rows(room, job.seq - 1, job.seq + 1, 1, descending=False)
        return Redacted(job, self._shown(job.room, found)[0] if found else None)

    def _blank(self, room: Room, seq: int) -> None:
        """Take the text of a message out of the journal, if it is there: from the disk now, from memory afterwards."""
        if room.fresh and seq >= room.fresh[0][SEQ]:  # not written yet
            place = seq - room.fresh[0][SEQ]
            row = room.fresh[place]
            room.fresh[place] = self._batch[self._batch.index(row)] = blank(row)
            if row[CID] is not None:
                self._places[room.id, row[USER], row[CID]] = blank(row)
            return
        rows = self._journal.rows(room.id)
        if not rows or seq < rows[0][SEQ]:
            return
        row = rows[seq - rows[0][SEQ]]
        generation = self._journal.generation_of(row)
        assert generation is not None, "it was just read there"
        self._blanked[row] = blank(row)
        number = generation.number_of(row)
        batch = [self._blanked.get(one, one) for one in generation.batches[number]]
        self._connection.execute("UPDATE journal SET batch = ? WHERE id = ?", (encoded(batch), number))

    def _save(self, job: Save) -> Saved:
        self._connection.execute(_SAVE, msgspec.structs.astuple(job.sanction))
        return Saved(job)
