"""Writes a frozen generation of the journal to the tables, a slice at a time, between batches. In the writer's thread.

It goes through the tables in their order, room by room, so that the rows that lie on one page are written together
although they are written in slices. A message that is not kept any more is not written; the row of its room says so.

After a crash or a failure in between, all of the generation is folded again: to write a row twice is to write it once.

Invariant: what a slice does is bounded by its units (a row written or removed, a batch removed), and by one step more.
"""

import sqlite3
from collections.abc import Iterator
from operator import itemgetter

from palaver.server.log import sends
from palaver.server.log.journal import CID, SEQ, USER, Generation, Row
from palaver.server.log.rows import PORTION, insert, values
from palaver.server.log.transaction import Transaction

UNITS_PER_MESSAGE = 4
"""Of a message: a row, a place, and the removal of as many older ones, with room to catch up."""

_INSERT = "INSERT INTO messages (room, seq, time, mid, user, name, text, cid, deleted) VALUES {} ON CONFLICT DO NOTHING"
_INSERT_ONE, _INSERT_PORTION = _INSERT.format(values(9)), _INSERT.format(values(9, PORTION))
_STEP = 2 * PORTION
_TRIM_SLACK = 256  # at least so many messages beyond what is kept before they are removed
_TRIM_STEP = 250


class Fold:
    """The way of one generation into the tables. Useless after an error: begin another one."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._removals = 2 * generation.count
        self._steps = self._work()
        self._connection: sqlite3.Connection
        self._transaction: Transaction

    def slice(self, connection: sqlite3.Connection, transaction: Transaction, units: int) -> tuple[int, bool]:
        """Do about so many units. Returns how many it did, and True when the generation is folded and removed.

        Runs within the caller's transaction. Raises sqlite3.Error.
        """
        self._connection, self._transaction = connection, transaction
        done = 0
        for step in self._steps:
            done += step
            if done >= units:
                return done, False
        return done, True

    def _work(self) -> Iterator[int]:
        rooms = sorted(self._generation.rooms.items())
        for _, rows in rooms:
            yield from self._places(rows)
        for room, rows in rooms:  # after the places: the later, the fewer of them are still kept
            yield from self._trim(room, rows)
            yield from self._messages(room, rows)
        yield from self._release()

    def _trim(self, room: int, rows: list[Row]) -> Iterator[int]:
        """Remove what is not kept by count, if it is much or spares writing; in all at most twice what came."""
        floor, trimmed = self._transaction.floor_by_count(room)
        history = self._transaction.retention.history
        if floor - trimmed <= max(history, _TRIM_SLACK) and floor < rows[0][SEQ]:
            return
        while trimmed < floor and self._removals > 0:
            removed, trimmed = self._transaction.trim(room, min(floor, trimmed + _TRIM_STEP))
            self._removals -= removed
            yield removed + 1

    def _messages(self, room: int, rows: list[Row]) -> Iterator[int]:
        done = 0
        while done < len(rows):  # each step looks anew: meanwhile some were deleted, or removed because of their age
            _, trimmed = self._transaction.floor_by_count(room)
            gone = min(max(trimmed + 1 - rows[done][SEQ], 0), len(rows) - done)
            step = rows[done + gone : done + gone + _STEP]
            insert(self._connection, _INSERT_ONE, _INSERT_PORTION, step)
            self._transaction.removed += gone
            done += gone + len(step)
            yield len(step)

    def _places(self, rows: list[Row]) -> Iterator[int]:
        named = sorted((row for row in rows if row[CID] is not None), key=itemgetter(USER))
        for start in range(0, len(named), _STEP):
            step = named[start : start + _STEP]
            sends.write(self._connection, step)
            yield len(step)

    def _release(self) -> Iterator[int]:
        numbers = list(self._generation.batches)
        for start in range(0, len(numbers), _STEP):
            step = numbers[start : start + _STEP]
            self._connection.execute("DELETE FROM journal WHERE id <= ?", (step[-1],))
            yield len(step)
