"""What is seen of an evaluation while it runs, beside messages: one push for each thing that happens, unstored.

Older clients ignore the push. It names nobody: judges and answers are letters until the ranking is out. A slow reader
is not sent what it missed; `n` counts without holes, so it sees the hole and reads the evaluation over HTTP. The last
pushes are kept for followers over HTTP, who read them at their own pace: none has a queue of its own.

Refuses to do: send messages, know the ranking. Invariants: text of the answers is pushed at most ten times a second for
each answer, however small the pieces are that a model streams; at most `KEPT` pushes are in memory.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from palaver.chat.effects import Broadcast, Effect, Urgency
from palaver.chat.replies import encode
from palaver.review.events import Answered, CallFailed, Event, Judged, StateChanged, TextArrived, Waiting

TEXT_SECONDS = 0.1
KEPT = 1_000


class EvaluationPush(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="evaluation"):
    """Something happened in the room's evaluation `id`. Judges and answers are letters.

    `event`: "started", "text" (a piece of an answer, from character `offset` on), "answer" (settled, with `status`),
    "cell" (a judgment, with `score` or `reason`), "trouble" (a call failed or waits), "state", "revealed".
    """

    room: str | None
    id: str
    n: int
    event: str
    judge: str | UnsetType = UNSET
    answer: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    score: float | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
    offset: int | UnsetType = UNSET
    text: str | UnsetType = UNSET
    state: str | UnsetType = UNSET


class Live:
    """Pushes of one run. `perform` takes the effects; `close` it at the end."""

    def __init__(
        self, perform: Callable[[Iterable[Effect]], None], room: str | None, evaluation: str, letters: Mapping[str, str]
    ) -> None:
        self.token = secrets.token_hex(4)  # tells the pushes of this run from those before a restart
        self.kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self.arrived = asyncio.Event()  # set, and replaced, with each push
        self.closed = False
        self._perform = perform
        self._room = room
        self._id = evaluation
        self._letters = letters
        self.count = 0
        self._texts: dict[str, tuple[int, str]] = {}  # letter -> offset and text that was not pushed yet
        self._timer: asyncio.TimerHandle | None = None

    def push(self, event: str, **fields: object) -> None:
        """Tell the room now."""
        self.count += 1
        known = {"room": self._room, "id": self._id, "n": self.count, "event": event, **fields}
        frame = encode(msgspec.convert({"type": "evaluation", **known}, EvaluationPush))
        self.kept.append((self.count, frame))
        if self._room is not None:
            self._perform([Broadcast(self._room, frame, Urgency.TYPING)])
        self._wake()

    def hear(self, event: Event) -> None:
        """Tell the room what the runner tells, as far as it may know."""
        match event:
            case TextArrived():
                self._text(self._letters[event.member], event.part, event.offset, event.text)
            case Answered():
                self._flush()
                given = event.answer
                self.push("answer", answer=self._letters[given.member], status=given.status, reason=given.reason)
            case Judged():
                judge, subject = self._letters[event.cell.judge], self._letters[event.cell.subject]
                cell = event.cell
                self.push("cell", judge=judge, answer=subject, status=cell.status, score=cell.score, reason=cell.reason)
            case StateChanged():
                self.push("state", state=event.state)
            case CallFailed():
                self.push("trouble", reason=event.failure)
            case Waiting():
                self.push("trouble", reason=f"waiting {event.seconds:.0f} s for a provider")
            case _:
                pass

    def _text(self, letter: str, part: int, offset: int, text: str) -> None:
        if part > 0:
            return  # a continuation is joined first; the whole answer comes as a message
        waiting = self._texts.get(letter)
        if waiting is not None and waiting[0] + len(waiting[1]) == offset:
            self._texts[letter] = (waiting[0], waiting[1] + text)
        else:
            self._texts[letter] = (offset, text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TEXT_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        texts, self._texts = self._texts, {}
        for letter, (offset, text) in texts.items():
            self.push("text", answer=letter, offset=offset, text=text)

    def close(self) -> None:
        """Push what waits, and nothing afterwards."""
        self._flush()
        self.closed = True
        self._wake()

    def since(self, n: int) -> list[tuple[int, bytes]] | None:
        """The pushes after number `n`, or None if some of them are not kept any more."""
        missed = self.count - n
        if not 0 <= missed <= len(self.kept):
            return None
        return [self.kept[index] for index in range(len(self.kept) - missed, len(self.kept))]

    def _wake(self) -> None:
        arrived, self.arrived = self.arrived, asyncio.Event()
        arrived.set()
