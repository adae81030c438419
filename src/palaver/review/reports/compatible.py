"""The Markdown report of a result file, in the published form.

It prints a `Published` document and computes nothing but the layout of the matrix. The measured figures are in the
other report; this one stays byte for byte what the published form asks for, its oddities included: "ten by ten"
is fixed text whatever the size of the panel, and axis names may collide.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from palaver.review.numbers import to_fixed
from palaver.review.published import Published, panel

_AXIS_CHARACTERS = 14
_SELF, _MISSING = "—", "·"


@dataclass(frozen=True, slots=True)
class Imprint:
    """Who publishes a report: its heading, and how it asks to be cited and where the data lie."""

    name: str
    address: str | None


MULTIVAC = Imprint("The Multivac", "app.themultivac.com")
PALAVER = Imprint("Palaver", None)
_SOURCE = re.compile(r"(?P<name>.+) \((?P<address>[^()]+)\)")


def imprint_of(meta: Mapping[str, str]) -> Imprint:
    """The imprint that a result file's `meta.source` names: `Name (address)`, or a name alone."""
    source = meta.get("source", PALAVER.name)
    found = _SOURCE.fullmatch(source)
    return Imprint(found["name"], found["address"]) if found else Imprint(source, None)


def render(document: Published) -> str:
    """The whole report, ending in one newline."""
    imprint = imprint_of(document.meta)
    parts = [
        *_head(document, imprint),
        *_winner(document),
        *_rankings(document),
        *_matrix(document),
        *_method(),
        *_citation(document, imprint),
    ]
    return "\n".join(parts) + "\n"


def _head(document: Published, imprint: Imprint) -> list[str]:
    return [
        f"# {imprint.name} — Evaluation Report",
        "",
        f"**Evaluation ID:** {document.evaluation_id}",
        f"**Date:** {document.display_date}",
        f"**Category:** {document.category}",
        f"**Question ID:** {document.question_id}",
        *_rule(),
        "## Question",
        "",
        document.question_text,
        *_rule(),
    ]


def _winner(document: Published) -> list[str]:
    winner, average = document.winner, document.avg_score
    if winner is None or average is None:
        return ["## Winner", "", "No winner determined.", *_rule()]
    return [
        "## Winner",
        "",
        f"**{winner.name}** ({winner.provider})",
        f"- Winner Score: {to_fixed(winner.score, 2)}",
        f"- Matrix Average: {to_fixed(average, 2)}",
        f"- Total Judgments: {document.matrix_size}",
        *_rule(),
    ]


def _rankings(document: Published) -> list[str]:
    rows = [
        f"| {standing.rank} | {standing.display_name} | {standing.provider} "
        f"| {to_fixed(standing.average_score, 2)} | {standing.score_count} |"
        for standing in document.rankings.values()
    ]
    return [
        "## Rankings",
        "",
        "| Rank | Model | Provider | Avg Score | Judgments |",
        "|------|-------|----------|-----------|----------|",
        *rows,
        *_rule(),
    ]


def _matrix(document: Published) -> list[str]:
    axis = panel(document.judgments)
    names = {cell.respondent_key: cell.respondent_name for cell in document.judgments}
    names |= {cell.judge_key: cell.judge_name for cell in document.judgments}
    cells = {(cell.judge_key, cell.respondent_key): to_fixed(cell.weighted_score, 1) for cell in document.judgments}
    header = "".join(f" {axis_name(names[key])} |" for key in axis)
    rows = []
    for judge in axis:
        marks = (_SELF if judge == key else cells.get((judge, key), _MISSING) for key in axis)
        rows.append(f"| {axis_name(names[judge])} | " + " | ".join(marks) + " |")
    return [
        "## 10×10 Judgment Matrix",  # noqa: RUF001 - the multiplication sign is part of the published form
        "",
        "Rows = Judge, Columns = Respondent. Self-judgments excluded (—).",
        "",
        f"| Judge ↓ / Resp → |{header}",
        "|---|" + "---|" * len(axis),
        *rows,
        *_rule(),
    ]


def axis_name(name: str) -> str:
    """A model's name on the axes: whole up to 14 characters, otherwise its first two words."""
    return name if len(name) <= _AXIS_CHARACTERS else " ".join(name.split(" ")[:2])


def _method() -> list[str]:
    return [
        "## Methodology",
        "",
        "- **10×10 Blind Peer Matrix:** All models answer the same question, then all models judge all responses.",  # noqa: RUF001 - as above
        "- **5 Criteria:** Correctness, completeness, clarity, depth, usefulness (each scored 1–10).",  # noqa: RUF001 - the dash is part of the form
        "- **Self-judgments excluded:** Models do not judge their own responses.",
        "- **Weighted Score:** Composite of all 5 criteria.",
        *_rule(),
    ]


def _citation(document: Published, imprint: Imprint) -> list[str]:
    year = document.display_date[-4:]
    lines = [
        "## Citation",
        "",
        f"{imprint.name} ({year}). Blind Peer Evaluation: {document.question_id}."
        + (f" {imprint.address}" if imprint.address else ""),
        "",
        "## License",
        "",
        f"Open data. Free to use, share, and build upon. Please cite {imprint.name} when using this data.",
    ]
    if imprint.address:
        lines += [
            "",
            f"Download raw JSON: https://{imprint.address}/api/evaluations/{document.evaluation_id}/results",
            f"Full dataset: https://{imprint.address}/dashboard/export",
        ]
    return lines


def _rule() -> list[str]:
    return ["", "---", ""]
