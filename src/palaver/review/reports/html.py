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
        f"<h1>Blind peer review {_text(grid.evaluation)}</h1>",
        _facts(dossier),
        f'<h2>Question</h2><pre class="question">{_text(grid.question)}</pre>',
        _ranking(dossier),
        *_notes("Cut, continued and missing answers", wording.cut_answers(dossier)),
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
    title = f"{grid.evaluation}: blind peer review"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _facts(dossier: Dossier) -> str:
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in wording.facts(dossier))
    return f'<dl class="facts">{items}</dl>'


def _notes(heading: str, sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return [f"<h2>{_text(heading)}</h2><ul>{items}</ul>"]


def _table(caption: str, heading: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heading)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(cells: Sequence[str], name_at: int = 0) -> str:
    made = []
    for index, cell in enumerate(cells):
        tag, scope = ("th", ' scope="row"') if index == name_at else ("td", "")
        made.append(f"<{tag}{scope}>{_text(cell)}</{tag}>")
    return "".join(made)


# --- ranking ---------------------------------------------------------------------------------------------------------


def _ranking(dossier: Dossier) -> str:
    measured = dossier.measured
    rows = [_row(ranking_row(line), 1) + f"<td>{_interval(line)}</td>" for line in wording.in_order(measured)]
    table = _table("Corrected for the judges' severity; published means beside", (*RANKING_HEADING, "0 to 10"), rows)
    said = [wording.winner(dossier), measured.verdict]
    return "<h2>Ranking</h2>" + "".join(f"<p>{_text(each)}</p>" for each in said) + table


def _interval(line: Line) -> str:
    """A line with the interval and two points: the corrected score filled, the published mean hollow."""
    raw = _x(line.score)
    drawn = f'<circle class="raw" cx="{raw}" cy="9" r="4"/>'
    label = f"published {line.score:.2f}"
    if line.adjusted is not None and line.low is not None and line.high is not None:
        low, high = _x(line.low), _x(line.high)
        drawn = (
            f'<line class="interval" x1="{low}" x2="{high}" y1="9" y2="9"/>{drawn}'
            f'<circle class="corrected" cx="{_x(line.adjusted)}" cy="9" r="4"/>'
        )
        label = f"corrected {line.adjusted:.2f}, from {line.low:.2f} to {line.high:.2f}, {label}"
    return (
        f'<svg role="img" aria-label="{_text(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><line class="axis" x1="5" x2="{_WIDTH - 5}" y1="9" y2="9"/>{drawn}</svg>'
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
        rows.append(f'<th scope="row">{_text(judge.name)}</th>{drawn}')
    heading = ("Judge \N{DOWNWARDS ARROW} answer \N{RIGHTWARDS ARROW}", *(each.name for each in columns))
    return "<h2>Heat map</h2>" + _table("Weighted scores; a missing one says why on hover", heading, rows)


def _square(grid: Grid, cell: GridCell | None, own: bool) -> str:
    if own:
        return '<td class="own" title="own answer">\N{EM DASH}</td>'
    if cell is None or cell.score is None:
        reason = "pending" if cell is None else (cell.reason or cell.status)
        return f'<td class="none" title="{_text(reason)}"><abbr title="{_text(reason)}">\N{MIDDLE DOT}</abbr></td>'
    level = round(2 * max(0.0, min(float(HIGHEST), cell.score)))
    cut = " \N{BLACK SCISSORS}" if cell.ends_properly is False else ""
    title = f"{grid.name(cell.judge)} on {grid.name(cell.respondent)}: {cell.score:.2f}"
    title += "; says that it breaks off" if cut else ""
    return f'<td class="h h{level}" title="{_text(title)}"><a href="#{_anchor(cell)}">{cell.score:.1f}{cut}</a></td>'


def _anchor(cell: GridCell) -> str:
    return "j-" + "-".join(each.encode().hex() for each in (cell.judge, cell.respondent))


# --- judges and panel ------------------------------------------------------------------------------------------------


def _judges(dossier: Dossier) -> str:
    sheets = dossier.measured.judges
    if not sheets:
        return ""
    rows = [_row(sheet_row(sheet)) for sheet in sheets]
    doubted = [sheet.name for sheet in sheets if sheet.suspicious]
    note = f"<p>Somebody should look at the marks of {_text(', '.join(doubted))}.</p>" if doubted else ""
    return "<h2>Judges</h2>" + _table("One sheet for each judge", SHEET_HEADING, rows) + note + f"<p>{SHEET_NOTE}</p>"


def _panel(dossier: Dossier) -> str:
    measured = dossier.measured
    if measured.panel is None:
        return ""
    rows = [_row(pair) for pair in wording.panel(measured)]
    pairs = [
        _row([
            f"{dossier.grid.name(pair.better)} over {dossier.grid.name(pair.worse)}", f"{pair.difference:.2f}",
            f"{pair.corrected:.3f}", "separable" if pair.separable else "not separable",
        ])
        for pair in measured.pairs
    ]  # fmt: skip
    return (
        "<h2>Panel</h2>" + _table("The jury as a whole", ("Figure", "Value"), rows)
        + "<details><summary>Every pair of answers</summary>"
        + _table("Contrasts, corrected by Holm", ("Pair", "Difference", "p", ""), pairs) + "</details>"
        + "".join(_notes("Stability", wording.stability(measured)))
    )  # fmt: skip


def _people(dossier: Dossier) -> str:
    people = dossier.people
    if people is None:
        return ""
    rows = [
        _row([
            dossier.grid.name(each.respondent), str(each.votes), wording.figure(each.mean), wording.figure(each.jury),
        ])
        for each in people.answers
    ]  # fmt: skip
    table = _table("Votes beside the jury's scores", ("Model", "Votes", "Mean vote", "Jury"), rows)
    return f"<h2>People</h2><p>{_text(wording.people(people))}</p>{table}"


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
            f"<details><summary>{_text(head)}</summary><p>{_text(facts)}</p>"
            f"<pre>{_text(answer.text or '(no text)')}</pre></details>"
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
        f'<details id="{_anchor(cell)}"><summary>{_text(head)}</summary>'
        f"<p>{_text(marks)}</p>{repaired}<blockquote>{_text(said)}</blockquote></details>"
    )
