"""What `palaver review run` shows while it works: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from palaver.review.events import (
    Answered,
    CallFailed,
    Done,
    Event,
    Judged,
    Missed,
    Started,
    StateChanged,
    Waiting,
)  # fmt: skip
from palaver.review.matrix import Matrix
from palaver.review.ranking import Mark, rank

_NANODOLLARS = 1_000_000_000


@dataclass
class Progress:
    """Collects events and draws them. `matrix` gives the present state, `now` monotonic seconds."""

    matrix: Callable[[], Matrix]
    now: Callable[[], float]
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        self._started = self.now()
        self._done_before = 0
        self._note = ""
        self._live = Live(console=self.console, refresh_per_second=8) if self.console.is_terminal else None

    def __enter__(self) -> Self:
        self._done_before = _settled(self.matrix())
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self.table())
            self._live.stop()

    def hear(self, event: Event) -> None:
        """Take an event from the runner."""
        line = _line(event)
        if line is not None:
            self._note = line
            if self._live is None:
                self.console.print(line, highlight=False, markup=False)
        if self._live is not None and isinstance(event, Answered | Judged | Waiting | StateChanged | Done):
            self._live.update(self.table())

    def table(self) -> Table:
        """The ranking so far, with each answer's state and how many judges have marked it."""
        matrix = self.matrix()
        table = Table(title=self.heading(), caption=self._note or None, title_justify="left", caption_justify="left")
        for name in ("", "Model", "Answer", "Judges", "Mean so far"):
            table.add_column(name, justify="right" if name in ("", "Judges", "Mean so far") else "left")
        places = {
            each.respondent: each
            for each in rank([_mark(cell.judge, cell.subject, cell.score) for cell in matrix.scored])
        }
        order = sorted(matrix.answers, key=lambda key: places[key].rank if key in places else len(places) + 1)
        for key in order:
            place = places.get(key)
            table.add_row(
                str(place.rank) if place else "",
                matrix.evaluation.member(key).name,
                matrix.answers[key].status,
                str(place.judges) if place else "0",
                f"{place.average:.2f}" if place else "",
            )
        return table

    def heading(self) -> str:
        """How far it is, what it has cost, and how long it will take if it goes on like this."""
        matrix = self.matrix()
        total = len(matrix.cells) + len(matrix.answers)
        done = _settled(matrix)
        cost = matrix.nanodollars / _NANODOLLARS
        text = f"{matrix.evaluation.id}  {matrix.state}  {done}/{total}  ${cost:.4f}"
        fresh = done - self._done_before
        if fresh > 0 and done < total:
            text += f"  {(self.now() - self._started) / fresh * (total - done):.0f} s left"
        return text


def _settled(matrix: Matrix) -> int:
    answers = sum(answer.settled for answer in matrix.answers.values())
    return answers + sum(cell.status != "pending" for cell in matrix.cells.values())


def _mark(judge: str, subject: str, score: float | None) -> Mark:
    assert score is not None
    return Mark(judge, subject, score)


def _line(event: Event) -> str | None:
    match event:
        case Started():
            return f"{event.evaluation}: {event.open_calls} calls are open"
        case StateChanged():
            return f"{event.evaluation}: {event.state}"
        case Waiting():
            return f"{event.evaluation}: waiting {event.seconds:.1f} s for {event.provider}"
        case CallFailed():
            about = f" about {event.subject}" if event.subject else ""
            then = "; it is tried again" if event.again else ""
            return f"{event.evaluation}: {event.member}{about}: {event.failure}{then}"
        case Done():
            return f"{event.evaluation}: stopped: {event.stopped}" if event.stopped else None
        case Missed() | _:
            return None
