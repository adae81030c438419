"""The words of the server's messages about an evaluation: Markdown that reads well as plain text too. Pure.

Invariant: every text fits into one message of the room, has no control character and closes its code fence.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

from palaver.review.matrix import Answer, Matrix
from palaver.review.ranking import Mark, Outcome, Place, decide, rank

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)", re.MULTILINE)


def started(matrix: Matrix, letters: Mapping[str, str], chars: int, *, said_here: bool = True) -> str:
    """What begins now, with the question unless it was `said_here`."""
    evaluation = matrix.evaluation
    answering = len(evaluation.respondents)
    named = [letters[member.key] for member in evaluation.respondents]
    asked = "" if said_here else f"> {_cell(evaluation.question.text)[:1_000]}\n\n"
    return fitted(
        asked
        + f"**{evaluation.id}**: {answering} models answer as {', '.join(sorted(named))}; then each judges all other "
        "answers blind. Which model is which comes with the ranking. Until then, vote: `/vote B` for the best, or "
        "marks: `/vote A 7 B 9`.",
        chars,
    )


def answer(given: Answer, chars: int) -> str:
    """An answer as a message."""
    text = _FORBIDDEN.sub("\ufffd", given.text).strip()
    note = "\n\n*(This answer was cut off at its limit.)*" if given.status == "cut" else ""
    return fitted(text, chars, note)


def fitted(text: str, chars: int, note: str = "") -> str:
    """The text, or as much of it as fits with a word about the rest, always with its code fence closed."""
    whole = _closed(text) + note
    if len(whole) <= chars:
        return whole
    rest = f"\n\n*(Shortened; the whole answer of {len(text)} characters is in the evaluation.)*{note}"
    kept = text[: max(0, chars - len(rest) - 16)]
    line = kept.rfind("\n")
    return _closed(kept[:line] if line > chars // 2 else kept) + rest


def _closed(text: str) -> str:
    """Close a code fence that is left open."""
    fence = None
    for found in _FENCE.finditer(text):
        mark = found[1]
        if fence is None:
            fence = mark
        elif mark.startswith(fence):
            fence = None
    return text if fence is None else f"{text}\n{fence}"


def ranked(matrix: Matrix) -> tuple[tuple[Place, ...], Outcome]:
    """The places by plain means, and who won or why nobody did."""
    evaluation = matrix.evaluation
    places = rank([Mark(cell.judge, cell.subject, cell.score) for cell in matrix.scored if cell.score is not None])
    return places, decide(places, len(evaluation.panel), Fraction(evaluation.quorum, 100))


def ranking(matrix: Matrix, letters: Mapping[str, str], chars: int, stopped: str | None = None) -> str:
    """Who is who, and how they did."""
    evaluation = matrix.evaluation
    places, outcome = ranked(matrix)
    lines = [f"**{evaluation.id}**: {_headline(matrix, outcome)}", ""]
    lines += ["| # | Answer | Model | Mean | Judges |", "| --: | :-- | :-- | --: | --: |"]
    placed = {place.respondent for place in places}
    for place in places:
        name = _cell(evaluation.member(place.respondent).name)
        lines.append(f"| {place.rank} | {letters[place.respondent]} | {name} | {place.average:.2f} | {place.judges} |")
    for key, given in matrix.answers.items():
        if key not in placed:
            lines.append(f"| - | {letters[key]} | {_cell(evaluation.member(key).name)} | {_why(given)} | 0 |")
    if stopped is not None:
        lines += ["", stopped]
    return fitted("\n".join(lines), chars)


def _headline(matrix: Matrix, outcome: Outcome) -> str:
    if matrix.cancelled:
        return "stopped."
    if outcome.winner is None:
        return f"nobody won. {outcome.reason}"
    name = matrix.evaluation.member(outcome.winner.respondent).name
    return f"{_cell(name)} won with {outcome.winner.average:.2f}."


def _why(given: Answer) -> str:
    return given.status if given.reason is None or given.judged else f"{given.status}: {_cell(given.reason)}"


def _cell(text: str) -> str:
    return _FORBIDDEN.sub("", text).replace("|", "\\|").replace("\n", " ")
