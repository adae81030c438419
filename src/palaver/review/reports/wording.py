"""The sentences and figures that the measured reports share, whatever they are written in. Pure."""

from palaver.review.profile import Dossier
from palaver.review.statistics.measured import Line, Measured
from palaver.review.statistics.people import Comparison
from palaver.review.statistics.sheets import Sheet

LIMITS = (
    "A jury of models separates strong answers from weak ones; it orders near-equals poorly.",
    "The intervals measure how far the judges differ, not how far they are from the truth.",
    "One question is no leaderboard: the same models may come out differently on another.",
)
_NANODOLLARS = 1_000_000_000


def figure(value: float | None, places: int = 2) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{places}f}"  # noqa: PLR0124, RUF001 - NaN; a dash


def span(low: float | None, high: float | None) -> str:
    """An interval."""
    return "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"  # noqa: RUF001 - a dash


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)  # noqa: RUF001 - a dash


def percent(share: float | None) -> str:
    """A share in percent."""
    return "–" if share is None or share != share else f"{100 * share:.0f} %"  # noqa: PLR0124, RUF001 - as above


def dollars(nanodollars: int) -> str:
    """Money."""
    return f"${nanodollars / _NANODOLLARS:.4f}"


def winner(dossier: Dossier) -> str:
    """Who won by the published rule, or why nobody did."""
    won = dossier.published.winner
    if won is not None:
        return f"{won.name} won by the published rule (plain mean at quorum) with {figure(won.score)}."
    return "Nobody won by the published rule: no answer was marked by enough judges."


def facts(dossier: Dossier) -> list[tuple[str, str]]:
    """What the evaluation was, in pairs of name and value."""
    grid = dossier.grid
    found = [
        ("Evaluation", grid.evaluation),
        ("Question", grid.question_id),
        ("Category", grid.category),
        ("Created", grid.created),
        ("State", grid.state),
        ("Marks", f"{grid.scored} of {sum(cell.judge != cell.respondent for cell in grid.cells)}"),
    ]
    if grid.calls:
        found += [("Calls", str(grid.calls)), ("Cost", dollars(grid.nanodollars))]
    if grid.rubric is not None and grid.rubric_digest is not None:
        found.append(("Rubric", f"{grid.rubric} ({grid.rubric_digest[:12]})"))
    return found


def panel(measured: Measured) -> list[tuple[str, str]]:
    """The figures about the panel as a whole; empty if it cannot be compared."""
    known = measured.panel
    if known is None:
        return []
    separable = sum(pair.separable for pair in measured.pairs)
    return [
        ("Agreement (Krippendorff's alpha), raw", figure(known.alpha_raw, 3)),
        ("Agreement, severity removed", figure(known.alpha_corrected, 3)),
        ("Mean Kendall's tau of pairs of judges", f"{figure(known.kendall, 3)} ({known.judge_pairs} pairs)"),
        ("Range of severities, points", figure(known.severity_range)),
        ("Residual standard deviation", f"{figure(known.residual_deviation, 3)} ({known.degrees_of_freedom} dof)"),
        ("Reliability of one judge / of the panel's mean",
         f"{figure(known.icc_single_absolute)} / {figure(known.icc_panel_mean)}"),
        ("Pairs that are separable (Holm, 5 %)", f"{separable} of {len(measured.pairs)}"),
        ("Resamples of judges", f"{known.resamples} ({known.resamples_left_out} fell apart and are left out)"),
    ]  # fmt: skip


def cut_answers(dossier: Dossier) -> list[str]:
    """One sentence for each answer that is cut, was continued, or is missing."""
    said = []
    for answer in dossier.grid.answers:
        name = dossier.grid.name(answer.member)
        if answer.status == "cut":
            said.append(f"{name}: cut ({answer.reason}), and judged as such.")
        elif answer.status == "continued":
            said.append(f"{name}: was cut, continued and joined from {answer.parts} parts.")
        elif answer.status in ("empty", "refused", "failed"):
            said.append(f"{name}: no answer ({answer.status}: {answer.reason or 'no text'}).")
    return said


def served(dossier: Dossier) -> list[str]:
    """One sentence for each member whose provider said that it served another model than was asked for."""
    return [
        f"{member.name}: {member.model} was asked for, {', '.join(member.served)} was served."
        for member in dossier.grid.members
        if member.served and set(member.served) != {member.model}
    ]


