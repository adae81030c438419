"""Marks as a table: judges down, respondents across, NaN where there is no mark.

It also says which part of a table can be compared at all: everybody needs two marks, and judges and answers must hang
together, or nobody's severity can be told from somebody else's merit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palaver.review.ranking import Mark

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Marks with their names."""

    judges: tuple[str, ...]
    respondents: tuple[str, ...]
    marks: Floats

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a mark."""
        return ~np.isnan(self.marks)

    @property
    def cells(self) -> int:
        """How many marks there are."""
        return int(self.present.sum())

    def without_judge(self, judge: int) -> "Table":
        """The table without one row."""
        kept = [index for index in range(len(self.judges)) if index != judge]
        return Table(tuple(self.judges[index] for index in kept), self.respondents, self.marks[kept])


@dataclass(frozen=True, slots=True)
class Comparable:
    """The part of a table that can be compared, and why the rest cannot. `table` is `None` if nothing can."""

    table: Table | None
    left_out: tuple[str, ...]
    reasons: tuple[str, ...]


def tabulate(marks: Sequence[Mark]) -> Table:
    """Put marks into a table, in the order of first appearance. The last of several marks for a cell counts."""
    judges = tuple(dict.fromkeys(mark.judge for mark in marks))
    respondents = tuple(dict.fromkeys(mark.respondent for mark in marks))
    grid = np.full((len(judges), len(respondents)), np.nan)
    rows, columns = ({key: index for index, key in enumerate(keys)} for keys in (judges, respondents))
    for mark in marks:
        grid[rows[mark.judge], columns[mark.respondent]] = mark.score
    return Table(judges, respondents, grid)


def comparable(table: Table) -> Comparable:
    """The largest part in which everybody has two marks, if that part hangs together and varies. Never raises."""
    pruned, left_out = _prune(table)
    reasons = [f"{name} has fewer than two marks to compare" for name in left_out]
    if len(pruned.judges) < 2 or len(pruned.respondents) < 2:
        return Comparable(None, left_out, (*reasons, "fewer than two judges share two answers"))
    groups = components(pruned.present)
    if len(groups) > 1:
        named = (", ".join(pruned.respondents[column] for column in columns) for _, columns in groups)
        return Comparable(None, left_out, (*reasons, f"no judge connects these groups: {' / '.join(named)}"))
    freedom = pruned.cells - len(pruned.judges) - len(pruned.respondents) + 1
    if freedom < 1:
        return Comparable(None, left_out, (*reasons, f"{pruned.cells} marks are too few to estimate anything from"))
    if float(np.nanmax(pruned.marks) - np.nanmin(pruned.marks)) == 0.0:
        return Comparable(None, left_out, (*reasons, "all marks are the same"))
    return Comparable(pruned, left_out, tuple(reasons))


def _prune(table: Table) -> tuple[Table, tuple[str, ...]]:
    """Leave out who has fewer than two marks, until nobody has."""
    present = table.present
    rows, columns = np.ones(len(table.judges), bool), np.ones(len(table.respondents), bool)
    while True:
        inside = present & rows[:, None] & columns
        few_rows, few_columns = rows & (inside.sum(1) < 2), columns & (inside.sum(0) < 2)
        if not few_rows.any() and not few_columns.any():
            break
        rows &= ~few_rows
        columns &= ~few_columns
    left_out = [f"judge {key}" for key, kept in zip(table.judges, rows, strict=True) if not kept]
    left_out += [f"answer {key}" for key, kept in zip(table.respondents, columns, strict=True) if not kept]
    judges = tuple(key for key, kept in zip(table.judges, rows, strict=True) if kept)
    respondents = tuple(key for key, kept in zip(table.respondents, columns, strict=True) if kept)
    return Table(judges, respondents, table.marks[np.ix_(rows, columns)]), tuple(left_out)


def components(present: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """The connected groups of rows and columns, where a mark connects its row and its column."""
    found: list[tuple[list[int], list[int]]] = []
    unseen = set(range(present.shape[1]))
    while unseen:
        columns = np.zeros(present.shape[1], bool)
        columns[min(unseen)] = True
        while True:
            rows = present[:, columns].any(1)
            grown = columns | present[rows].any(0)
            if (grown == columns).all():
                break
            columns = grown
        unseen -= set(np.flatnonzero(columns).tolist())
        found.append((np.flatnonzero(rows).tolist(), np.flatnonzero(columns).tolist()))
    return found
