"""Many evaluations together: boards by category, and what is known of each judge over all of them.

Pure functions of what was read. It needs numpy, through `palaver.review.statistics`.
"""

from collections.abc import Sequence

import msgspec

from palaver.review.profile import habits_of
from palaver.review.shelf import Entry
from palaver.review.statistics.board import Board, Round, boards


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One judge over all evaluations. `severity` is the mean of those on each question, `None` if none is known.

    `cuts_seen` of `cuts_shown` answers known to be cut were said to break off; `controls_passed` of `controls_shown`
    hidden items got the right reaction.
    """

    judge: str
    name: str
    evaluations: int
    marks: int
    severity: float | None
    cuts_shown: int
    cuts_seen: int
    controls_shown: int
    controls_passed: int


def names_of(entries: Sequence[Entry]) -> dict[str, str]:
    """The members' names; the last one counts where evaluations differ."""
    return {key: name for entry in entries for key, name in entry.names.items()}


def boards_of(entries: Sequence[Entry], seed: int = 0) -> tuple[Board, ...]:
    """One board over everything, and one for each category."""
    rounds = [Round(entry.id, entry.category, entry.marks) for entry in entries]
    return boards(rounds, names_of(entries), seed)


def records_of(entries: Sequence[Entry]) -> tuple[Record, ...]:
    """What is known of each judge, in the order of first appearance."""
    severities = boards_of(entries)[0].severities
    names = names_of(entries)
    judges = dict.fromkeys(mark.judge for entry in entries for mark in entry.marks)
    return tuple(_record(entries, judge, names.get(judge, judge), severities.get(judge)) for judge in judges)


def _record(entries: Sequence[Entry], judge: str, name: str, severity: float | None) -> Record:
    given = [sum(mark.judge == judge for mark in entry.marks) for entry in entries]
    attentions, habits = [], []
    for entry in entries:
        if entry.matrix is not None and any(member.key == judge for member in entry.matrix.evaluation.judges):
            attentions.append(entry.matrix.attention(judge))
            habits.append(habits_of(entry.matrix, judge))
    return Record(
        judge=judge,
        name=name,
        evaluations=sum(count > 0 for count in given),
        marks=sum(given),
        severity=severity,
        cuts_shown=sum(habit.cuts_shown or 0 for habit in habits),
        cuts_seen=sum(habit.cuts_seen or 0 for habit in habits),
        controls_shown=sum(each.shown for each in attentions),
        controls_passed=sum(each.passed for each in attentions),
    )
