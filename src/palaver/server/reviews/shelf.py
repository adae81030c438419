"""The evaluations on disk: one folder each, and a card that says what is in it without reading its journals.

A card is written when a run has ended and its room has been told; what has no card, or whose card is older than its
results, is unfinished and is gone on with after a restart. Cards are kept in memory: some hundred bytes for each.

Refuses to do: run anything, know users' rights. Invariant: a card can be lost without losing anything; it is made anew
from the folder.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from palaver.review.errors import ReviewError
from palaver.review.folder import Folder, create, find
from palaver.review.matrix import Matrix
from palaver.review.records import Evaluation, Vote
from palaver.review.results import publish

_CARD = "card.json"
_ASKED = "asked"
_OPEN_MATRICES = 16


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation in a list. `told` is the version of the results that its room knows, 0 before the first.

    `spent_nanodollars` is what it has cost; `created` is an ISO time in UTC.
    """

    id: str
    question: str
    category: str
    room: str | None
    asker: str | None
    created: str
    state: str
    models: int
    judged: int
    possible: int
    winner: str | None
    spent_nanodollars: int
    told: int


def card_of(matrix: Matrix, told: int) -> Card:
    """The card of an evaluation. Names are on it only where its results are out."""
    evaluation = matrix.evaluation
    winner = publish(matrix).winner if told else None
    return Card(
        id=evaluation.id, question=evaluation.question.text, category=evaluation.question.category,
        room=evaluation.room, asker=evaluation.asker, created=evaluation.created, state=matrix.state,
        models=len(evaluation.panel), judged=len(matrix.scored),
        possible=sum(cell.status != "excluded" for cell in matrix.cells.values()),
        winner=winner.name if winner is not None else None, spent_nanodollars=matrix.nanodollars, told=told,
    )  # fmt: skip


class Shelf:
    """All evaluations below one directory. Used from the event loop's thread, but for `load`."""

    def __init__(self, root: Path, replica: str, wall_milliseconds: Callable[[], int]) -> None:
        self.root = root
        self._replica = replica
        self._wall = wall_milliseconds
        self._openings = 0
        self._cards: dict[str, Card] = {}
        self._read: OrderedDict[str, Matrix] = OrderedDict()

    def load(self) -> tuple[list[Folder], list[tuple[Path, ReviewError]]]:
        """Read every card, and open what is unfinished; also what cannot be read, and why. Blocks: for a thread."""
        unfinished: list[Folder] = []
        broken: list[tuple[Path, ReviewError]] = []
        self.root.mkdir(parents=True, exist_ok=True)
        for path in find(self.root):
            card = _read_card(path)
            if card is not None and card.told:
                self._cards[card.id] = card
                continue
            try:
                folder = self.open(path.name)
                self._cards[path.name] = card_of(folder.matrix(), len(folder.versions()))
            except ReviewError as error:
                broken.append((path, error))
            else:
                unfinished.append(folder)
        return unfinished, broken

    def create(self, evaluation: Evaluation, mid: str) -> Folder:
        """Make the folder of a new evaluation that the message `mid` asked for. Raises LedgerError, OSError."""
        folder = create(self.root, evaluation, self._writer(), self._wall)
        (folder.path / _ASKED).write_text(mid, "utf-8")
        self._cards[evaluation.id] = card_of(folder.matrix(), 0)
        return folder

    def asked_by(self, mid: str) -> str | None:
        """The evaluation that a message asked for. Looks through the newest folders: for repetitions only."""
        return next((name for name in sorted(self._cards, reverse=True)[:100] if self.asked(name) == mid), None)

    def asked(self, name: str) -> str:
        """The message that asked for an evaluation; empty where it is not known."""
        try:
            return (self.root / name / _ASKED).read_text("utf-8")
        except OSError:
            return ""

    def open(self, name: str) -> Folder:
        """Open an evaluation's folder for writing. Raises ReviewError."""
        return Folder(self.root / name, self._writer(), self._wall)

    def finish(self, folder: Folder, told: int) -> Card:
        """Write the card of an evaluation whose run has ended."""
        card = card_of(folder.matrix(), told)
        partial = folder.path / f"{_CARD}.partial"
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(card))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder.path / _CARD)
        self._cards[card.id] = card
        self._read.pop(card.id, None)
        return card

    async def vote(self, name: str, person: str, marks: Mapping[str, int]) -> None:
        """Keep a person's marks for answers, by member. Votes have a journal of their own, beside a run's."""
        folder = Folder(self.root / name, f"{self._replica}-votes", self._wall)
        try:
            for key, mark in marks.items():
                vote = Vote(person=person, respondent=key, score=mark, replica=folder.replica, stamp=self._wall())
                await folder.append(vote)
            await folder.sync()
        finally:
            folder.close()
        self._read.pop(name, None)

    def taken(self, name: str) -> bool:
        """Whether there is an evaluation of this name."""
        return name in self._cards or (self.root / name).exists()

    def reopen(self, name: str) -> None:
        """An evaluation is to be gone on with: should we be killed, it is unfinished."""
        (self.root / name / _CARD).unlink(missing_ok=True)
        self._read.pop(name, None)

    def cards(self) -> Iterator[Card]:
        """Every card, newest evaluation first."""
        return iter([self._cards[name] for name in sorted(self._cards, reverse=True)])

    def card(self, name: str) -> Card | None:
        """One card."""
        return self._cards.get(name)

    def latest(self, room: str) -> Card | None:
        """The newest evaluation of a room."""
        return next((card for card in self.cards() if card.room == room), None)

    def matrix(self, name: str) -> Matrix:
        """What an evaluation that does not run amounts to; the newest few are kept. Raises ReviewError, KeyError."""
        if name not in self._cards:
            raise KeyError(name)
        if name in self._read:
            self._read.move_to_end(name)
            return self._read[name]
        matrix = self._read[name] = Folder(self.root / name, f"{self._replica}-reads", self._wall).matrix()
        if len(self._read) > _OPEN_MATRICES:
            self._read.popitem(last=False)
        return matrix

    def _writer(self) -> str:
        """A replica does not read its own journal, so each opening writes to a new one."""
        self._openings += 1
        return f"{self._replica}-{self._openings}"


def _read_card(path: Path) -> Card | None:
    try:
        return msgspec.json.decode((path / _CARD).read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError):
        return None
