"""The measured report as one self-contained page: ranking with intervals, heat map, judge sheets, every text.

Pure. The page loads and runs nothing: no script, no image, no font, and a policy that forbids them, so it can be
opened from disk or served as it is. All text that models wrote is escaped and shown as plain text, never as markup.
"""

from collections.abc import Sequence
from html import escape

from palaver.review.grid import Grid, GridCell
from palaver.review.profile import Dossier
from palaver.review.reports import wording
from palaver.review.reports.style import STYLE
from palaver.review.reports.wording import RANKING_HEADING, SHEET_HEADING, SHEET_NOTE, ranking_row, sheet_row
from palaver.review.rubric import HIGHEST
from palaver.review.statistics.measured import Line

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WIDTH, _HEIGHT = 220, 18


def render(dossier: Dossier) -> str:
    """The whole page, ending in one newline."""
    grid = dossier.grid
    body = [
        f"<h1>Blind peer review {text(grid.evaluation)}</h1>",
        _facts(dossier),
        f'<h2>Question</h2><pre class="question">{text(grid.question)}</pre>',
        _ranking(dossier),
        *_notes("Cut, continued and missing answers", wording.cut_answers(dossier)),
        *_notes("Other models than were asked for", wording.served(dossier)),
        *_notes("What cannot be compared", dossier.measured.reasons),
        _heat_map(grid),
        *_notes("Missing marks", wording.missing(dossier)),
        _judges(dossier),
        _panel(dossier),
        _people(dossier),
        _answers(grid),
        _judgments(grid),
        *_notes("What this does not say", wording.LIMITS),
    ]
    return document(f"{grid.evaluation}: blind peer review", body)


def document(title: str, body: Sequence[str]) -> str:
    """A whole page around its parts."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Anything as text within an element or an attribute."""
    return escape(str(value), quote=True)


def _facts(dossier: Dossier) -> str:
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in wording.facts(dossier))
    return f'<dl class="facts">{items}</dl>'


