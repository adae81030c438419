"""The client's core: decides, and does nothing. Feed it what happened, then do what `effects()` returns.

    connection.start(now); connection.opened(link, now); connection.received(link, data, now); connection.lost(link, …)
    connection.join(…); connection.post(…); connection.take(…)          what the program wants
    connection.tick(now) at connection.deadline()                       what the time wants
    for effect in connection.effects(): …                               after each of them

It joins two halves: the Lifeline (one connection after the other) and, above it, rooms and outbox, which outlive every
connection. On each new one it joins every room again with `since` and `sent`, and only then writes what is queued.

Refuses to do: IO, clocks, tasks, randomness. Invariants: every posted message is resolved exactly once; inputs of an
earlier link are ignored; after ENDED nothing is asked for any more.
"""

from collections.abc import Callable
from typing import Any

from palaver.chat.records import Message, Position
from palaver.client.effects import Answer, Deliver, Dial, Effect, Hang, Moved, Renew, Resolve, Write
from palaver.client.errors import ClientError, Closed, NotJoined, ProtocolError, Refused
from palaver.client.events import Deleted, Event, Link, Stored, Typing, User
from palaver.client.link import Identity, Lifeline, Policy
from palaver.client.outbox import Outbox, Settled
from palaver.client.requests import Asked, Requests
from palaver.client.room import Phase, Reading
from palaver.client.wire import (
    Ack,
    AuthAck,
    DeletedPush,
    Error,
    Hello,
    HistoryAck,
    JoinAck,
    Notice,
    Ping,
    PresencePush,
    SendAck,
    TypingPush,
    decode,
    decode_ack,
    encode,
)

_ROOM_RETRY_SECONDS = 1.0  # where a refused join may be repeated and the server names no wait


