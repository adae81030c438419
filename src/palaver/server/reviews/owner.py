"""The server's one owner of evaluations: starts runs, ends them, and goes on with what the last process left.

Everything that runs is a task that this object knows until it has ended: `close` ends them all, and what fails is in
the journal with its evaluation. At most `running` evaluations work at a time and `waiting` more are queued; beyond that
people are told to come back. An evaluation exists on disk before its first call.

Refuses to do: HTTP, rights in rooms (the engine has looked at them). Invariants: a room has at most one evaluation that
is not finished; nothing is started that a cap forbids; names leave this package only when results are out.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from palaver.chat.names import is_blank
from palaver.review import rubric
from palaver.review.errors import ReviewError
from palaver.review.folder import Folder
from palaver.review.matrix import Matrix
from palaver.review.providers import Client
from palaver.review.records import Evaluation, Reopen
from palaver.review.roster import Roster
from palaver.server.faults import new_trace
from palaver.server.reviews import budget, commands, seating
from palaver.server.reviews.budget import Caps, Spending
from palaver.server.reviews.dossiers import Dossiers
from palaver.server.reviews.letters import letters
from palaver.server.reviews.running import Run, Surroundings
from palaver.server.reviews.shelf import Card, Shelf, card_of
from palaver.server.reviews.voice import PALAVER, Voice
from palaver.server.reviews.wishes import Declined, Wish, draw_up, panel_of

RETRY_MS = 5_000
HIGHEST = rubric.HIGHEST
ENDINGS = ("final", "partial", "failed", "cancelled", "fault")

journal = structlog.get_logger("palaver.reviews")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much at a time, and for how much money."""

    running: int = 4
    waiting: int = 32
    caps: Caps = field(default_factory=Caps)
    guests_ask: bool = True


