"""Removes what is too old from a store, a slice at a time, between batches. Runs in the writer's thread.

What is shown is decided when reading; this is only about not keeping it. Trimming by count happens where messages come
to the tables (`folding`), so what is left to a sweep is age, rooms that nobody writes to any more, and old sends. What
is in the journal it does not see: that is folded first.

Invariant: a slice looks at a bounded number of rows, so that no batch waits long for it.
"""

import sqlite3

from palaver.server.log.transaction import Transaction

_FIRST_SEND = (0, "", "")  # before every key of `sends`
_ROWS_PER_ROOM = 20  # what looking at a room is worth, in rows of sends


class Sweep:
    """One pass over all rooms, then over all sends."""

    def __init__(self) -> None:
        self._room: int | None = 0  # rooms up to this id are done; None: all
        self._send = _FIRST_SEND

    def slice(self, connection: sqlite3.Connection, transaction: Transaction, sends_before_ms: int, rows: int) -> bool:
        """Do a part of the pass that costs about as much as looking at `rows` sends. True when the pass is over.

        Runs within the caller's transaction. Raises sqlite3.Error.
        """
        if self._room is not None:
            self._room = self._rooms(connection, transaction, self._room, max(rows // _ROWS_PER_ROOM, 1))
            return False
        return self._sends(connection, sends_before_ms, rows)

    @staticmethod
    def _rooms(connection: sqlite3.Connection, transaction: Transaction, after: int, limit: int) -> int | None:
        rooms = connection.execute(
            "SELECT id, name FROM rooms WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()
        for room, name in rooms:
            if not transaction.retain(name):
                return int(room) - 1  # the next slice goes on with this room
        return rooms[-1][0] if len(rooms) == limit else None

    def _sends(self, connection: sqlite3.Connection, before_ms: int, rows: int) -> bool:
        start = self._send
        end = connection.execute(
            "SELECT room, user, cid FROM sends WHERE (room, user, cid) > (?, ?, ?) "
            "ORDER BY room, user, cid LIMIT 1 OFFSET ?",
            (*start, rows - 1),
        ).fetchone()
        if end is None:
            connection.execute(
                "DELETE FROM sends WHERE (room, user, cid) > (?, ?, ?) AND time < ?", (*start, before_ms)
            )
            return True
        connection.execute(
            "DELETE FROM sends WHERE (room, user, cid) > (?, ?, ?) AND (room, user, cid) <= (?, ?, ?) AND time < ?",
            (*start, *end, before_ms),
        )
        self._send = end
        return False
