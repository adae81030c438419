"""Joining, leaving, reading and saying something.

Life of a message: `send` checks it and asks the log to append it; when the log has committed it, `stored` shows it to
the room and acknowledges it. Nothing is shown or acknowledged before. Life of a join: the fates of the client's sends
are looked up if it asked, the room is loaded if it is not in memory, then one reply holds the whole picture; the log
answers in order, so nothing can fall between the picture and the first push.

Refuses to do: identity, moderation's decisions. Invariant: each request is answered exactly once while its connection
lives.
"""

from msgspec import UNSET, Raw

from palaver.chat import replies, requests
from palaver.chat.commands import Commands, is_command
from palaver.chat.effects import (
    Append,
    Broadcast,
    Failed,
    Fates,
    Found,
    Load,
    Loaded,
    Obey,
    Page,
    Paged,
    Redact,
    Save,
    Stored,
    Urgency,
)
from palaver.chat.errors import Scope
from palaver.chat.limits import SlidingWindow, milliseconds
from palaver.chat.membership import Membership
from palaver.chat.moderation import Moderation
from palaver.chat.names import room_problem, text_problem
from palaver.chat.records import Message, is_ours
from palaver.chat.rights import Action
from palaver.chat.rooms import Loading, Room
from palaver.chat.session import Session
from palaver.chat.state import State

_RETRY_MS = 1_000  # after `unavailable`: time enough for a disk to be back, and not so long that people give up
_LOADING, _MESSAGE = Loading.LOADING, Urgency.MESSAGE  # looked up for every message, and slowly where they are
_RESERVED = "~"  # rooms of the server itself: only an operator may enter

FatesBySend = dict[str, int | None]


