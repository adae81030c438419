"""What a running evaluation tells: frozen records, and a stream of them that anybody may follow.

A follower that does not keep up loses nothing that matters: its backlog is replaced by one `Missed`, after which it
reads the matrix afresh. So the runner never waits for a follower and no backlog grows without bound.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from palaver.review.matrix import Answer, Cell, Matrix, State


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins, or goes on, with `open_calls` calls known to be open."""

    evaluation: str
    open_calls: int


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call for an answer (`subject` is `None`) or for a judgment is made. `label` is what the judge sees."""

    evaluation: str
    member: str
    subject: str | None
    label: str | None
    fence: int


@dataclass(frozen=True, slots=True)
class TextArrived:
    """A piece of an answer, as it streams in. After a failed attempt the same answer starts again at `offset` 0."""

    evaluation: str
    member: str
    part: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer is settled, with a text or with a reason."""

    evaluation: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Judged:
    """A cell is settled, with marks or with a reason."""

    evaluation: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call gave nothing; it is tried again if `again`."""

    evaluation: str
    member: str
    subject: str | None
    failure: str
    detail: str
    again: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Calls to a provider wait: its breaker is open, or it asked for a pause."""

    evaluation: str
    provider: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The evaluation has reached another state."""

    evaluation: str
    state: State


@dataclass(frozen=True, slots=True)
class Done:
    """The run is over; `stopped` says why if calls are still open."""

    evaluation: str
    matrix: Matrix
    stopped: str | None


@dataclass(frozen=True, slots=True)
class Missed:
    """The follower was too slow: `count` events are gone; read the matrix afresh."""

    count: int


Event = Started | CallStarted | TextArrived | Answered | Judged | CallFailed | Waiting | StateChanged | Done | Missed


class Stream:
    """Hands every event to every follower."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()

    def tell(self, event: Event) -> None:
        """Hand an event to all followers; never waits."""
        for follower in self._followers:
            follower.take(event)

    def follow(self, backlog: int = 1_000) -> "Follower":
        """A follower that hears everything told from now on. `async with` it, and iterate."""
        if backlog < 1:
            raise ValueError(f"backlog is {backlog}; a follower needs room for at least 1 event.")
        return Follower(self._followers, backlog)


class Follower:
    """One follower's view of the stream. Iteration ends after `Done`."""

    def __init__(self, followers: "set[Follower]", backlog: int) -> None:
        self._followers = followers
        self._room = backlog
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many events are queued."""
        return len(self._waiting)

    def take(self, event: Event) -> None:
        """Queue an event, or replace a full backlog by `Missed`."""
        if len(self._waiting) >= self._room:
            gone = sum(each.count if isinstance(each, Missed) else 1 for each in self._waiting)
            self._waiting.clear()
            self._waiting.append(Missed(gone))
        self._waiting.append(event)
        self._arrived.set()

    async def __aenter__(self) -> Self:
        self._followers.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._followers.discard(self)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            event = self._waiting.popleft()
            yield event
            if isinstance(event, Done):
                return
