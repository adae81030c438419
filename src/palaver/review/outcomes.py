"""From a call and what came of it to the request that is sent and the record that is kept. Pure."""

from dataclasses import dataclass

from msgspec import structs

from palaver.review import blind, prompts, verdict
from palaver.review.completions import Reply
from palaver.review.failures import Failure
from palaver.review.matrix import AWAY, answer_limit
from palaver.review.plan import AnswerCall, Call, GradeCall
from palaver.review.prompts import Messages
from palaver.review.providers import Request
from palaver.review.records import Evaluation, Grade, Part, Spent, digest
from palaver.review.seats import Seat

_NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Trace:
    """Who made a call, when, and what it took. `gave_up`: its provider stayed away, so the whole round is used up."""

    replica: str
    stamp: int
    spent: Spent = _NOTHING
    gave_up: bool = False


def request(evaluation: Evaluation, call: Call, seat: Seat) -> Request:
    """What to send for a call."""
    if isinstance(call, AnswerCall):
        messages = prompts.continuation(evaluation, call.so_far) if call.index else prompts.question(evaluation)
        return Request(seat.model, messages, answer_limit(evaluation, call.index), seat.answer_temperature)
    messages = asked(evaluation, call)
    if call.unreadable is not None:
        messages = prompts.repair(messages, call.unreadable.raw, call.unreadable.failure or "it is no verdict")
    return Request(seat.model, messages, evaluation.limits.judgment_tokens, seat.judgment_temperature)


def asked(evaluation: Evaluation, call: GradeCall) -> Messages:
    """The first messages of a judgment, without those of a repair."""
    return prompts.judgment(evaluation, call.judge, call.subject, call.text, known_cut=call.known_cut)


def record(evaluation: Evaluation, call: Call, result: Reply | Failure, trace: Trace) -> Part | Grade:
    """What to keep of a call."""
    if isinstance(call, AnswerCall):
        return _part(call, result, trace)
    return _grade(evaluation, call, result, trace)


def _part(call: AnswerCall, result: Reply | Failure, trace: Trace) -> Part:
    if isinstance(result, Reply):
        return Part(
            member=call.member, attempt=call.tries, index=call.index, previous=call.previous, text=result.text,
            finish=result.finish, spent=trace.spent, replica=trace.replica, stamp=trace.stamp,
        )  # fmt: skip
    return Part(
        member=call.member, attempt=call.tries, index=call.index, previous=call.previous, text="",
        finish="refused" if result.kind == "refused" else "failed", failure=_reason(result, trace),
        spent=trace.spent, replica=trace.replica, stamp=trace.stamp,
    )  # fmt: skip


def _grade(evaluation: Evaluation, call: GradeCall, result: Reply | Failure, trace: Trace) -> Grade:
    label = blind.label(evaluation.seed, call.judge, call.subject)
    kept = Grade(
        judge=call.judge, subject=call.subject, attempt=call.tries, answer=digest(call.text), label=label,
        outcome="failed",
        prompt=prompts.fingerprint(asked(evaluation, call)), repair=call.unreadable is not None,
        spent=trace.spent, replica=trace.replica, stamp=trace.stamp,
    )  # fmt: skip
    if isinstance(result, Failure):
        outcome = "refused" if result.kind == "refused" else "failed"
        return _with(kept, outcome=outcome, failure=_reason(result, trace))
    found = verdict.parse(result.text, evaluation.rubric, label)
    if isinstance(found, verdict.Unreadable):
        why = "it was cut off at its limit" if result.finish == "length" else found.why
        return _with(kept, outcome="unparseable", failure=why, raw=result.text)
    return _with(
        kept, outcome="scored", scores=found.scores, ends_properly=found.ends_properly,
        justification=found.justification, raw=result.text,
    )  # fmt: skip


def _with(kept: Grade, **changes: object) -> Grade:
    return structs.replace(kept, **changes)


def _reason(failure: Failure, trace: Trace) -> str:
    return f"{AWAY}{failure.kind}" if trace.gave_up else failure.kind
