"""The newest messages, as they were committed: one blob for each batch in the table `journal`, and the same in memory.

A commit costs what the pages cost that it changes. Messages of many rooms and the places of sends of many users lie on
many pages of the tables that are ordered by them; in the journal they lie side by side. So a commit appends to the
journal only, and what it said is written to those tables later, in their order, some thousands of messages together
(`folding`). Of a busy room most messages are not kept any more by then, and are never written there.

The journal is in two generations. New batches go to the active one. When that is full it is frozen, which means that it
is to be folded, and another one begins; the batches of a frozen generation leave the table when all of it is folded.

Refuses to do: transactions, and deciding what is kept. Invariants: between transactions the memory is what the table
holds; a room's messages in the journal are its last ones, ascending and without a hole.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

FULL_MESSAGES = 25_000
FULL_BYTES = 8 * 1024 * 1024
"""A generation with so much is full. It grows on until the one before it is folded: to less than twice as much, unless
that fails. What a start has to read, and a fold has to hold, is the two of them and a batch."""
_OVERFULL = 10  # generations, of which none could be folded: no more is taken

Row = tuple[int, int, int, str, str, str, str, str | None, int]
"""A message as in the table `messages`: room, seq, time, mid, user, name, text, cid, deleted."""
ROOM: Final = 0
SEQ: Final = 1
TIME: Final = 2
MID: Final = 3
USER: Final = 4
TEXT: Final = 6
CID: Final = 7

Key = tuple[int, str, str]
"""Of a send: the room's id, the user's id, the cid."""

_BIGGEST = 2**63 - 1  # what SQLite can store
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode


class DamagedError(sqlite3.DatabaseError):
    """A batch of the journal cannot be read."""


class OverfullError(Exception):
    """Nothing more is stored until the journal can be folded."""


def encoded(batch: list[Row]) -> bytes:
    """A batch for the table. Raises ValueError, OverflowError for what `messages` could not hold."""
    if max(row[TIME] for row in batch) > _BIGGEST:
        raise OverflowError("a time is beyond 63 bits")
    return _encode(batch)


def blank(row: Row) -> Row:
    """What is left of a message that was deleted: all but its text."""
    return (*row[:TEXT], "", row[CID], 1)


class Generation:
    """Messages of some batches: by batch, by room, and by the send that brought them."""

    __slots__ = ("batches", "bytes", "count", "places", "rooms")

    def __init__(self) -> None:
        self.batches: dict[int, list[Row]] = {}
        self.rooms: dict[int, list[Row]] = {}
        self.places: dict[Key, Row] = {}
        self.count = 0
        self.bytes = 0

    def full(self, share: float = 1.0) -> bool:
        """Whether it holds so much: of one that is full another one should take the place."""
        return self.count >= share * FULL_MESSAGES or self.bytes >= share * FULL_BYTES

    def replace(self, old: Row, new: Row) -> None:
        """Another row in the place of one that is here."""
        batch = self.batches[self.number_of(old)]
        batch[batch.index(old)] = new
        rows = self.rooms[old[ROOM]]
        rows[rows.index(old)] = new
        if old[CID] is not None:
            self.places[old[ROOM], old[USER], old[CID]] = new

    def number_of(self, row: Row) -> int:
        """The batch that a row of this generation is in."""
        return next(number for number, batch in self.batches.items() if row in batch)


class Journal:
    """The memory of the table. Changed after a commit only; after one that failed it is read anew."""

    def __init__(self) -> None:
        self.active = Generation()
        self.frozen: Generation | None = None
        self.newest = 0  # the number of the newest batch, also when it is out of the table

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> "Journal":
        """What the table holds. Raises sqlite3.Error, DamagedError."""
        journal = cls()
        for number, blob in connection.execute("SELECT id, batch FROM journal ORDER BY id"):
            try:
                batch = _decode(blob)
            except msgspec.DecodeError as error:
                raise DamagedError(f"batch {number} of the journal: {error}") from error
            rooms: dict[int, list[Row]] = {}
            for row in batch:
                rooms.setdefault(row[ROOM], []).append(row)
            places = {(row[ROOM], row[USER], row[CID]): row for row in batch if row[CID] is not None}
            journal.add(number, batch, len(blob), rooms.items(), places)
        return journal

    def add(
        self,
        number: int,
        batch: list[Row],
        size: int,
        rooms: Iterable[tuple[int, list[Row]]],
        places: Mapping[Key, Row],
    ) -> None:
        """A batch was committed: its number and size in the table, and the same rows by room and by send."""
        self.newest, active = number, self.active
        active.batches[number] = batch
        for room, rows in rooms:
            known = active.rooms.get(room)
            if known is None:
                active.rooms[room] = rows
            else:
                known += rows
        active.places.update(places)
        active.count += len(batch)
        active.bytes += size

    def freeze(self) -> Generation:
        """Begin another generation; returns the one that is to be folded now. Only while none is frozen."""
        assert self.frozen is None, "one generation is folded at a time"
        self.frozen, self.active = self.active, Generation()
        return self.frozen

    def forget(self) -> None:
        """The frozen generation is folded, and out of the table."""
        self.frozen = None

    def rows(self, room: int) -> list[Row]:
        """A room's messages, ascending. A new list."""
        newest = self.active.rooms.get(room, [])
        return newest[:] if self.frozen is None else self.frozen.rooms.get(room, []) + newest

    def last(self, room: int) -> int:
        """The number of a room's last message in the journal; 0 where there is none."""
        rows = self.active.rooms.get(room) or (self.frozen and self.frozen.rooms.get(room))
        return rows[-1][SEQ] if rows else 0

    def place(self, key: Key) -> Row | None:
        """The message that a send became, if it is here."""
        row = self.active.places.get(key)
        return self.frozen.places.get(key) if row is None and self.frozen is not None else row

    def generation_of(self, row: Row) -> Generation | None:
        """Where a row is."""
        for generation in (self.active, self.frozen):
            if generation is not None and row in generation.rooms.get(row[ROOM], ()):
                return generation
        return None

    @property
    def overfull(self) -> bool:
        """Whether so much waits to be folded that folding must have failed for long."""
        return self.active.full(_OVERFULL) or (self.frozen is not None and self.frozen.full(_OVERFULL))

    @property
    def oldest(self) -> int | None:
        """The number of the oldest batch; None where there is none."""
        return next(iter((self.frozen or self.active).batches), None)
