"""What a run shows: progress, cost, time left, the ranking as it grows; plain lines where there is no terminal."""

import io

from rich.console import Console

from palaver.cli.progress import Progress
from palaver.review.events import CallFailed, Done, Judged, Started, StateChanged, Waiting
from palaver.review.matrix import Matrix
from palaver.review.records import Grade, Part
from tests.unit.review import folders, made

EVALUATION = folders.drawn_up()
RECORDS = folders.records(EVALUATION)
ANSWERS = [record for record in RECORDS if isinstance(record, Part)]
MARKS = [record for record in RECORDS if isinstance(record, Grade)]


def _after(marks: int) -> Matrix:
    return made.matrix(EVALUATION, *ANSWERS, *MARKS[:marks])


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def _shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_heading_says_how_far_it_is_what_it_cost_and_how_long_it_will_take() -> None:
    now, matrix = [100.0], [_after(0)]
    with Progress(lambda: matrix[0], lambda: now[0], _console(terminal=False)) as progress:
        before = progress.heading()
        now[0], matrix[0] = 106.0, _after(6)

        assert "8/20  $0.0000" in before, "four own answers and four answers are settled"
        assert "s left" not in before
        assert "14/20" in progress.heading()
        assert "6 s left" in progress.heading()
        matrix[0] = _after(12)
        assert "20/20" in progress.heading()
        assert "s left" not in progress.heading()


def test_the_table_has_the_ranking_so_far() -> None:
    console = _console(terminal=False)
    progress = Progress(lambda: _after(12), lambda: 0.0, console)

    console.print(progress.table())

    lines = [line for line in _shown(console).splitlines() if "complete" in line]
    assert [line.split()[3] for line in lines] == ["Dee", "Cyd", "Bob", "Ada"]


def test_without_a_terminal_there_are_plain_lines() -> None:
    console = _console(terminal=False)
    with Progress(lambda: _after(0), lambda: 0.0, console) as progress:
        progress.hear(Started("EVAL", 16))
        progress.hear(CallFailed("EVAL", "ada", "bob", "timeout", "", again=True))
        progress.hear(Waiting("EVAL", "stub", 1.25))
        progress.hear(StateChanged("EVAL", "judging"))
        progress.hear(Done("EVAL", _after(0), "The spending cap is reached."))

    assert _shown(console).splitlines() == [
        "EVAL: 16 calls are open",
        "EVAL: ada about bob: timeout; it is tried again",
        "EVAL: waiting 1.2 s for stub",
        "EVAL: judging",
        "EVAL: stopped: The spending cap is reached.",
    ]


def test_on_a_terminal_the_table_is_drawn_again_as_cells_arrive() -> None:
    console, matrix = _console(terminal=True), [_after(0)]
    with Progress(lambda: matrix[0], lambda: 0.0, console) as progress:
        matrix[0] = _after(12)
        progress.hear(Judged("EVAL", next(iter(matrix[0].cells.values()))))

    assert "20/20" in _shown(console)
    assert "Mean so far" in _shown(console)
