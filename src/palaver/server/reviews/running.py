"""One evaluation at work: the runner, its room's messages, and the end that reveals who is who.

Every message has a `cid` made from the evaluation, and the card is written last: killed at any moment, the next start
does the rest, makes only the calls that are open, and says nothing twice.

Refuses to do: decide who may start or stop it. Invariants: names are told only when the results are published; when
`go` has returned or raised, no call of this evaluation is under way.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from palaver.chat.names import is_blank
from palaver.review.claims import Claims
from palaver.review.events import Answered, Done, Event, Missed, Stream
from palaver.review.folder import Folder
from palaver.review.matrix import Answer, Matrix
from palaver.review.published import encode
from palaver.review.records import Cancel, Reopen
from palaver.review.results import publish
from palaver.review.runner import Pace, Runner
from palaver.review.seats import Seat
from palaver.server.reviews import texts
from palaver.server.reviews.letters import letters
from palaver.server.reviews.live import Live
from palaver.server.reviews.shelf import Shelf
from palaver.server.reviews.voice import PALAVER, Voice, answerer


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every run works with."""

    shelf: Shelf
    voice: Voice
    live: Callable[[str | None, str, Mapping[str, str]], Live]  # room, evaluation, letters
    claims: Callable[[Folder], Claims]
    pace: Pace
    wall_milliseconds: Callable[[], int]


BY_HTTP = "http:"  # begins the mid of what was asked over HTTP, where no message has the question


class Run:
    """One evaluation's run, from its start or from where it was left."""

    def __init__(self, folder: Folder, seats: Mapping[str, Seat], around: Surroundings) -> None:
        self.folder = folder
        self.stream = Stream()
        self._seats = seats
        self._around = around
        self._letters = letters(folder.matrix().evaluation)
        self._said: set[str] = set()
        self._runner: asyncio.Task[Matrix] | None = None
        self._stopped = False
        self.live = around.live(folder.matrix().evaluation.room, self.id, self._letters)

    @property
    def id(self) -> str:
        """The evaluation's id."""
        return self.folder.path.name

    def matrix(self) -> Matrix:
        """What is known now."""
        return self.folder.matrix()

    async def stop(self, by: str) -> None:
        """End it for good: no further call is made, and what there is becomes the result."""
        cancel = Cancel(by=by, replica=self.folder.replica, stamp=self._around.wall_milliseconds())
        await self.folder.append(cancel)
        await self.folder.sync()
        self._stopped = True
        if self._runner is not None:
            self._runner.cancel()

    async def go(self) -> None:
        """Run to the end, tell the room, write the card. Cancelled, it leaves the rest for the next start."""
        room = self.matrix().evaluation.room
        self.live.push("started", state=self.matrix().state)
        try:
            async with asyncio.TaskGroup() as group:
                if room is not None:
                    telling = group.create_task(self._tell(room), name=f"{self.id} tells")
                why = await self._judge()
                if room is not None:
                    telling.cancel()
            await self._reveal(room, why)
        finally:
            self.live.close()
            self.folder.close()

    # ---- the calls ----

    async def _judge(self) -> str | None:
        """Make the open calls; returns why some are left, if they are."""
        ended = asyncio.Event()
        stopped: list[str | None] = [None]

        def hear(event: Event) -> None:
            if isinstance(event, Done):
                stopped[0] = event.stopped
                ended.set()
                return  # told when the room knows the ranking
            self.stream.tell(event)
            self.live.hear(event)

        runner = Runner(
            self.folder, self._seats, self._around.wall_milliseconds, tell=hear,
            claims=self._around.claims(self.folder), pace=self._around.pace,
        )  # fmt: skip
        self._runner = asyncio.create_task(runner.run(), name=f"{self.id} runs")
        if self._stopped:
            self._runner.cancel()
        try:
            await asyncio.wait([self._runner])
        finally:
            if not self._runner.done():
                self._runner.cancel()
                await asyncio.wait([self._runner])
        if self._runner.cancelled():
            return None
        self._runner.result()
        return stopped[0]

    # ---- the room ----

    async def _tell(self, room: str) -> None:
        """Say each answer when it is settled."""
        async with self.stream.follow() as follower:
            await self._say(room, f"{self.id}:started", self._opening)
            for given in self.matrix().answers.values():
                await self._answer(room, given)
            async for event in follower:
                if isinstance(event, Answered):
                    await self._answer(room, event.answer)
                elif isinstance(event, Missed):
                    for given in self.matrix().answers.values():
                        await self._answer(room, given)

    def _opening(self) -> str:
        said_here = not self._around.shelf.asked(self.id).startswith(BY_HTTP)
        return texts.started(self.matrix(), self._letters, self._around.voice.text_chars, said_here=said_here)

    async def _answer(self, room: str, given: Answer) -> None:
        if given.settled and not is_blank(given.text):
            letter = self._letters[given.member]
            cid = f"{self.id}:{letter}"
            if cid not in self._said:
                text = texts.answer(given, self._around.voice.text_chars)
                await self._around.voice.say(room, answerer(self.id, letter), text, cid)
                self._said.add(cid)

    async def _say(self, room: str, cid: str, text: Callable[[], str]) -> None:
        if cid not in self._said:
            await self._around.voice.say(room, PALAVER, text(), cid)
            self._said.add(cid)

    async def _reveal(self, room: str | None, why: str | None) -> None:
        """Publish, tell the room who is who, and only then call it finished."""
        await self.folder.refresh()  # votes, and what other workers wrote
        matrix = self.matrix()
        self.folder.publish(encode(publish(matrix)))
        version = len(self.folder.versions())
        if room is not None:
            for given in matrix.answers.values():
                await self._answer(room, given)
            chars = self._around.voice.text_chars
            ranking = texts.ranking(matrix, self._letters, chars, why)
            round_ = 1 + sum(isinstance(record, Reopen) for record in self.folder.ledger.records())
            await self._say(room, f"{self.id}:ranking-{round_}", lambda: ranking)
        self._around.shelf.finish(self.folder, version)
        self.live.push("revealed", state=matrix.state)
        self.stream.tell(Done(self.id, matrix, why))
