"""Saying something, reading, typing and leaving.

Life of a message: `send` checks it and asks the log to append it; when the log has committed it, `stored` shows it to
the room and acknowledges it. Nothing is shown or acknowledged before.

Refuses to do: identity, joining (palaver.chat.joining), moderation's decisions. Invariant: each request is answered
exactly once while its connection lives.
"""

from msgspec import Raw

from palaver.chat import replies, requests
from palaver.chat.commands import Commands, is_command
from palaver.chat.effects import (
    Append,
    Broadcast,
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
from palaver.chat.permission import Permission
from palaver.chat.records import Message, is_ours
from palaver.chat.rights import EVERYWHERE
from palaver.chat.rooms import Loading, Room
from palaver.chat.session import Session
from palaver.chat.state import State

_LOADING, _MESSAGE = Loading.LOADING, Urgency.MESSAGE  # looked up for every message, and slowly where they are


class Conversation:
    """What happens in rooms."""

    def __init__(self, state: State, membership: Membership, moderation: Moderation, permission: Permission) -> None:
        self._state = state
        self._membership = membership
        self._moderation = moderation
        self._permission = permission
        self._commands = Commands(state)

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
        typing = replies.Typing(room.name, session.person.user)
        self._state.broadcast(room.name, typing, Urgency.TYPING, skip=session.connection)
        self._state.send(session, replies.RoomAck(request.id, request.room), now)

    # ---- reading ----

    def history(self, session: Session, request: requests.History, now: float) -> None:
        """Answer from memory where the room is there, else from the log."""
        if not self._permission.may_read(session, request.id, request.room, now):
            return
        room = self._state.rooms.get(request.room)
        if room is None or room.state is Loading.LOADING:
            page = Page(session.connection, request.id, request.room, request.before, request.after, request.limit)
            self._state.out.append(page)
            self._state.hold(session)
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
            self._state.release(session)

    # ---- saying something ----

    def send(self, session: Session, request: requests.Send, now: float) -> None:
        """Check a message and ask the log to store it."""
        state, person, room, text = self._state, session.person, request.room, request.text
        assert person is not None
        user, moderated = person.user, room in self._moderation.rooms
        plain = room in session.rooms and not moderated and session.rights.send is EVERYWHERE  # as nearly always
        if not plain and not self._may_speak(session, request, now):
            return
        problem = text_problem(text, state.settings.text_chars)
        if problem is not None:
            state.refuse(session, request.id, "invalid_text", problem, now, field="text")
            return
        pace, window = state.paces.of(room), self._window(user.id)
        # No slow mode, and the room's bucket is empty: the user's window is the only limit.
        if not moderated and pace.arrival <= now and (window is None or window.admit(now)):
            pace.arrival = now + state.room_seconds
        elif not self._within_limits(session, request, now):
            return
        command = text[0] == "/" and is_command(text) and not is_ours(user)
        job = Append(  # by place: names cost as much again
            session.connection,
            request.id,
            room,
            user,
            text,
            request.cid,
            state.message_ids.next(),
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
            state.paces.of(job.room).give_back(job.user.id)
            state.sends["duplicate"] += 1
        else:
            state.sends["stored"] += 1
            self._show(result, now)
        if job.command:
            state.out.append(Obey(job, result.seq, result.mid, result.duplicate))
        session = state.sessions.get(job.connection)
        if session is None:
            return
        rate = None
        if window is not None:
            remaining, reset = window.standing(now)
            rate = replies.Rate(remaining, milliseconds(reset))
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

    def failed(self, job: Append | Page | Redact | Save, now: float) -> None:
        """The log could not do a job: nothing happened, and whoever asked may ask again."""
        if isinstance(job, Append):
            window = self._window(job.user.id)
            if window is not None:
                window.give_back(job.accepted)
            self._state.paces.of(job.room).give_back(job.user.id)
            self._state.sends["unavailable"] += 1
        session = self._state.sessions.get(job.connection)
        if session is not None:
            self._state.unavailable(session, job.re, now, writing=not isinstance(job, Page))
            if isinstance(job, Page):
                self._state.release(session)

    def _show(self, result: Stored, now: float) -> None:
        job = result.job
        room = self._state.rooms.get(job.room)
        if room is None or room.state is _LOADING:
            return  # nobody is in it; whoever comes gets the message from the log
        message = Message(job.room, result.seq, self._state.epoch, result.mid, result.time, job.user, job.text, job.cid)
        frame = replies.encode(message)
        room.ring.append(result.seq, result.time, frame)
        room.last_broadcast = now
        self._state.frames[Message] += 1
        self._state.out.append(Broadcast(job.room, frame, _MESSAGE, result.seq))

    # ---- what stands in the way ----

    def _joined(self, session: Session, re: str, room_name: str, now: float) -> Room | None:
        room = session.rooms.get(room_name)
        if room is None:
            problem = room_problem(room_name)
            if problem is not None:
                self._state.refuse(session, re, "invalid_room", problem, now, field="room")
            else:
                problem = f"This connection is not in {room_name}. Send `join` first."
                self._state.refuse(session, re, "not_joined", problem, now)
        return room

    def _may_speak(self, session: Session, request: requests.Send, now: float) -> bool:
        """Whether the user may say anything in the room; a room that was joined has a good name."""
        assert session.person is not None
        if request.room not in session.rooms:
            if not session.http:
                self._joined(session, request.id, request.room, now)
                return False
            if not self._permission.may(session, request.id, "send", request.room, now):
                return False
        elif not session.rights.allows("send", request.room):
            self._state.refuse(session, request.id, "forbidden", f"You may not send in {request.room}.", now)
            return False
        if self._moderation.silences(request.room, session.person.user.id, now):
            self._state.refuse(session, request.id, "forbidden", f"You may not speak in {request.room} now.", now)
            return False
        return True

    def _within_limits(self, session: Session, request: requests.Send, now: float) -> bool:
        """Look at every limit before taking from any, so that a refusal costs nothing."""
        state = self._state
        assert session.person is not None
        user = session.person.user.id
        pause = self._moderation.pause_seconds(request.room, now)
        slowed = pause > 0 and not session.rights.allows("moderate", request.room)
        if slowed and (wait := state.paces.of(request.room).pause(user, pause, now)) > 0:
            return self._too_often(session, request, "room", wait, "This room is in slow mode.", now)
        window, settings = self._window(user), state.settings
        if window is not None and (wait := window.wait(now)) > 0:
            text = f"At most {settings.messages} messages in {settings.per_seconds:g} s."
            return self._too_often(session, request, "user", wait, text, now)
        if state.room_bucket is not None:
            pace = state.paces.of(request.room)
            if (wait := state.room_bucket.wait(pace.arrival, now)) > 0:
                return self._too_often(session, request, "room", wait, "There is too much going on in this room.", now)
            pace.arrival = state.room_bucket.take(pace.arrival, now)
        if window is not None:
            window.take(now)
        if slowed:
            state.paces.of(request.room).spoke(user, pause, now)
        return True

    def _too_often(
        self, session: Session, request: requests.Send, scope: Scope, wait: float, text: str, now: float
    ) -> bool:
        after = milliseconds(wait)
        text = f"{text} Try again in {after} ms."
        self._state.refuse(session, request.id, "rate_limited", text, now, retry_after_ms=after, scope=scope)
        return False

    def _window(self, user: str) -> SlidingWindow | None:
        windows = self._state.windows
        return None if windows is None else windows.of(user)