def _notes(heading: str, sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return [f"<h2>{text(heading)}</h2><ul>{items}</ul>"]


def table(caption: str, heading: Sequence[str], rows: Sequence[str]) -> str:
    """A table of rows that are HTML already."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heading)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def row(cells: Sequence[str], name_at: int = 0) -> str:
    """The cells of one row; the one at `name_at` names it."""
    made = []
    for index, cell in enumerate(cells):
        tag, scope = ("th", ' scope="row"') if index == name_at else ("td", "")
        made.append(f"<{tag}{scope}>{text(cell)}</{tag}>")
    return "".join(made)


# --- ranking ---------------------------------------------------------------------------------------------------------


def _ranking(dossier: Dossier) -> str:
    measured = dossier.measured
    rows = [row(ranking_row(line), 1) + f"<td>{_interval(line)}</td>" for line in wording.in_order(measured)]
    drawn = table("Corrected for the judges' severity; published means beside", (*RANKING_HEADING, "0 to 10"), rows)
    said = [wording.winner(dossier), measured.verdict]
    return "<h2>Ranking</h2>" + "".join(f"<p>{text(each)}</p>" for each in said) + drawn


def _interval(line: Line) -> str:
    published = f"published {line.score:.2f}"
    if line.adjusted is None or line.low is None or line.high is None:
        return interval(None, None, None, published, line.score)
    label = f"corrected {line.adjusted:.2f}, from {line.low:.2f} to {line.high:.2f}, {published}"
    return interval(line.adjusted, line.low, line.high, label, line.score)


def interval(score: float | None, low: float | None, high: float | None, label: str, raw: float | None = None) -> str:
    """A line from `low` to `high` with a filled point at `score` and a hollow one at `raw`, on a scale of 0 to 10."""
    drawn = f'<line class="axis" x1="5" x2="{_WIDTH - 5}" y1="9" y2="9"/>'
    if low is not None and high is not None:
        drawn += f'<line class="interval" x1="{_x(low)}" x2="{_x(high)}" y1="9" y2="9"/>'
    if raw is not None:
        drawn += f'<circle class="raw" cx="{_x(raw)}" cy="9" r="4"/>'
    if score is not None:
        drawn += f'<circle class="corrected" cx="{_x(score)}" cy="9" r="4"/>'
    return (
        f'<svg role="img" aria-label="{text(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{drawn}</svg>'
    )


def _x(score: float) -> str:
    inside = max(0.0, min(float(HIGHEST), score))
    return f"{5 + inside / HIGHEST * (_WIDTH - 10):.1f}"


# --- heat map --------------------------------------------------------------------------------------------------------


def _heat_map(grid: Grid) -> str:
    cells = {(cell.judge, cell.respondent): cell for cell in grid.cells}
    judges = [member for member in grid.members if member.judges]
    columns = [member for member in grid.members if member.answers]
    rows = []
    for judge in judges:
        drawn = "".join(_square(grid, cells.get((judge.key, each.key)), judge.key == each.key) for each in columns)
        rows.append(f'<th scope="row">{text(judge.name)}</th>{drawn}')
    heading = ("Judge \N{DOWNWARDS ARROW} answer \N{RIGHTWARDS ARROW}", *(each.name for each in columns))
    return "<h2>Heat map</h2>" + table("Weighted scores; a missing one says why on hover", heading, rows)


def _square(grid: Grid, cell: GridCell | None, own: bool) -> str:
    if own:
        return '<td class="own" title="own answer">\N{EM DASH}</td>'
    if cell is None or cell.score is None:
        reason = "pending" if cell is None else (cell.reason or cell.status)
        return f'<td class="none" title="{text(reason)}"><abbr title="{text(reason)}">\N{MIDDLE DOT}</abbr></td>'
    level = round(2 * max(0.0, min(float(HIGHEST), cell.score)))
    cut = " \N{BLACK SCISSORS}" if cell.ends_properly is False else ""
    title = f"{grid.name(cell.judge)} on {grid.name(cell.respondent)}: {cell.score:.2f}"
    title += "; says that it breaks off" if cut else ""
    return f'<td class="h h{level}" title="{text(title)}"><a href="#{_anchor(cell)}">{cell.score:.1f}{cut}</a></td>'


def _anchor(cell: GridCell) -> str:
    return "j-" + "-".join(each.encode().hex() for each in (cell.judge, cell.respondent))


# --- judges and panel ------------------------------------------------------------------------------------------------


def _judges(dossier: Dossier) -> str:
    sheets = dossier.measured.judges
    if not sheets:
        return ""
    rows = [row(sheet_row(sheet)) for sheet in sheets]
    doubted = [sheet.name for sheet in sheets if sheet.suspicious]
    note = f"<p>Somebody should look at the marks of {text(', '.join(doubted))}.</p>" if doubted else ""
    return "<h2>Judges</h2>" + table("One sheet for each judge", SHEET_HEADING, rows) + note + f"<p>{SHEET_NOTE}</p>"


def _panel(dossier: Dossier) -> str:
    measured = dossier.measured
    if measured.panel is None:
        return ""
    rows = [row(pair) for pair in wording.panel(measured)]
    pairs = [
        row([
            f"{dossier.grid.name(pair.better)} over {dossier.grid.name(pair.worse)}", f"{pair.difference:.2f}",
            f"{pair.corrected:.3f}", "separable" if pair.separable else "not separable",
        ])
        for pair in measured.pairs
    ]  # fmt: skip
    return (
        "<h2>Panel</h2>" + table("The jury as a whole", ("Figure", "Value"), rows)
        + "<details><summary>Every pair of answers</summary>"
        + table("Contrasts, corrected by Holm", ("Pair", "Difference", "p", ""), pairs) + "</details>"
        + "".join(_notes("Stability", wording.stability(measured)))
    )  # fmt: skip


def _people(dossier: Dossier) -> str:
    people = dossier.people
    if people is None:
        return ""
    rows = [
        row([
            dossier.grid.name(each.respondent), str(each.votes), wording.figure(each.mean), wording.figure(each.jury),
        ])
        for each in people.answers
    ]  # fmt: skip
    drawn = table("Votes beside the jury's scores", ("Model", "Votes", "Mean vote", "Jury"), rows)
    return f"<h2>People</h2><p>{text(wording.people(people))}</p>{drawn}"


# --- texts -----------------------------------------------------------------------------------------------------------


def _answers(grid: Grid) -> str:
    shown = [answer for answer in grid.answers if answer.text is not None]
    if not shown:
        return ""
    made = []
    for answer in shown:
        head = f"{grid.name(answer.member)} ({answer.status})"
        facts = f"{answer.parts} parts, {answer.tokens} tokens, {wording.dollars(answer.nanodollars)}"
        made.append(
            f"<details><summary>{text(head)}</summary><p>{text(facts)}</p>"
            f"<pre>{text(answer.text or '(no text)')}</pre></details>"
        )
    return "<h2>Answers</h2>" + "\n".join(made)


def _judgments(grid: Grid) -> str:
    made = [_judgment(grid, cell) for cell in grid.cells if cell.score is not None]
    return "<h2>Judgments</h2>" + "\n".join(made) if made else ""


def _judgment(grid: Grid, cell: GridCell) -> str:
    head = f"{grid.name(cell.judge)} on {grid.name(cell.respondent)}: {wording.figure(cell.score)}"
    marks = ", ".join(f"{name} {score}" for name, score in (cell.scores or {}).items())
    said = cell.justification or "(no justification)"
    repaired = "<p>Its first reply could not be read; this is the repeated one.</p>" if cell.repaired else ""
    return (
        f'<details id="{_anchor(cell)}"><summary>{text(head)}</summary>'
        f"<p>{text(marks)}</p>{repaired}<blockquote>{text(said)}</blockquote></details>"
    )