def missing(dossier: Dossier) -> list[str]:
    """One sentence for each reason why cells have no marks, and how much they could change."""
    said = [f"{count} without marks: {reason}." for reason, count in dossier.grid.missing.items()]
    moving = [line for line in dossier.measured.lines if _could_move(line)]
    if said and moving:
        bounds = ", ".join(
            f"{line.name} {line.rank_if_missing_were_best} to {line.rank_if_missing_were_worst}" for line in moving
        )
        said.append(f"If the missing marks had been the best or the worst seen, these places would move: {bounds}.")
    return said


def _could_move(line: Line) -> bool:
    return line.rank_if_missing_were_best is not None and line.rank_if_missing_were_best != (
        line.rank_if_missing_were_worst
    )


def stability(measured: Measured) -> list[str]:
    """Whether single judges, or other estimators, would change the first place."""
    names = {line.key: line.name for line in measured.lines}
    said = []
    flips = [each for each in measured.without_judge if each.first_adjusted != measured.leader]
    if measured.without_judge:
        said.append(
            f"Leaving one judge out changes the corrected first place in {len(flips)} of "
            f"{len(measured.without_judge)} cases"
            + (": " + ", ".join(f"without {names.get(each.judge, each.judge)}" for each in flips) if flips else "")
            + "."
        )
    said += [f"{estimator} puts {names.get(key, key)} first." for estimator, key in measured.second_opinions.items()]
    return said


def sheet_row(sheet: Sheet) -> list[str]:
    """A judge's sheet as cells: see `SHEET_HEADING`."""
    cuts = "–" if not sheet.cuts_shown else f"{sheet.cuts_seen} of {sheet.cuts_shown}"  # noqa: RUF001 - a dash
    attention = percent(sheet.attention) + (
        f" (failed: {', '.join(sheet.failed_controls)})" * bool(sheet.failed_controls)
    )
    return [
        sheet.name, str(sheet.marks), figure(sheet.severity), figure(sheet.spread), figure(sheet.slope),
        figure(sheet.tau), figure(sheet.misfit), cuts, attention, _count(sheet.empty_justifications),

    ]  # fmt: skip


def people(found: Comparison) -> str:
    """How far the people who voted agree with the jury."""
    text = f"{found.persons} people gave {found.votes} votes, which are kept apart from the marks."
    if found.agreement is None or found.kappa is None:
        return text + " No two answers were ordered by a person and by the jury, so they cannot be compared."
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
    return (
        f"{text} They order {percent(found.agreement)} of {found.pairs} pairs of answers as the jury does "
        f"(kappa {found.kappa:.2f}{interval})."
    )


SHEET_HEADING = (
    "Judge", "Marks", "Severity", "Spread", "Slope", "Tau", "Misfit", "Cuts seen", "Controls passed", "Empty texts",
)  # fmt: skip
SHEET_NOTE = (
    "Severity: points given above an average judge. Slope: how far its marks rise for one point of the others' score. "
    "Tau: its order against theirs. Misfit above 1.5 is suspicious. Controls are hidden items and never marks."
)


def ranking_row(line: Line) -> list[str]:
    """An answer's place as cells: see `RANKING_HEADING`."""
    places = "–" if line.rank_low is None else f"{line.rank_low} to {line.rank_high}"  # noqa: RUF001 - a dash
    return [
        "–" if line.adjusted_rank is None else str(line.adjusted_rank),  # noqa: RUF001 - a dash
        line.name, figure(line.adjusted), span(line.low, line.high), places, percent(line.first), str(line.judges),
        f"{figure(line.score)} (#{line.rank})", line.status or "–",  # noqa: RUF001 - a dash
    ]  # fmt: skip


RANKING_HEADING = (
    "#", "Model", "Corrected", "95 % interval", "Places", "First", "Judges", "Published mean", "Answer",
)  # fmt: skip


def in_order(measured: Measured) -> list[Line]:
    """The answers by corrected place; those that cannot be compared come last, by published place."""
    return sorted(
        measured.lines, key=lambda line: (line.adjusted_rank is None, line.adjusted_rank or line.rank, line.rank)
    )
