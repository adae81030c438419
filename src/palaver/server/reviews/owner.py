"""The server's one owner of evaluations: takes commands, starts runs, ends them, and goes on with what was left.

Everything that runs is a task that this object knows until it has ended: `close` ends them all, and what fails is in
the journal with its evaluation. At most `running` evaluations work at a time and `waiting` more are queued; beyond that
people are told to come back. An evaluation exists on disk before its first call.

Refuses to do: HTTP, rights in rooms (the engine has looked at them). Invariants: a room has at most one evaluation that
is not finished; nothing is started that a cap forbids; names leave this package only when results are out.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from palaver import __version__
from palaver.chat.commands import Objection
from palaver.chat.effects import Consider, Obey
from palaver.review import bank, rubric
from palaver.review.errors import ReviewError
from palaver.review.folder import Folder
from palaver.review.matrix import Matrix
from palaver.review.providers import Client
from palaver.review.records import Evaluation, Limits, Member, Question, Reopen, digest
from palaver.review.roster import Roster
from palaver.server.faults import new_trace
from palaver.server.reviews import budget, commands, seating
from palaver.server.reviews.budget import Caps, Spending
from palaver.server.reviews.dossiers import Dossiers
from palaver.server.reviews.letters import letters
from palaver.server.reviews.running import Run, Surroundings
from palaver.server.reviews.shelf import Card, Shelf, card_of
from palaver.server.reviews.voice import PALAVER, Voice

RETRY_MS = 5_000
HIGHEST = rubric.HIGHEST

journal = structlog.get_logger("palaver.reviews")


class Declined(Exception):  # noqa: N818 - it is an answer, not a fault
    """What was asked for is not done; an `Objection` says why."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.objection = Objection(code, message, retry_after_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much at a time, and for how much money."""

    running: int = 4
    waiting: int = 32
    caps: Caps = field(default_factory=Caps)
    guests_ask: bool = True


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

    # ---- what people type: the shell's servant ----

    def consider(self, effect: Consider) -> Objection | None:
        """Say what stands in the way of a command."""
        job = effect.job
        try:
            command = commands.parse(job.text)
            match command:
                case commands.Ask():
                    self._check(replace(_wish(job.user.id, job.room, command), guest=effect.guest))
                case commands.Stop():
                    self._stoppable(job.room, job.user.id, moderates=effect.moderates)
                case commands.Again():
                    self._check(replace(self._again(job.room, job.user.id), guest=effect.guest))
                case commands.Vote():
                    self._marks(job.room, command)
        except commands.CommandError as error:
            return Objection("invalid_text", str(error))
        except Declined as declined:
            return declined.objection
        return None

    def obey(self, effect: Obey) -> None:
        """Carry out a command that is stored."""
        if not self._closed:
            self._supervise(self._carry_out(effect), f"command {effect.mid}")

    async def _carry_out(self, effect: Obey) -> None:
        job, command = effect.job, commands.parse(effect.job.text)
        try:
            match command:
                case commands.Ask():
                    if not effect.duplicate or self.shelf.asked_by(effect.mid) is None:
                        self.start(_wish(job.user.id, job.room, command, effect.mid))
                case commands.Stop():
                    await self._stoppable(job.room, job.user.id, moderates=True).stop(job.user.id)
                case commands.Again():
                    await self._go_again(job.room, job.user.id, effect.mid)
                case commands.Vote():
                    card, marks = self._marks(job.room, command)
                    await self.vote(card.id, job.user.id, marks)
        except Declined as declined:  # it became impossible between looking and storing
            text = f"{job.user.name}: {declined.objection.message}"
            await self._voice.say(job.room, PALAVER, text, f"{effect.mid}:declined")

    # ---- starting ----

    def start(self, wish: Wish) -> Evaluation:
        """Draw an evaluation up, keep it, and let it run. Raises Declined."""
        evaluation = self._draw_up(wish, self._check(wish))
        folder = self._create(evaluation, wish.mid)
        self._launch(folder)
        return folder.matrix().evaluation

    def _check(self, wish: Wish) -> int | None:
        """The most that it may cost. Raises Declined for whatever stands in its way."""
        if self._closed:
            raise Declined("unavailable", "The server is shutting down. Ask again when it is back.", RETRY_MS)
        self._panel(wish.keys)
        if not wish.question.strip() or len(wish.question) > commands.QUESTION_CHARS:
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

    def _panel(self, keys: tuple[str, ...]) -> tuple[Member, ...]:
        try:
            panel = self.roster.panel(keys)
        except ReviewError:
            known = ", ".join(f"@{model.key}" for model in self.roster.model)
            unknown = ", ".join(f"@{key}" for key in keys if key not in {model.key for model in self.roster.model})
            raise Declined("invalid_text", f"There is no model {unknown} here. There are {known}.") from None
        if not any(one.judges and other.answers and one.key != other.key for one in panel for other in panel):
            raise Declined("invalid_text", "Name at least two models: nobody judges its own answer.")
        return panel

    def _draw_up(self, wish: Wish, cap: int | None) -> Evaluation:
        question = Question(id=f"Q-{digest(wish.question)[:12]}", text=wish.question, category=wish.category)
        created = datetime.fromtimestamp(self._around.wall_milliseconds() / 1000, UTC)
        while True:
            drawn_up = bank.evaluation(
                question, self._panel(wish.keys), rubric.STANDARD, created=_iso(created), seed=secrets.token_hex(16),
                version=__version__, limits=Limits(spend_nanodollars=cap),
            )  # fmt: skip
            if not self.shelf.taken(drawn_up.id):
                return structs.replace(drawn_up, room=wish.room, asker=wish.asker)
            created += timedelta(seconds=1)  # ids are made from the second

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
        self._supervise(self._go(run), run.id)

    async def _go(self, run: Run) -> None:
        try:
            async with self._slots:
                await run.go()
            journal.info("evaluation_ended", evaluation=run.id, state=run.matrix().state)
        except Exception as error:  # noqa: BLE001 - whatever ends one run must not end others, and its room is told
            trace = new_trace()
            journal.error("evaluation_failed", evaluation=run.id, trace=trace, exc_info=error)
            room = run.matrix().evaluation.room
            if room is not None:
                text = f"**{run.id}**: the server made a mistake ({trace}). `/ask again` goes on with it."
                await self._voice.say(room, PALAVER, text, f"{run.id}:{trace}")
        finally:
            run.live.close()
            del self._runs[run.id]

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

    def _stoppable(self, room: str, user: str, *, moderates: bool) -> Run:
        run = self.running_in(room)
        if run is None:
            raise Declined("invalid_text", "No evaluation is running in this room.")
        if not moderates and run.matrix().evaluation.asker != user:
            raise Declined("forbidden", "Only who asked, or a moderator, may stop the evaluation.")
        return run

    def _again(self, room: str, user: str) -> Wish:
        card = self.shelf.latest(room)
        if card is None:
            raise Declined("invalid_text", "Nothing was asked in this room yet. Write /ask and a question.")
        evaluation = self.matrix(card.id).evaluation
        keys = tuple(member.key for member in evaluation.panel)
        return Wish(
            asker=user, question=evaluation.question.text, keys=keys, room=room, category=evaluation.question.category
        )

    async def _go_again(self, room: str, user: str, mid: str) -> None:
        wish = self._again(room, user)
        self._check(wish)
        card = self.shelf.latest(room)
        assert card is not None, "there is something to ask again"
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

    def _marks(self, room: str, command: commands.Vote) -> tuple[Card, dict[str, int]]:
        card = self.shelf.latest(room)
        if card is None:
            raise Declined("invalid_text", "There is nothing to vote on in this room yet.")
        return card, self.marks(card.id, command)

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
        await self.shelf.vote(name, person, marks)
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

    def _supervise(self, work: Coroutine[Any, Any, None], name: str) -> None:
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


def _wish(user: str, room: str, command: commands.Ask, mid: str = "") -> Wish:
    return Wish(asker=user, question=command.question, keys=command.keys, room=room, mid=mid)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _has_failures(matrix: Matrix) -> bool:
    if matrix.cancelled:
        return False
    failed = any(answer.status == "failed" for answer in matrix.answers.values())
    return failed or any(cell.status in ("failed", "pending") for cell in matrix.cells.values())