class Conversation:
    """What happens in rooms."""

    def __init__(self, state: State, membership: Membership, moderation: Moderation, message_ids: "MessageIds") -> None:
        self._state = state
        self._membership = membership
        self._moderation = moderation
        self._commands = Commands(state)
        self._message_ids = message_ids

    # ---- joining ----

    def join(self, session: Session, request: requests.Join, now: float) -> None:
        """Answer with the room's picture, now or when the log has delivered what it needs."""
        assert session.person is not None
        if not self._may_enter(session, request, now):
            return
        if not request.sent:
            self._enter_when_loaded(session, request, None, now)
            return
        if session.joining is None:
            session.joining = {}
        session.joining[request.id] = request
        user = session.person.user.id
        self._state.out.append(Fates(session.connection, request.id, request.room, user, request.sent))

    def found(self, result: Found, now: float) -> None:
        """The fates of a joiner's sends are known: go on with the join."""
        session = self._state.sessions.get(result.job.connection)
        request = session.joining.pop(result.job.re, None) if session is not None and session.joining else None
        if session is not None and request is not None:
            self._enter_when_loaded(session, request, result.seqs, now)

    def loaded(self, result: Loaded, now: float) -> None:
        """A room's kept messages are here: everybody who waits may enter."""
        room = self._state.rooms.get(result.job.room)
        if room is None or room.state is Loading.READY:
            return
        room.ring.fill(result.messages, result.seq)
        room.state = Loading.READY
        waiting, room.waiting = room.waiting, []
        for session, request, fates in waiting:
            if self._lives(session):
                self._enter(session, room, request, fates, now)
        self._membership.drop_if_empty(room)

    def _may_enter(self, session: Session, request: requests.Join, now: float) -> bool:
        if not self._may_read(session, request.id, request.room, now):
            return False
        most = self._state.settings.rooms
        if request.room not in session.rooms and len(session.rooms) + len(session.joining or ()) >= most:
            text = f"A connection may be in {most} rooms. Leave one first."
            self._state.refuse(session, request.id, "too_many_rooms", text, now)
            return False
        return True

    def _enter_when_loaded(
        self, session: Session, request: requests.Join, fates: FatesBySend | None, now: float
    ) -> None:
        room = self._state.rooms.get(request.room)
        if room is not None and room.state is Loading.READY:
            self._enter(session, room, request, fates, now)
            return
        if room is None:
            room = self._state.new_room(request.room, now)
            self._state.out.append(Load(request.room))
        room.waiting.append((session, request, fates))

    def _enter(
        self, session: Session, room: Room, request: requests.Join, fates: FatesBySend | None, now: float
    ) -> None:
        if not self._may_enter(session, request, now):  # much may have changed while the log was asked
            return
        self._membership.enter(session, room, now)
        picture = room.ring.picture(request.since, self._state.epoch, self._state.wall_ms(now))
        sent = {cid: None if seq is None else replies.SentAs(seq) for cid, seq in (fates or {}).items()}
        self._state.counts["recovered", picture.recovered] += 1
        self._state.counts["replayed", picture.recovered] += len(picture.messages)
        self._state.send(
            session,
            replies.JoinAck(
                re=request.id,
                room=room.name,
                epoch=self._state.epoch,
                seq=room.ring.seq,
                members=self._membership.list(room),
                member_count=len(room.members),
                messages=picture.messages,
                recovered=picture.recovered,
                gap=picture.gap,
                sent=UNSET if fates is None else sent,
            ),
            now,
        )

    # ---- leaving and typing ----

    def leave(self, session: Session, request: requests.Leave, now: float) -> None:
        """Leave at once, without a grace period."""
        room = self._joined(session, request.id, request.room, now)
        if room is not None:
            self._membership.leave(session, room, now, grace=False)
            self._state.send(session, replies.RoomAck(request.id, request.room), now)

    def typing(self, session: Session, request: requests.Typing, now: float) -> None:
        """Tell the others. Never stored, and the first to be dropped."""
        room = self._joined(session, request.id, request.room, now)
        if room is None or session.person is None:
            return
        frame = replies.encode(replies.Typing(room.name, session.person.user))
        self._state.out.append(Broadcast(room.name, frame, Urgency.TYPING, skip=session.connection))
        self._state.send(session, replies.RoomAck(request.id, request.room), now)

    # ---- reading ----

    def history(self, session: Session, request: requests.History, now: float) -> None:
        """Answer from memory where the room is there, else from the log."""
        if not self._may_read(session, request.id, request.room, now):
            return
        room = self._state.rooms.get(request.room)
        if room is None or room.state is Loading.LOADING:
            page = Page(session.connection, request.id, request.room, request.before, request.after, request.limit)
            self._state.out.append(page)
            return
        wall_ms = self._state.wall_ms(now)
        messages, complete = room.ring.page(request.before, request.after, request.limit, wall_ms)
        ack = replies.HistoryAck(request.id, request.room, self._state.epoch, messages, complete)
        self._state.send(session, ack, now)

    def paged(self, result: Paged, now: float) -> None:
        """The log read a page."""
        job, session = result.job, self._state.sessions.get(result.job.connection)
        if session is not None:
            messages = [Raw(replies.encode(message)) for message in result.messages]
            ack = replies.HistoryAck(job.re, job.room, self._state.epoch, messages, result.complete)
            self._state.send(session, ack, now)

    # ---- saying something ----

    def send(self, session: Session, request: requests.Send, now: float) -> None:
        """Check a message and ask the log to store it."""
        state, person = self._state, session.person
        assert person is not None
        room = session.rooms.get(request.room)
        if not self._may_speak(session, room, request, now):
            return
        problem = text_problem(request.text, state.settings.text_chars)
        if problem is not None:
            state.refuse(session, request.id, "invalid_text", problem, now, field="text")
            return
        if not self._within_limits(session, room or state.rooms.get(request.room), request, now):
            return
        command = is_command(request.text) and not is_ours(person.user)
        job = Append(  # by place: names cost as much again
            session.connection,
            request.id,
            request.room,
            person.user,
            request.text,
            request.cid,
            self._message_ids.next(),
            state.wall_ms(now),
            command,
            now,
        )
        if command:
            self._commands.propose(session, job, now)
        else:
            state.out.append(job)

    def stored(self, result: Stored, now: float) -> None:
        """The log has committed a message: show it to the room and acknowledge it."""
        state, job = self._state, result.job
        window = self._window(job.user.id)
        if result.duplicate:
            if window is not None:
                window.give_back(job.accepted)
            state.counts["sends", "duplicate"] += 1
        else:
            state.counts["sends", "stored"] += 1
            self._show(result, now)
        if job.command:
            state.out.append(Obey(job, result.seq, result.mid, result.duplicate))
        session = state.sessions.get(job.connection)
        if session is None:
            return
        rate = None if window is None else replies.Rate(window.remaining(now), milliseconds(window.reset(now)))
        ack = replies.SendAck(  # by place, as above
            job.re,
            job.room,
            result.seq,
            state.epoch,
            result.mid,
            result.time,
            result.duplicate,
            state.durability,
            rate,
        )
        state.send(session, ack, now, overtakable=True)

    def failed(self, result: Failed, now: float) -> None:
        """The log could not do a job: nothing happened, and whoever asked may ask again."""
        job = result.job
        if isinstance(job, Load):
            self._load_failed(job, now)
            return
        session = self._state.sessions.get(job.connection)
        if isinstance(job, Append):
            window = self._window(job.user.id)
            if window is not None:
                window.give_back(job.accepted)
            self._state.counts["sends", "unavailable"] += 1
        elif isinstance(job, Fates) and session is not None and session.joining:
            session.joining.pop(job.re, None)
        if session is not None:
            self._unavailable(session, job.re, now, writing=isinstance(job, Append | Redact | Save))

    def _show(self, result: Stored, now: float) -> None:
        job = result.job
        room = self._state.rooms.get(job.room)
        if room is None or room.state is _LOADING:
            return  # nobody is in it; whoever comes gets the message from the log
        message = Message(job.room, result.seq, self._state.epoch, result.mid, result.time, job.user, job.text, job.cid)
        frame = replies.encode(message)
        room.ring.append(result.seq, result.time, frame)
        room.last_broadcast = now
        self._state.out.append(Broadcast(job.room, frame, _MESSAGE, result.seq))

    def _load_failed(self, job: Load, now: float) -> None:
        room = self._state.rooms.get(job.room)
        if room is None or room.state is Loading.READY:
            return
        waiting, room.waiting = room.waiting, []
        for session, request, _ in waiting:
            if self._lives(session):
                self._unavailable(session, request.id, now, writing=False)
        self._membership.drop_if_empty(room)

    def _unavailable(self, session: Session, re: str, now: float, *, writing: bool) -> None:
        text = "The store is not available; nothing was stored." if writing else "The store cannot be read now."
        self._state.refuse(session, re, "unavailable", f"{text} Try again.", now, retry_after_ms=_RETRY_MS)

    # ---- what stands in the way ----

    def _lives(self, session: Session) -> bool:
        return self._state.sessions.get(session.connection) is session

    def _joined(self, session: Session, re: str, room_name: str, now: float) -> Room | None:
        room = session.rooms.get(room_name)
        if room is None:
            problem = room_problem(room_name)
            if problem is not None:
                self._state.refuse(session, re, "invalid_room", problem, now, field="room")
            else:
                self._state.refuse(session, re, "not_joined", f"This connection is not in {room_name}.", now)
        return room

    def _may(self, session: Session, re: str, action: Action, room: str, now: float) -> bool:
        problem = room_problem(room)
        if problem is not None:
            self._state.refuse(session, re, "invalid_room", problem, now, field="room")
            return False
        reserved = room.startswith(_RESERVED) and not session.rights.operator
        if reserved or not session.rights.allows(action, room):
            self._state.refuse(session, re, "forbidden", f"You may not {action} in {room}.", now)
            return False
        return True

    def _may_read(self, session: Session, re: str, room: str, now: float) -> bool:
        assert session.person is not None
        if not self._may(session, re, "join", room, now):
            return False
        if self._moderation.is_banned(room, session.person.user.id, now):
            self._state.refuse(session, re, "forbidden", f"You are banned from {room}.", now)
            return False
        return True

    def _may_speak(self, session: Session, room: Room | None, request: requests.Send, now: float) -> bool:
        """Whether the user may say anything in the room; a room that was joined has a good name."""
        assert session.person is not None
        if room is None:
            if not session.http:
                self._joined(session, request.id, request.room, now)
                return False
            if not self._may(session, request.id, "send", request.room, now):
                return False
        elif not session.rights.allows("send", request.room):
            self._state.refuse(session, request.id, "forbidden", f"You may not send in {request.room}.", now)
            return False
        if self._moderation.silences(request.room, session.person.user.id, now):
            self._state.refuse(session, request.id, "forbidden", f"You may not speak in {request.room} now.", now)
            return False
        return True

    def _within_limits(self, session: Session, room: Room | None, request: requests.Send, now: float) -> bool:
        """Look at every limit before taking from any, so that a refusal costs nothing."""
        state = self._state
        assert session.person is not None
        user = session.person.user.id
        pause = self._moderation.pause_seconds(request.room, now)
        slowed = pause > 0 and room is not None and not session.rights.allows("moderate", request.room)
        if room is not None and slowed and (wait := room.said.get(user, now) - now) > 0:
            return self._too_often(session, request, "room", wait, "This room is in slow mode.", now)
        window, settings = self._window(user), state.settings
        if window is not None and (wait := window.wait(now)) > 0:
            text = f"At most {settings.messages} messages in {settings.per_seconds:g} s."
            return self._too_often(session, request, "user", wait, text, now)
        if room is not None and state.room_bucket is not None:
            if (wait := state.room_bucket.wait(room.bucket, now)) > 0:
                return self._too_often(session, request, "room", wait, "There is too much going on in this room.", now)
            room.bucket = state.room_bucket.take(room.bucket, now)
        if window is not None:
            window.take(now)
        if room is not None and slowed:
            room.said[user] = now + pause
        return True

    def _too_often(
        self, session: Session, request: requests.Send, scope: Scope, wait: float, text: str, now: float
    ) -> bool:
        after = milliseconds(wait)
        text = f"{text} Try again in {after} ms."
        self._state.refuse(session, request.id, "rate_limited", text, now, retry_after_ms=after, scope=scope)
        return False

    def _window(self, user: str) -> SlidingWindow | None:
        return None if self._state.windows is None else self._state.windows.of(user)


class MessageIds:
    """Ids of messages: never the same twice, also after a restart (the prefix is drawn anew) and on other nodes."""

    __slots__ = ("_count", "_prefix")

    def __init__(self, prefix: bytes) -> None:
        self._prefix = f"m-{prefix.hex()}-"
        self._count = 0

    def next(self) -> str:
        """One more id."""
        self._count += 1
        return f"{self._prefix}{self._count:x}"
