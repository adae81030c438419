"""Where each send was stored: the newest in memory and in the table `recent`, all others in the table `sends`.

`sends` is ordered by room, user and cid, so that a batch of messages from many users would touch a page of it for each
of them, and a commit costs what the pages cost. So places are first appended to `recent`, whose rows lie side by side,
and moved to `sends` some thousands at a time, in its order.

Invariant: between transactions the memory holds exactly what is in `recent`.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from palaver.server.log.rows import PORTION, insert, values

RECENT_SENDS = 4_000
"""So many are moved at once: some milliseconds of work."""

_ADD = """INSERT INTO recent (room, user, cid, seq, mid, time)
WITH new (room, user, cid, seq, mid, time) AS (VALUES {values}) SELECT * FROM new
WHERE NOT EXISTS (SELECT 1 FROM sends WHERE room = new.room AND user = new.user AND cid = new.cid)"""
_ADD_ONE, _ADD_PORTION = _ADD.format(values=values(6)), _ADD.format(values=values(6, PORTION))
_MOVE = """INSERT INTO sends (room, user, cid, seq, mid, time)
SELECT room, user, cid, seq, mid, time FROM recent ORDER BY room, user, cid"""

Key = tuple[int, str, str]
"""The room's id, the user's id, the cid."""


class Place(NamedTuple):
    """Where a send was stored."""

    seq: int
    mid: str
    time: int


class RepeatedError(Exception):
    """A send that was added is in `sends` already. Roll back, and look before adding."""


class Sends:
    """The places of sends within one transaction. `recent` is the memory; only `remember` changes it."""

    def __init__(self, connection: sqlite3.Connection, recent: dict[Key, Place]) -> None:
        self._connection = connection
        self._recent = recent
        self._fresh: dict[Key, Place] = {}
        self._moved = False

    @staticmethod
    def load(connection: sqlite3.Connection) -> dict[Key, Place]:
        """What the memory should hold. Raises sqlite3.Error."""
        rows = connection.execute("SELECT room, user, cid, seq, mid, time FROM recent")
        return {(room, user, cid): Place(*place) for room, user, cid, *place in rows}

    def newest(self, key: Key) -> Place | None:
        """The place of a send, if it is among the newest."""
        return self._fresh.get(key) or self._recent.get(key)

    def find(self, key: Key) -> Place | None:
        """The place of a send. Raises sqlite3.Error."""
        place = self.newest(key)
        if place is None:
            row = self._connection.execute(
                "SELECT seq, mid, time FROM sends WHERE room = ? AND user = ? AND cid = ?", key
            ).fetchone()
            place = row and Place(*row)
        return place

    def note(self, key: Key, place: Place) -> None:
        """This transaction stores a send there; `add` it before the transaction ends."""
        self._fresh[key] = place

    def add(self, rows: Sequence[tuple[int, str, str, int, str, int]]) -> None:
        """Write places that were noted: room, user, cid, seq, mid, time. Raises RepeatedError, sqlite3.Error."""
        if insert(self._connection, _ADD_ONE, _ADD_PORTION, rows) != len(rows):
            raise RepeatedError

    def move(self, *, few: bool = False) -> None:
        """At the end of a transaction: move the newest to the others, if they are enough. Raises sqlite3.Error."""
        if few or len(self._recent) + len(self._fresh) >= RECENT_SENDS:
            self._connection.execute(_MOVE)
            self._connection.execute("DELETE FROM recent")
            self._moved = True

    def remember(self) -> None:
        """After the commit."""
        if self._moved:
            self._recent.clear()
        else:
            self._recent.update(self._fresh)
