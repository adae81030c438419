"""The face of the client: `connect`, a Chat, its Rooms.

    async with connect("http://127.0.0.1:8000", name="ada") as chat:
        async for event in chat.join("lobby"):
            ...

Everything that waits may be cancelled at any point; nothing is leaked and no event is lost by it. A Chat and its Rooms
belong to the event loop and the `async with` block that they were made in.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from palaver.chat.records import Message, Position, User
from palaver.client.connection import Connection
from palaver.client.errors import ClientError, Closed, Unreachable
from palaver.client.events import Event, Gap, Link, Stored
from palaver.client.link import Identity, Policy
from palaver.client.room import Phase, Reading
from palaver.client.shell import Shell, TokenSource
from palaver.client.wire import HistoryAck

_SCHEMES: Mapping[str, str] = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def connect(
    url: str,
    *,
    name: str | None = None,
    session: str | None = None,
    token: str | TokenSource | None = None,
    within: float | None = 30.0,
    on_state: Callable[[Link], None] | None = None,
    policy: Policy | None = None,
) -> "Chat":
    """A client for one server, to be used with `async with`. From there on it stays connected by itself.

    Args:
        url: of the server, `http://host:port` or `ws://host:port/ws` (https and wss for TLS).
        name: a guest's name; without it, and without `token`, one is made up.
        session: a guest's secret from an earlier `Chat.session`, to be the same user again.
        token: a token, or an async function that fetches one whenever one is needed.
        within: seconds until `async with` gives up with Unreachable; None tries for ever.
        on_state: called on every change of the link; must not block or raise.
        policy: times and bounds; see Policy.

    Raises:
        ValueError: for a bad `url`, or both `name` and `token`.
        Closed: from `async with`, when the server refuses who we are. Its `error` says why.
        Unreachable: from `async with`, when the time is over.
    """
    if name is not None and token is not None:
        raise ValueError("Give a guest's name or a token, not both: the token has a name.")
    if name is None and token is None:
        name = f"guest-{secrets.token_hex(4)}"
    source = token if callable(token) else None
    identity = Identity(
        name=name, session=session, token=token if isinstance(token, str) else None, renewable=source is not None
    )
    return Chat(_socket_url(url), identity, source, within, on_state, policy or Policy())


class Chat:
    """A connection that outlives connections."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        source: TokenSource | None,
        within: float | None,
        on_state: Callable[[Link], None] | None,
        policy: Policy,
    ) -> None:
        self._url, self._source, self._within, self._on_state = url, source, within, on_state
        self._core = Connection(identity, policy, random.random)
        self._prefix = secrets.token_urlsafe(9)
        self._count = 0
        self._rooms: dict[str, Room] = {}
        self._started: Shell | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect. Cancelling it, or an error, leaves nothing behind."""
        if self._started is not None:
            raise RuntimeError("This chat was entered before: call connect() again.")
        shell = self._started = Shell(self._core, self._url, self._source, self._on_state)
        self._task = asyncio.create_task(shell.run(), name="palaver.client")
        try:
            async with asyncio.timeout(self._within):
                while self._core.state is not Link.READY and self._core.state is not Link.ENDED:
                    shell.moved.clear()
                    await shell.moved.wait()
        except TimeoutError:
            await self._finish()
            raise Unreachable(f"no server answered at {self._url} within {self._within} s") from None
        except BaseException:  # cancelled: the task must not outlive us
            await self._finish()
            raise
        if self._core.error is not None:
            await self._finish()
            raise self._core.error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. Messages still on their way end as NotSent or Unknown."""
        await self._finish()

    async def _finish(self) -> None:
        assert self._task is not None, "finished before it began"
        self._core.close(self._shell.now())
        self._shell.perform()
        await self._task

    @property
    def user(self) -> User:
        """Who the server says we are."""
        assert self._core.user is not None, "use the chat inside `async with`"
        return self._core.user

    @property
    def session(self) -> str | None:
        """A guest's secret: whoever has it is this user. None for a token's user."""
        return self._core.session

    @property
    def state(self) -> Link:
        """The state of the link to the server."""
        return self._core.state

    def join(self, room: str, *, since: Position | None = None, history: bool = True) -> "Room":
        """Be in a room, over every reconnect, until `leave`. Returns at once; the same Room for the same name.

        Args:
            room: its name.
            since: a `Room.position` of an earlier run: the stream continues exactly there.
            history: False leaves out the messages from before this join.
        """
        if room not in self._rooms or self._rooms[room].ended:
            shell = self._shell
            reading = self._core.join(room, since=since, history=history, now=shell.now())
            self._rooms[room] = Room(self, reading, shell)
            shell.perform()
        return self._rooms[room]

    async def send(self, room: str, text: str, *, cid: str | None = None, give_up_after: float | None = None) -> Stored:
        """Say something in a joined room; returns when it is stored.

        Survives reconnects and the rate limit by waiting. Messages to one room are stored in the order of the calls.
        When cancelled, the message is withdrawn: not stored if it was not written yet.

        Args:
            room: a joined room.
            text: what to say.
            cid: 1 to 64 characters that make the message repeatable, also over runs: the same `cid` is stored once.
            give_up_after: seconds; None waits as long as it takes.

        Raises:
            Refused: not stored; the server said why. NotSent: not stored; given up before it was written.
            Unknown: written, and nobody can say. NotJoined, OutboxFull, Closed: not stored.
        """
        shell = self._shell
        if cid is None:
            self._count += 1
            cid = f"{self._prefix}-{self._count}"
        now = shell.now()
        expires_at = None if give_up_after is None else now + give_up_after
        self._core.post(room, text, cid, expires_at=expires_at, now=now)
        future = shell.sends[cid] = asyncio.get_running_loop().create_future()
        shell.perform()
        try:
            outcome = await future
        except asyncio.CancelledError:
            self._core.withdraw(cid, shell.now())
            raise
        finally:
            del shell.sends[cid]
            shell.perform()
        if isinstance(outcome, Stored):
            return outcome
        raise outcome

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int = 100
    ) -> HistoryAck:
        """A page of up to `limit` (1 to 100) messages next to a `seq`; without one, the newest.

        Raises:
            Refused: the server said no. Closed: the chat ended. ClientError: too many such calls are waiting.
        """
        shell = self._shell
        question = self._core.history(room, before=before, after=after, limit=limit, now=shell.now())
        future: asyncio.Future[HistoryAck | ClientError] = asyncio.get_running_loop().create_future()
        shell.answers[question] = future
        shell.perform()
        try:
            result = await future
        finally:
            del shell.answers[question]
            self._core.forget(question)
        if isinstance(result, ClientError):
            raise result
        return result

    def typing(self, room: str) -> None:
        """Tell the others in the room that we are writing; forgotten where the link is down."""
        self._core.typing(room, self._shell.now())
        self._shell.perform()

    def leave(self, room: str) -> None:
        """Be in the room no longer; its stream ends after what has arrived. Idempotent."""
        self._rooms.pop(room, None)
        self._core.leave(room, self._shell.now())
        self._shell.perform()
        self._shell.wakes.pop(room, None)

    @property
    def _shell(self) -> Shell:
        if self._started is None:
            raise RuntimeError("Use the chat inside its block: `async with connect(...) as chat:`.")
        return self._started


