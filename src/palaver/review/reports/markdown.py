"""The measured profile as Markdown: corrected ranking, agreement, judges, what is missing, what it does not say.

Pure. It stands beside the published report (`compatible.py`) and never replaces it. Text that models wrote is not in it
but for names, whose Markdown is escaped.
"""

import re
from collections.abc import Sequence

from palaver.review.profile import Dossier
from palaver.review.reports import wording
from palaver.review.reports.wording import RANKING_HEADING, SHEET_HEADING, ranking_row, sheet_row

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def render(dossier: Dossier) -> str:
    """The whole report, ending in one newline."""
    measured = dossier.measured
    parts = [
        f"# {dossier.grid.evaluation}: measured report",
        *(f"* {name}: {escaped(value)}" for name, value in wording.facts(dossier)),
        "## First place",
        escaped(wording.winner(dossier)),
        escaped(measured.verdict),
        *_listed("## What cannot be compared", measured.reasons),
        "## Ranking",
        table(RANKING_HEADING, [ranking_row(line) for line in wording.in_order(measured)]),
        *_listed("## Cut, continued and missing answers", wording.cut_answers(dossier)),
        *_listed("## Other models than were asked for", wording.served(dossier)),
        *_listed("## Missing marks", wording.missing(dossier)),
    ]
    if measured.panel is not None:
        parts += ["## Panel", table(("Figure", "Value"), wording.panel(measured))]
        parts += ["## Judges", table(SHEET_HEADING, [sheet_row(sheet) for sheet in measured.judges])]
        parts += [wording.SHEET_NOTE]
        parts += _listed("## Stability", wording.stability(measured))
    parts += [*_people(dossier), *_listed("## Limits", wording.LIMITS)]
    return spaced(parts)


def _people(dossier: Dossier) -> list[str]:
    people = dossier.people
    if people is None:
        return []
    rows = [
        [dossier.grid.name(each.respondent), str(each.votes), wording.figure(each.mean), wording.figure(each.jury)]
        for each in people.answers
    ]
    return ["## People", wording.people(people), table(("Model", "Votes", "Mean vote", "Jury"), rows)]


def _listed(heading: str, sentences: Sequence[str]) -> list[str]:
    return [heading, *(f"* {escaped(sentence)}" for sentence in sentences)] if sentences else []


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are plain text."""
    lines = [heading, ["---"] * len(heading), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Text on one line, without any meaning to Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def spaced(parts: Sequence[str]) -> str:
    """The parts with blank lines between them, none within a list, ending in one newline."""
    text = ""
    for before, part in zip(("", *parts), parts, strict=False):
        together = before.startswith("* ") and part.startswith("* ")
        text += ("\n" if together else "\n\n") * bool(before) + part
    return text + "\n"
