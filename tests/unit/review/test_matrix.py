"""Answers, cells and state follow from the set of records, in whatever order they come."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.errors import LedgerError
from palaver.review.matrix import Records, sort
from palaver.review.plan import AnswerCall, open_calls
from palaver.review.records import CONTROLS, Cancel, Limits, Record, Reopen, digest
from tests.unit.review import made
from tests.unit.review.made import evaluation, everything, grade, matrix, part

EVALUATION = evaluation()
LONG = made.PASSAGE * 3


def test_a_complete_run_is_final() -> None:
    found = matrix(*everything(EVALUATION))  # type: ignore[arg-type]  # the first record is the evaluation

    assert found.state == "final"
    assert len(found.scored) == 6
    assert open_calls(found) == []


@given(st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(order: random.Random) -> None:
    records = [*everything(EVALUATION), part("ada", "another try", stamp=5), grade("bob", "cyd", "other text")]
    shuffled = list(records)
    order.shuffle(shuffled)

    assert sort(shuffled).parts.keys() == sort(records).parts.keys()
    assert matrix(EVALUATION, *shuffled).cells == matrix(EVALUATION, *records).cells


def test_nothing_done_leaves_only_the_answers_open() -> None:
    calls = open_calls(matrix(EVALUATION))

    assert [call.member for call in calls] == ["ada", "bob", "cyd"]
    assert all(isinstance(call, AnswerCall) for call in calls)


def test_an_answer_is_judged_as_soon_as_it_is_there() -> None:
    found = matrix(EVALUATION, part("ada", LONG))

    assert {call.task.split("/")[1] for call in open_calls(found) if call.task.startswith("grade")} == {"bob", "cyd"}
    assert found.state == "answering"


def test_a_cut_answer_is_continued_and_marked_so() -> None:
    first = part("ada", LONG[:100], finish="length")
    found = matrix(EVALUATION, first)

    assert found.answers["ada"].status == "pending"
    (call,) = (each for each in open_calls(found) if each.member == "ada")
    assert isinstance(call, AnswerCall)
    assert (call.index, call.previous, call.so_far) == (1, digest(first), LONG[:100])

    joined = matrix(EVALUATION, first, part("ada", LONG[80:], after=first)).answers["ada"]
    assert (joined.status, joined.text) == ("continued", LONG)


def test_an_answer_that_stays_cut_is_flagged_and_still_judged() -> None:
    limited = evaluation(limits=Limits(continuations=1))
    first = part("ada", LONG[:100], finish="length")
    second = part("ada", LONG[100:150], finish="length", after=first)

    found = matrix(limited, first, second)

    assert (found.answers["ada"].status, found.answers["ada"].reason) == ("cut", "at its limit")
    assert any(call.task.startswith("grade/bob/ada") for call in open_calls(found))


def test_an_answer_without_text_is_excluded_from_judging_with_the_reason() -> None:
    found = matrix(EVALUATION, part("ada", "", tokens=0))

    assert found.answers["ada"].status == "empty"
    assert found.cells["bob", "ada"].status == "excluded"
    assert found.cells["bob", "ada"].reason == "answer empty"


@pytest.mark.parametrize(
    ("failure", "finish", "status"),
    [("refused", "refused", "refused"), ("unauthorised", "failed", "failed"), ("timeout", "failed", "pending")],
)
def test_failures_of_an_answer_are_final_or_tried_again(failure: str, finish: str, status: str) -> None:
    found = matrix(EVALUATION, part("ada", failure=failure, finish=finish))  # type: ignore[arg-type]  # from the table

    assert found.answers["ada"].status == status


def test_attempts_run_out_and_are_opened_again() -> None:
    limited = evaluation(limits=Limits(attempts=2))
    failures = [part("ada", failure="timeout", finish="failed", stamp=stamp) for stamp in (1, 2)]

    assert matrix(limited, *failures).answers["ada"].status == "failed"
    assert matrix(limited, *failures, Reopen(replica="here", stamp=9)).answers["ada"].status == "pending"


def test_a_call_given_up_with_its_provider_away_uses_up_the_round() -> None:
    gave_up = part("ada", failure="away: unreachable", finish="failed")

    assert matrix(EVALUATION, gave_up).answers["ada"].status == "failed"
    assert matrix(EVALUATION, gave_up, Reopen(replica="here", stamp=9)).answers["ada"].status == "pending"


def test_nobody_judges_its_own_answer() -> None:
    own = grade("ada", "ada", LONG)

    found = matrix(EVALUATION, part("ada", LONG), own)

    assert found.cells["ada", "ada"].status == "excluded"
    assert found.scored == ()


def test_a_mark_for_another_text_is_not_in_the_matrix() -> None:
    found = matrix(EVALUATION, part("ada", LONG), grade("bob", "ada", "what ada said before"))

    assert found.cells["bob", "ada"].status == "pending"


def test_an_unreadable_verdict_gets_one_repair_and_is_then_unparseable() -> None:
    first = grade("bob", "ada", LONG, outcome="unparseable", failure="it is empty")
    found = matrix(EVALUATION, part("ada", LONG), first)
    (call,) = (each for each in open_calls(found) if each.task.startswith("grade/bob/ada"))

    assert getattr(call, "unreadable", None) == first
    again = grade("bob", "ada", LONG, outcome="unparseable", failure="it is empty", repair=True)
    cell = matrix(EVALUATION, part("ada", LONG), first, again).cells["bob", "ada"]
    assert (cell.status, cell.score, cell.reason) == ("unparseable", None, "it is empty")


def test_two_marks_for_one_cell_are_chosen_from_and_never_averaged() -> None:
    early, late = grade("bob", "ada", LONG, (2,) * 5, stamp=1), grade("bob", "ada", LONG, (9,) * 5, stamp=2)

    records: list[Record] = [part("ada", LONG), early, late]
    for order in itertools.permutations(records):
        assert matrix(EVALUATION, *order).cells["bob", "ada"].score == 2.0


def test_a_zero_is_a_mark_and_a_missing_mark_is_none() -> None:
    found = matrix(EVALUATION, part("ada", LONG), grade("bob", "ada", LONG, (0,) * 5), grade("cyd", "ada", LONG, None))

    assert found.cells["bob", "ada"].score == 0.0
    assert found.cells["cyd", "ada"].score is None


def test_controls_are_opened_once_all_answers_are_settled_and_stay_out_of_the_matrix() -> None:
    hidden = evaluation(controls=CONTROLS)
    answers = [part(key, f"{key} {LONG}") for key in ("ada", "bob", "cyd")]

    assert matrix(hidden, *answers[:2]).controls == {}
    found = matrix(hidden, *answers)
    assert len(found.controls) == 9
    assert all(subject in ("ada", "bob", "cyd") for _, subject in found.cells)
    assert sum("control:" in call.task for call in open_calls(found)) == 9


def test_a_cancelled_evaluation_has_no_open_calls() -> None:
    found = matrix(EVALUATION, Cancel(by="ann", replica="here", stamp=1))

    assert (found.state, open_calls(found)) == ("cancelled", [])


def test_without_a_quorum_the_result_is_partial_and_without_any_mark_failed() -> None:
    five = evaluation(("ada", "bob", "cyd", "dee", "eve"), limits=Limits(attempts=1))
    answers = [part(key, LONG + key) for key in ("ada", "bob", "cyd", "dee", "eve")]
    failed: list[Record] = [
        grade(judge.key, each.member, each.text, None, failure="timeout")
        for judge in five.panel for each in answers if judge.key != each.member
    ]  # fmt: skip

    assert matrix(five, *answers, *failed).state == "failed"
    assert matrix(five, *answers, *failed, grade("ada", "bob", LONG + "bob")).state == "partial"


def test_records_of_another_evaluation_are_refused() -> None:
    with pytest.raises(LedgerError):
        Records(EVALUATION).add(msgspec.structs.replace(EVALUATION, seed="another"))
    with pytest.raises(LedgerError):
        sort([])


def test_the_bill_is_the_sum_over_all_calls_with_those_that_failed() -> None:
    spent = msgspec.structs.replace(part("ada", LONG).spent, nanodollars=7)
    answers = [msgspec.structs.replace(each, spent=spent) for each in (part("ada", LONG), part("ada", "x", stamp=3))]
    mark = msgspec.structs.replace(grade("bob", "ada", LONG), spent=spent)

    found = matrix(EVALUATION, *answers, mark)

    assert (found.nanodollars, found.calls) == (21, 3)


def test_asking_again_also_opens_what_no_attempt_could_mend_since_a_key_may_be_right_by_then() -> None:
    drawn_up = made.evaluation()
    answers = [made.part(key, f"{key}: {made.PASSAGE}") for key in ("ada", "bob", "cyd")]
    barred = made.grade("ada", "bob", f"bob: {made.PASSAGE}", None, failure="unauthorised")
    again = Reopen(replica="here", stamp=2)
    twice = made.grade("ada", "bob", f"bob: {made.PASSAGE}", None, failure="unauthorised", stamp=3)

    def status(*records: Record) -> str:
        return made.matrix(drawn_up, *answers, *records).cells["ada", "bob"].status

    assert status(barred) == "failed"
    assert status(barred, again) == "pending"
    assert status(barred, again, twice) == "failed"
