"""A board over many evaluations, as a page of its own and as Markdown: places with intervals, and who shares them.

Pure. The page is as self-contained as the report of one evaluation (`html.py`).
"""

from collections.abc import Mapping, Sequence

from palaver.review.reports import wording
from palaver.review.reports.html import document, interval, row, table, text
from palaver.review.reports.markdown import escaped, spaced
from palaver.review.reports.markdown import table as markdown_table
from palaver.review.statistics.board import Board, Standing

HEADING = ("#", "Model", "Score", "95 % interval", "Places", "Questions", "Marks", "Not separable from")
NOTE = (
    "Scores are what an average judge gives on an average question of the board; every judge has a severity of its own "
    "on every question. Intervals come from resampling whole questions."
)


def standing_row(board: Board, standing: Standing) -> list[str]:
    """One model's place as cells: see `HEADING`."""
    names = {each.key: each.name for each in board.standings}
    near = ", ".join(names.get(key, key) for key in standing.not_separable_from)
    return [
        str(standing.rank), standing.name, wording.figure(standing.score), wording.span(standing.low, standing.high),
        f"{standing.rank_low} to {standing.rank_high}", str(standing.questions), str(standing.marks),
        near or "nobody",
    ]  # fmt: skip


def heading_of(board: Board) -> str:
    """A board's title."""
    return f"{board.category} ({board.questions} question{'s' * (board.questions != 1)})"


def severities(board: Board, names: Mapping[str, str]) -> str:
    """One sentence with every judge's mean severity, the most lenient first."""
    listed = sorted(board.severities.items(), key=lambda each: (-each[1], each[0]))
    return "Severity: " + ", ".join(f"{names.get(key, key)} {value:+.2f}" for key, value in listed) + "."


def render(boards: Sequence[Board], names: Mapping[str, str]) -> str:
    """All boards as one page."""
    body = ["<h1>Board over many evaluations</h1>", f"<p>{text(NOTE)}</p>"]
    for board in boards:
        body.append(f"<h2>{text(heading_of(board))}</h2>")
        body += [f"<p>{text(reason)}</p>" for reason in board.reasons]
        if board.standings:
            rows = [
                row(standing_row(board, each), 1)
                + f"<td>{interval(each.score, each.low, each.high, f'score {each.score:.2f}')}</td>"
                for each in board.standings
            ]
            body.append(table("Pooled over questions", (*HEADING, "0 to 10"), rows))
            body.append(f"<p>{text(severities(board, names))}</p>")
    return document("Blind peer review: board", body)


def markdown(boards: Sequence[Board], names: Mapping[str, str]) -> str:
    """All boards as Markdown."""
    parts = ["# Board over many evaluations", NOTE]
    for board in boards:
        parts.append(f"## {escaped(heading_of(board))}")
        parts += [f"* {escaped(reason)}" for reason in board.reasons]
        if board.standings:
            parts.append(markdown_table(HEADING, [standing_row(board, each) for each in board.standings]))
            parts.append(escaped(severities(board, names)))
    return spaced(parts)
