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


def insert(connection: sqlite3.Connection, one: str, portion: str, rows: Sequence[Row]) -> None:
    """Write all rows; `one` and `portion` are the statement for one row and for PORTION rows. Raises sqlite3.Error."""
    whole = len(rows) - len(rows) % PORTION
    for start in range(0, whole, PORTION):
        connection.execute(portion, tuple(chain.from_iterable(rows[start : start + PORTION])))
    if whole < len(rows):
        connection.executemany(one, rows[whole:])


def values(columns: int, rows: int = 1) -> str:
    """The placeholders of so many rows: `(?, ?), (?, ?)`."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)
