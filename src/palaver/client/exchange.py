"""What travels over one connection after the other: frames are taken in, requests are written, both have effects.

The lower half of the client's core; palaver.client.connection is its face. On each new connection every room is joined
again with `since` and `sent`, and only then what is queued is written.

Refuses to do: IO, clocks, tasks. Invariants: every posted message is resolved exactly once; after ENDED nothing is
asked for any more.
"""

from collections.abc import Callable
from typing import Any

from palaver.chat.records import Message
from palaver.client.effects import Answer, Deliver, Dial, Effect, Hang, Moved, Renew, Resolve, Write
from palaver.client.errors import ClientError, Closed, Refused
from palaver.client.events import Deleted, Link, Stored, Typing, User
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


class Exchange:
    """Rooms, questions and messages, over whatever the link below them goes through."""

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
