"""Where each send was stored, once it is no longer in the journal: the table `sends`, ordered by room, user and cid.

Refuses to do: remembering; the newest sends are the journal's to know.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from palaver.server.log.journal import CID, MID, ROOM, SEQ, TIME, USER, Key, Row
from palaver.server.log.rows import PORTION, insert, values

_INSERT = "INSERT INTO sends (room, user, cid, seq, mid, time) VALUES {} ON CONFLICT DO NOTHING"
_INSERT_ONE, _INSERT_PORTION = _INSERT.format(values(6)), _INSERT.format(values(6, PORTION))
_KNOWN = """SELECT EXISTS (SELECT 1 FROM (VALUES {}) AS new CROSS JOIN sends
ON sends.room = new.column1 AND sends.user = new.column2 AND sends.cid = new.column3)"""
_KNOWN_ONE, _KNOWN_PORTION = _KNOWN.format(values(3)), _KNOWN.format(values(3, PORTION))


class Place(NamedTuple):
    """Where a send was stored."""

    seq: int
    mid: str
    time: int


def find(connection: sqlite3.Connection, key: Key) -> Place | None:
    """The place of a send. Raises sqlite3.Error."""
    row = connection.execute("SELECT seq, mid, time FROM sends WHERE room = ? AND user = ? AND cid = ?", key).fetchone()
    return row and Place(*row)


def any_known(connection: sqlite3.Connection, keys: Sequence[Key]) -> bool:
    """Whether the place of one of these sends is in the table. Raises sqlite3.Error."""
    whole = len(keys) - len(keys) % PORTION
    for start in range(0, whole, PORTION):
        portion = tuple(chain.from_iterable(keys[start : start + PORTION]))
        if connection.execute(_KNOWN_PORTION, portion).fetchone()[0]:
            return True
    return any(connection.execute(_KNOWN_ONE, key).fetchone()[0] for key in keys[whole:])


def write(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write the places of messages that have a cid. One that is there already stays. Raises sqlite3.Error."""
    places = [(row[ROOM], row[USER], row[CID], row[SEQ], row[MID], row[TIME]) for row in rows]
    insert(connection, _INSERT_ONE, _INSERT_PORTION, places)