class Connection:
    """The core. One instance for the life of a client, over any number of network connections."""

    def __init__(self, identity: Identity, policy: Policy, random: Callable[[], float]) -> None:
        self._line = Lifeline(identity, policy, random)
        self._policy = policy
        self._outbox = Outbox(policy.outbox, policy.window)
        self.rooms: dict[str, Reading] = {}
        self._requests = Requests()
        self._questions: dict[str, dict[str, Any]] = {}  # asked with history(), also over a reconnect
        self._out: list[Effect] = []
        self._link = 0
        self._shown = Link.IDLE

    # ---- what happened ---------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to connect."""
        self._line.start(now)
        self._settle(now)

    def opened(self, link: int, now: float) -> None:
        """The network connection of this link is open."""
        if link == self._link and self._line.state is Link.DIALLING:
            self._line.opened(now)
            self._settle(now)

    def received(self, link: int, data: bytes | str, now: float) -> None:
        """One text frame arrived. A frame that is not protocol version 1 makes the link be replaced, never an error."""
        if link != self._link or not self._line.connected:
            return
        self._line.heard(now)
        try:
            self._receive(data, now)
        except ProtocolError as error:
            self._line.last_error = Refused("protocol", str(error))
            self._line.broken(now)
        self._settle(now)

    def lost(self, link: int, code: int | None, reason: str, now: float) -> None:
        """The network connection is gone or was never made. `code` is None where there was no close frame."""
        if link == self._link:
            self._line.lost(code, reason, now)
            self._settle(now)

    def renewed(self, token: str, now: float) -> None:
        """The answer to Renew."""
        self._line.renewed(token, now)
        self._settle(now)

    def renewal_failed(self, reason: str, now: float) -> None:
        """The answer to Renew."""
        self._line.renewal_failed(reason, now)
        self._settle(now)

    def tick(self, now: float) -> None:
        """The time is `now`. To be called at `deadline()`; earlier does no harm."""
        self._line.tick(now)
        oldest = self._requests.oldest()
        if oldest is not None and oldest + self._policy.answer_timeout <= now:
            self._line.broken(now)
        self._resolve(self._outbox.expire(now))
        self._settle(now)

    def deadline(self, now: float) -> float | None:
        """When to call `tick` next."""
        times = [self._line.deadline(), self._outbox.deadline(self._open_rooms(), now)]
        oldest = self._requests.oldest()
        if oldest is not None:
            times.append(oldest + self._policy.answer_timeout)
        if self._line.state is Link.READY:
            times.extend(room.retry_at for room in self.rooms.values() if room.phase is Phase.APART)
        return min((time for time in times if time is not None), default=None)

    # ---- what the program wants ------------------------------------------------------------------------------------

    def join(self, name: str, *, since: Position | None, history: bool, now: float) -> Reading:
        """Be in a room from now on, over every reconnect. A room that is joined already is returned as it is."""
        reading = self.rooms.get(name)
        if reading is None:
            reading = Reading(name, since=since, history=history, capacity=self._policy.inbox)
            if self._line.state is Link.ENDED:
                reading.end(self._line.error)
            else:
                self.rooms[name] = reading
                self._settle(now)
        return reading

    def leave(self, name: str, now: float) -> None:
        """Be in the room no longer. Queued messages are given back as NotSent. Idempotent."""
        reading = self.rooms.pop(name, None)
        if reading is None:
            return
        if reading.present or reading.phase is Phase.JOINING:
            self._ask("leave", {"room": name}, Asked("other", now))
        self._end_room(reading, None, "the room was left")
        self._settle(now)

    def post(self, room: str, text: str, cid: str, *, expires_at: float | None, now: float) -> None:
        """Say something, as soon as may be. Its one Resolve follows.

        Raises:
            NotJoined, OutboxFull, Closed: nothing was queued.
            ValueError: the text has a lone surrogate, or the `cid` is on its way already.
        """
        if self._line.state is Link.ENDED:
            raise self._line.error or Closed(None, "the chat is closed")
        if room not in self.rooms:
            raise NotJoined(room)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"The text cannot be sent: {error}.") from None
        self._outbox.post(room, text, cid, expires_at)
        self._settle(now)

    def withdraw(self, cid: str, now: float) -> None:
        """Give a message up; nothing happens if it is settled."""
        settled = self._outbox.withdraw(cid, "it was withdrawn")
        self._resolve([] if settled is None else [settled])
        self._settle(now)

    def history(self, room: str, *, before: int | None, after: int | None, limit: int, now: float) -> str:
        """Ask for a page; returns the question's id, which the one Answer carries. Asked again after a reconnect."""
        if self._line.state is Link.ENDED:
            raise self._line.error or Closed(None, "the chat is closed")
        if len(self._questions) >= self._policy.questions:
            raise ClientError(f"{self._policy.questions} calls of history() are waiting already: await some of them.")
        question = self._requests.next_id()
        fields = self._questions[question] = {"room": room, "before": before, "after": after, "limit": limit}
        if self._line.state is Link.READY:
            self._ask("history", fields, Asked("history", now, room), question)
        return question

    def forget(self, question: str) -> None:
        """Nobody waits for this answer any more."""
        self._questions.pop(question, None)

    def typing(self, room: str, now: float) -> None:
        """Tell the others that the user is writing; dropped where the room is not joined just now."""
        reading = self.rooms.get(room)
        if reading is not None and reading.present:
            self._ask("typing", {"room": room}, Asked("other", now))

    def take(self, reading: Reading, now: float) -> Event | None:
        """The next event of a room, or None if there is none now."""
        event = reading.take()
        if reading.phase is Phase.FILLING:
            self._settle(now)
        return event

    def close(self, now: float) -> None:
        """End. What is unsettled is resolved at once, as NotSent or Unknown."""
        self._line.close()
        self._settle(now)

    def effects(self) -> list[Effect]:
        """What is to be done now, in this order; each effect is returned once."""
        out, self._out = self._out, []
        return out

    @property
    def state(self) -> Link:
        """The state of the link."""
        return self._line.state

    @property
    def user(self) -> User | None:
        """Who the server says we are; None before the first answer."""
        return self._line.user

    @property
    def hello(self) -> Hello | None:
        """The newest hello of the server."""
        return self._line.hello

    @property
    def error(self) -> Closed | None:
        """Why it ended, where it was not the program's wish."""
        return self._line.error

    @property
    def dial_at(self) -> float | None:
        """When the next attempt is made, where the link is WAITING."""
        return self._line.dial_at

    @property
    def last_error(self) -> Refused | None:
        """The newest error that was not the answer to a request of the program."""
        return self._line.last_error

    @property
    def session(self) -> str | None:
        """A guest's secret, with which another client can be the same user."""
        return self._line.identity.session

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes | str, now: float) -> None:
        match decode(data):
            case Ack(re):
                if (asked := self._requests.answered(re)) is not None:
                    self._acked(re, asked, data, now)
            case Error() as frame:
                self._refused(frame, now)
            case Ping():
                self._out.append(Write(encode("pong", {})))
            case Hello() as hello:
                self._line.greeted(hello, now)
                self._outbox.limit(hello.limits.messages, hello.limits.per_seconds)
            case Notice() as notice:
                self._line.noticed(notice, now)
            case None:
                pass  # a type of a later version
            case push:
                self._to_room(push.room, lambda room: _tell(room, push))

    def _to_room(self, name: str, do: Callable[[Reading], None]) -> None:
        room = self.rooms.get(name)
        if room is not None:
            do(room)
            self._out.append(Deliver(name))

    def _acked(self, question: str, asked: Asked, data: bytes | str, now: float) -> None:
        match asked.kind:
            case "auth":
                entering = self._line.state is Link.ENTERING
                self._line.entered(decode_ack(data, AuthAck), now)
                if entering:
                    for re, fields in self._questions.items():
                        self._ask("history", fields, Asked("history", now, fields["room"]), re)
            case "join":
                self._joined(asked.room, decode_ack(data, JoinAck), now)
            case "page":
                page = decode_ack(data, HistoryAck)
                self._to_room(asked.room, lambda room: room.paged(page))
            case "history":
                if self._questions.pop(question, None) is not None:
                    self._out.append(Answer(question, decode_ack(data, HistoryAck)))
            case "send":
                self._stored(asked, decode_ack(data, SendAck), now)

    def _joined(self, name: str, ack: JoinAck, now: float) -> None:
        room = self.rooms.get(name)
        if room is None or room.phase is not Phase.JOINING or self._line.user is None:
            return
        room.joined(ack)
        fates = {cid: None if fate is None else fate.seq for cid, fate in ack.sent.items()}
        self._resolve(self._outbox.fates(name, fates, self._line.user.id, ack.epoch, now))
        self._out.append(Deliver(name))

    def _stored(self, asked: Asked, ack: SendAck, now: float) -> None:
        assert asked.entry is not None, "a send has its entry"
        entry = asked.entry
        outcome = Stored(entry.room, entry.cid, ack.seq, ack.epoch, ack.mid, ack.time, ack.durability)
        settled = self._outbox.acked(entry, outcome, duplicate=ack.duplicate, now=now)
        self._resolve([] if settled is None else [settled])

    def _refused(self, frame: Error, now: float) -> None:
        error = frame.exception()
        asked = self._requests.answered(frame.re)
        if asked is None:
            self._line.last_error = error
            return
        room = self.rooms.get(asked.room)
        match asked.kind:
            case "auth":
                self._line.auth_refused(error, now)
            case "history":
                if self._questions.pop(frame.re or "", None) is not None:
                    self._out.append(Answer(frame.re or "", error))
            case "send":
                self._send_refused(asked, error, room, now)
            case "join" | "page" if room is not None and room.phase is not Phase.ENDED:
                if error.retryable or (asked.kind == "page" and error.code == "not_joined"):
                    wait = _ROOM_RETRY_SECONDS if error.retry_after_ms is None else error.retry_after_ms / 1000
                    room.apart(now + wait)
                else:
                    self.rooms.pop(asked.room)
                    self._end_room(room, error, "the room cannot be joined any more")

    def _send_refused(self, asked: Asked, error: Refused, room: Reading | None, now: float) -> None:
        assert asked.entry is not None, "a send has its entry"
        if error.code == "not_joined" and room is not None:
            room.apart()  # the server and we disagree: a join puts that right, and nothing was stored
            error = Refused(error.code, error.message, retryable=True, retry_after_ms=0, scope="room")
        settled = self._outbox.refused(asked.entry, error, now)
        self._resolve([] if settled is None else [settled])

    # ---- asking ----------------------------------------------------------------------------------------------------

    def _ask(self, frame: str, fields: dict[str, Any], asked: Asked, re: str | None = None) -> None:
        self._out.append(Write(self._requests.ask(frame, fields, asked, re)))

    def _open_rooms(self) -> list[str]:
        """The rooms in which may be written now."""
        if self._line.state is not Link.READY:
            return []
        return [name for name, room in self.rooms.items() if room.present]

    def _settle(self, now: float) -> None:
        """After every input: carry out the link's wishes, show its state, and write what can be written."""
        wants, self._line.wants = self._line.wants, []
        for want in wants:
            match want:
                case "dial":
                    self._link += 1
                    self._out.append(Dial(self._link))
                case "renew":
                    self._out.append(Renew())
                case "auth":
                    self._ask("auth", self._line.identity.fields(), Asked("auth", now))
                case "hang":
                    self._out.append(Hang())
        if self._line.state is not self._shown:
            self._shown = self._line.state
            self._out.append(Moved(self._shown))
        if not self._line.connected:
            self._disconnected()
        if self._line.state is Link.READY and self._line.user is not None:
            self._write_rooms(now)
            self._write_messages(now, self._line.user)

    def _write_rooms(self, now: float) -> None:
        for room in self.rooms.values():
            if room.phase is Phase.APART and room.retry_at <= now:
                room.phase = Phase.JOINING
                self._requests.forget_pages(room.name)
                since = None if room.position is None else {"epoch": room.position.epoch, "seq": room.position.seq}
                sent = self._outbox.doubtful(room.name) or None
                self._ask("join", {"room": room.name, "since": since, "sent": sent}, Asked("join", now, room.name))
            elif room.phase is Phase.FILLING and not self._requests.paging(room.name):
                fields = {"room": room.name, "after": room.page_after(), "limit": 100}
                self._ask("history", fields, Asked("page", now, room.name))

    def _write_messages(self, now: float, user: User) -> None:
        for entry in self._outbox.due(self._open_rooms(), now):
            position = self.rooms[entry.room].position
            assert position is not None, "a room that is present has a position"
            self._outbox.written(entry, user.id, position.epoch, now)
            fields = {"room": entry.room, "text": entry.text, "cid": entry.cid}
            self._ask("send", fields, Asked("send", now, entry.room, entry))

    def _disconnected(self) -> None:
        """No network connection any more: nothing will be answered, every room is apart, sends are in doubt."""
        if self._requests.clear():
            self._outbox.lost()
        for room in self.rooms.values():
            room.apart()
        if self._line.state is Link.ENDED:
            self._end_all()

    def _end_all(self) -> None:
        error = self._line.error
        for room in list(self.rooms.values()):
            self._end_room(room, error, "the connection ended")
        self.rooms = {}
        for question in self._questions:
            self._out.append(Answer(question, error or Closed(None, "the chat was closed")))
        self._questions = {}

    def _end_room(self, room: Reading, error: ClientError | None, reason: str) -> None:
        room.end(error)
        self._resolve(self._outbox.end(room.name, error if isinstance(error, Refused) else None, reason))
        self._out.append(Deliver(room.name))

    def _resolve(self, settled: list[Settled]) -> None:
        self._out.extend(Resolve(entry.cid, outcome) for entry, outcome in settled)


def _tell(room: Reading, push: Message | PresencePush | TypingPush | DeletedPush) -> None:
    match push:
        case Message():
            room.pushed(push)
        case PresencePush():
            room.presence(push)
        case TypingPush():
            room.hint(Typing(push.room, push.user))
        case DeletedPush():
            room.hint(Deleted(push.room, push.seq, push.epoch))