class Room:
    """A joined room: an async iterator of Message and Gap, in order, without loss.

    A reader that is slow loses nothing either: what does not fit its inbox is fetched from the room's history later.
    """

    def __init__(self, chat: Chat, reading: Reading, shell: Shell) -> None:
        self._chat, self._reading, self._shell = chat, reading, shell
        self._wake = shell.wakes[reading.name] = asyncio.Event()

    @property
    def name(self) -> str:
        """The room's name."""
        return self._reading.name

    @property
    def ended(self) -> bool:
        """It was left, or the chat is over. Events that had arrived can still be read."""
        return self._reading.phase is Phase.ENDED

    @property
    def members(self) -> Mapping[str, User]:
        """Who is in the room, by user id, as far as the server last said."""
        return self._reading.members

    @property
    def member_count(self) -> int:
        """How many are in the room; in very large rooms more than `members` lists."""
        return self._reading.member_count

    @property
    def position(self) -> Position | None:
        """The last message that arrived here, for `Chat.join(since=...)`. None before the first join was answered."""
        return self._reading.position

    async def joined(self) -> Self:
        """Wait until the server has let us in for the first time.

        Raises:
            Refused: it did not. Closed: the chat ended before.
        """
        while not self._reading.joined_before:
            if self.ended:
                raise self._reading.error or Closed(None, "the room was left")
            await self._woken()
        return self

    async def send(self, text: str, *, cid: str | None = None, give_up_after: float | None = None) -> Stored:
        """Say something here; see Chat.send."""
        return await self._chat.send(self.name, text, cid=cid, give_up_after=give_up_after)

    def leave(self) -> None:
        """Leave; see Chat.leave."""
        self._chat.leave(self.name)

    def __aiter__(self) -> Self:
        """Messages and gaps. Two loops over one room share its events between them."""
        return self

    async def __anext__(self) -> Message | Gap:
        """The next message or gap. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: the room was left or the chat closed.
            Refused: the server let us in no longer. Closed: the server ended the connection for good.
        """
        while True:
            event = await self._next()
            if isinstance(event, Message | Gap):
                return event

    async def events(self) -> AsyncIterator[Event]:
        """Messages and gaps, and also Presence, Typing and Deleted, which a slow reader may miss."""
        while True:
            try:
                yield await self._next()
            except StopAsyncIteration:
                return

    async def _next(self) -> Event:
        while True:
            event = self._shell.core.take(self._reading, self._shell.now())
            self._shell.perform(poke=False)
            if event is not None:
                return event
            if self.ended:
                if self._reading.error is not None:
                    raise self._reading.error
                raise StopAsyncIteration
            await self._woken()

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"The url {url!r} must look like http://127.0.0.1:8000 or wss://chat.example.org/ws.")
    path = parts.path if parts.path not in {"", "/"} else "/ws"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
