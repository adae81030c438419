"""Tables of the measured profile as CSV (RFC 4180): marks, ranking, judges.

Pure. A text that a spreadsheet would take for a formula gets an apostrophe before it (CWE-1236), because justifications
and names come from models; the JSON lines of the data set have every text as it is.
"""

import csv
import io
from collections.abc import Iterable
from typing import Literal

import msgspec

from palaver.review.grid import Grid
from palaver.review.profile import Dossier
from palaver.review.statistics.measured import Line
from palaver.review.statistics.sheets import Sheet

Table = Literal["marks", "ranking", "judges"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(dossier: Dossier, table: Table = "marks") -> str:
    """One table with its heading line."""
    if table == "marks":
        return _marks(dossier.grid)
    if table == "ranking":
        return _structs(Line, dossier.measured.lines)
    return _structs(Sheet, dossier.measured.judges)


def _marks(grid: Grid) -> str:
    criteria = list(grid.criteria)
    heading = ["evaluation", "question", "judge", "respondent", "status", "score", *criteria, "ends_properly"]
    rows = [
        [
            grid.evaluation, grid.question_id, cell.judge, cell.respondent, cell.status, cell.score,
            *((cell.scores or {}).get(name) for name in criteria), cell.ends_properly, cell.reason, cell.justification,
        ]
        for cell in grid.cells
    ]  # fmt: skip
    return _write([*heading, "reason", "justification"], rows)


def _structs(kind: type[msgspec.Struct], values: Iterable[msgspec.Struct]) -> str:
    names = [field.name for field in msgspec.structs.fields(kind)]
    return _write(names, [[_joined(getattr(value, name)) for name in names] for value in values])


def _joined(value: object) -> object:
    if isinstance(value, list | tuple):
        return " ".join(str(each) for each in value)
    return value


def _write(heading: list[str], rows: Iterable[Iterable[object]]) -> str:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(heading)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else value  # noqa: PLR0124 - NaN is the one value that differs from itself
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value
