"""What somebody wants to have asked, why it is declined, and the evaluation that it becomes. Without state."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec import structs

from palaver import __version__
from palaver.chat.commands import Objection
from palaver.review import bank, rubric
from palaver.review.errors import ReviewError
from palaver.review.records import Evaluation, Limits, Member, Question, digest
from palaver.review.roster import Roster


class Declined(Exception):  # noqa: N818 - it is an answer, not a fault
    """What was asked for is not done; an `Objection` says why."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.objection = Objection(code, message, retry_after_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to have evaluated."""

    asker: str
    question: str
    keys: tuple[str, ...] = ()
    room: str | None = None
    category: str = "general"
    mid: str = ""
    guest: bool = False


def panel_of(roster: Roster, keys: tuple[str, ...]) -> tuple[Member, ...]:
    """The models of these keys; all without keys. Raises Declined for one that is not there, or too few."""
    try:
        panel = roster.panel(keys)
    except ReviewError:
        known = ", ".join(f"@{model.key}" for model in roster.model)
        unknown = ", ".join(f"@{key}" for key in keys if key not in {model.key for model in roster.model})
        raise Declined("invalid_text", f"There is no model {unknown} here. There are {known}.") from None
    if not any(one.judges and other.answers and one.key != other.key for one in panel for other in panel):
        raise Declined("invalid_text", "Name at least two models: nobody judges its own answer.")
    return panel


def draw_up(
    wish: Wish, roster: Roster, cap_nanodollars: int | None, now_ms: int, taken: Callable[[str], bool]
) -> Evaluation:
    """The evaluation of a wish, under an id that is not `taken`. Equal questions have equal question ids."""
    question = Question(id=f"Q-{digest(wish.question)[:12]}", text=wish.question, category=wish.category)
    created = datetime.fromtimestamp(now_ms / 1000, UTC)
    while True:
        drawn_up = bank.evaluation(
            question, panel_of(roster, wish.keys), rubric.STANDARD, created=_iso(created),
            seed=secrets.token_hex(16), version=__version__, limits=Limits(spend_nanodollars=cap_nanodollars),
        )  # fmt: skip
        if not taken(drawn_up.id):
            return structs.replace(drawn_up, room=wish.room, asker=wish.asker)
        created += timedelta(seconds=1)  # ids are made from the second


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