class Reviews:
    """See the module. Made by `opening`; all methods are for the event loop's thread."""

    def __init__(self, roster: Roster, clients: Mapping[str, Client], around: Surroundings, bounds: Bounds) -> None:
        self.roster = roster
        self.shelf: Shelf = around.shelf
        self.dossiers = Dossiers()
        self._clients = clients
        self._around = around
        self._voice: Voice = around.voice
        self._bounds = bounds
        self._runs: dict[str, Run] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._slots = asyncio.Semaphore(bounds.running)
        self._closed = False
        self.working = 0  # evaluations at work; read by the metrics, as what follows
        self.ended: Counter[str] = Counter()  # by state, since the start
        self.spent_nanodollars = 0  # since the start

    # ---- starting ----

    def start(self, wish: Wish) -> Evaluation:
        """Draw an evaluation up, keep it, and let it run. Raises Declined."""
        evaluation = draw_up(wish, self.roster, self.check(wish), self._around.wall_milliseconds(), self.shelf.taken)
        folder = self._create(evaluation, wish.mid)
        self._launch(folder)
        return folder.matrix().evaluation

    def check(self, wish: Wish) -> int | None:
        """The most that it may cost. Raises Declined for whatever stands in its way."""
        if self._closed:
            raise Declined("unavailable", "The server is shutting down. Ask again when it is back.", RETRY_MS)
        panel_of(self.roster, wish.keys)
        if is_blank(wish.question) or len(wish.question) > commands.QUESTION_CHARS:
            raise Declined("invalid_text", f"A question has 1 to {commands.QUESTION_CHARS} characters.")
        if wish.room is not None and self.running_in(wish.room) is not None:
            raise Declined("forbidden", "This room's evaluation is still running. Wait for it, or /ask stop.")
        if len(self._runs) >= self._bounds.running + self._bounds.waiting:
            raise Declined("unavailable", "Too many evaluations are waiting already. Ask again later.", RETRY_MS)
        if wish.guest and not self._bounds.guests_ask:
            raise Declined("forbidden", "Guests may not ask models here. Sign in with a token.")
        allowed = budget.allow(
            self._bounds.caps, self._spendings(), wish.asker, wish.room, self._around.wall_milliseconds()
        )
        if allowed.exhausted is not None:
            whose = {"user": "You have", "room": "This room has", "server": "This server has"}
            text = f"{whose.get(allowed.exhausted, 'This server has')} spent what may be spent on models in 24 hours."
            raise Declined("forbidden", text)
        return allowed.nanodollars

    def _create(self, evaluation: Evaluation, mid: str) -> Folder:
        try:
            return self.shelf.create(evaluation, mid)
        except (ReviewError, OSError) as error:
            journal.error("not_created", evaluation=evaluation.id, exc_info=error)
            raise Declined("unavailable", "The evaluation cannot be stored now. Ask again later.", RETRY_MS) from error

    def _launch(self, folder: Folder) -> None:
        evaluation = folder.matrix().evaluation
        run = Run(folder, seating.seats(self.roster, evaluation, self._clients), self._around)
        self._runs[run.id] = run
        journal.info("evaluation_started", evaluation=run.id, room=evaluation.room, models=len(evaluation.panel))
        self.supervise(self._go(run), run.id)

    async def _go(self, run: Run) -> None:
        before = run.matrix().nanodollars
        try:
            async with self._slots:
                self.working += 1
                try:
                    await run.go()
                finally:
                    self.working -= 1
                    self.spent_nanodollars += run.matrix().nanodollars - before
            self.ended[run.matrix().state] += 1
            journal.info("evaluation_ended", evaluation=run.id, state=run.matrix().state)
        except Exception as error:  # noqa: BLE001 - whatever ends one run must not end others, and its room is told
            trace = new_trace()
            self.ended["fault"] += 1
            journal.error("evaluation_failed", evaluation=run.id, trace=trace, exc_info=error)
            room = run.matrix().evaluation.room
            if room is not None:
                text = f"**{run.id}**: the server made a mistake ({trace}). `/ask again` goes on with it."
                await self._voice.say(room, PALAVER, text, f"{run.id}:{trace}")
        finally:
            run.live.close()
            del self._runs[run.id]

    @property
    def waiting(self) -> int:
        """Evaluations that wait for their turn."""
        return len(self._runs) - self.working

    def _spendings(self) -> list[Spending]:
        found, since = [], self._around.wall_milliseconds() - budget.WINDOW_MS
        for card in self.shelf.cards():
            at = int(datetime.fromisoformat(card.created).timestamp() * 1000)
            run = self._runs.get(card.id)
            if run is None and at < since:
                break  # the newest come first
            spent = card.spent_nanodollars if run is None else run.matrix().evaluation.limits.spend_nanodollars
            found.append(Spending(at_ms=max(at, since + 1), user=card.asker, room=card.room, nanodollars=spent))
        return found

    # ---- stopping, and going on ----

    def running_in(self, room: str) -> Run | None:
        """The room's evaluation that is not finished."""
        return next((run for run in self._runs.values() if run.matrix().evaluation.room == room), None)

    def run(self, name: str) -> Run | None:
        """An evaluation that is not finished."""
        return self._runs.get(name)

    def stoppable(self, room: str, user: str, *, moderates: bool) -> Run:
        """The room's evaluation, if this user may stop it. Raises Declined."""
        run = self.running_in(room)
        if run is None:
            raise Declined("invalid_text", "No evaluation is running in this room.")
        if not moderates and run.matrix().evaluation.asker != user:
            raise Declined("forbidden", "Only who asked, or a moderator, may stop the evaluation.")
        return run

    def latest(self, room: str) -> Card:
        """The room's newest evaluation. Raises Declined."""
        card = self.shelf.latest(room)
        if card is None:
            raise Declined("invalid_text", "Nothing was asked in this room yet. Write /ask and a question.")
        return card

    def last_wish(self, room: str, user: str) -> Wish:
        """The room's newest question, as a wish of this user. Raises Declined."""
        card = self.latest(room)
        evaluation = self.matrix(card.id).evaluation
        keys = tuple(member.key for member in evaluation.panel)
        return Wish(
            asker=user, question=evaluation.question.text, keys=keys, room=room, category=evaluation.question.category
        )

    async def go_again(self, room: str, user: str, mid: str) -> None:
        """Open what failed again; where nothing did, ask the same anew. Raises Declined."""
        wish, card = self.last_wish(room, user), self.latest(room)
        self.check(wish)
        failed = _has_failures(self.matrix(card.id))
        if card.told and not failed:
            self.start(replace(wish, mid=mid))
            return
        folder = self.shelf.open(card.id)
        if failed:
            await folder.append(Reopen(replica=folder.replica, stamp=self._around.wall_milliseconds()))
            await folder.sync()
        self.shelf.reopen(card.id)
        self._launch(folder)

    # ---- votes ----

    def marks(self, name: str, command: commands.Vote) -> dict[str, int]:
        """A vote's marks by member. Raises Declined for a letter that no answer has."""
        matrix = self.matrix(name)
        named = {letter: key for key, letter in letters(matrix.evaluation).items() if key in matrix.answers}
        given = dict(command.marks)
        if command.best is not None:
            given = {letter: HIGHEST if letter == command.best else 0 for letter in named}
        unknown = [letter for letter in (*given, command.best) if letter is not None and letter not in named]
        if unknown:
            raise Declined("invalid_text", f"There is no answer {unknown[0]}. There are {', '.join(named)}.")
        return {named[letter]: mark for letter, mark in given.items()}

    async def vote(self, name: str, person: str, marks: Mapping[str, int]) -> None:
        """Keep a person's marks for answers, by member; they never touch the jury's."""
        standing = {vote.respondent: vote.score for vote in self.matrix(name).votes if vote.person == person}
        changed = {key: mark for key, mark in marks.items() if standing.get(key) != mark}
        if not changed:
            return
        await self.shelf.vote(name, person, changed)
        run = self._runs.get(name)
        if run is not None:
            await run.folder.refresh()

    # ---- reading ----

    def cards(self) -> Iterator[Card]:
        """Every evaluation, the newest first."""
        for card in self.shelf.cards():
            run = self._runs.get(card.id)
            yield card if run is None else card_of(run.matrix(), card.told)

    def card(self, name: str) -> Card | None:
        """One evaluation's card; of one that runs as it stood when it started."""
        return self.shelf.card(name)

    @property
    def root(self) -> Path:
        """The directory with a folder for each evaluation."""
        return self.shelf.root

    def matrix(self, name: str) -> Matrix:
        """What an evaluation amounts to now. Raises KeyError, ReviewError."""
        run = self._runs.get(name)
        return run.matrix() if run is not None else self.shelf.matrix(name)

    def revealed(self, name: str) -> bool:
        """Whether its results are out, so that names may be told."""
        card = self.shelf.card(name)
        return card is not None and card.told > 0

    # ---- life ----

    async def resume(self) -> None:
        """Go on with what the last process left."""
        unfinished, broken = await asyncio.to_thread(self.shelf.load)
        for path, error in broken:
            journal.error("evaluation_unreadable", path=str(path), error=str(error))
        for folder in unfinished:
            try:
                self._launch(folder)
            except ReviewError as error:
                journal.error("evaluation_not_resumed", evaluation=folder.path.name, error=str(error))

    def supervise(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run this until it has ended, or until `close`; afterwards nothing is begun."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            journal.error("evaluation_failed", work=name, exc_info=error)

    async def close(self) -> None:
        """Cancel every run, and wait until no call is under way; the next start goes on with them. Idempotent."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _has_failures(matrix: Matrix) -> bool:
    if matrix.cancelled:
        return False
    failed = any(answer.status == "failed" for answer in matrix.answers.values())
    return failed or any(cell.status in ("failed", "pending") for cell in matrix.cells.values())
