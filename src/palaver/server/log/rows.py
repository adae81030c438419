"""Writing rows, many with one statement.

Python's sqlite3 lets go of the interpreter for each execution of a statement and takes it back after it. Next to a busy
event loop that hand-over costs more than the row, so rows are written in portions, and only the rest one by one.

Refuses to do: transactions. Invariant: the rows are written in their order; the result is as if one by one.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain

PORTION = 25
"""Rows of one statement."""

Row = tuple[int | str | None, ...]


def insert(connection: sqlite3.Connection, one: str, portion: str, rows: Sequence[Row]) -> int:
    """Write all rows; `one` and `portion` are the statement for one row and for PORTION rows. Returns how many it were.

    Raises sqlite3.Error.
    """
    whole, count = len(rows) - len(rows) % PORTION, 0
    for start in range(0, whole, PORTION):
        values = tuple(chain.from_iterable(rows[start : start + PORTION]))
        count += connection.execute(portion, values).rowcount
    if whole < len(rows):
        count += connection.executemany(one, rows[whole:]).rowcount
    return count


def values(columns: int, rows: int = 1) -> str:
    """The placeholders of so many rows: `(?, ?), (?, ?)`."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)
