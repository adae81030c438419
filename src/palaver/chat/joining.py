"""Joining a room.

Life of a join: the fates of the client's sends are looked up if it asked, the room is loaded if it is not in memory,
then one reply holds the whole picture; the log answers in order, so nothing can fall between the picture and the first
push.

Refuses to do: presence (palaver.chat.membership). Invariant: each join is answered exactly once while its connection
lives.
"""

from msgspec import UNSET

from palaver.chat import replies, requests
from palaver.chat.effects import Fates, Found, Load, Loaded
from palaver.chat.membership import Membership
from palaver.chat.permission import Permission
from palaver.chat.rooms import Loading, Room
from palaver.chat.session import Session
from palaver.chat.state import State

FatesBySend = dict[str, int | None]


class Joining:
    """How people come into rooms."""

    def __init__(self, state: State, membership: Membership, permission: Permission) -> None:
        self._state = state
        self._membership = membership
        self._permission = permission

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
        self._state.hold(session)

    def found(self, result: Found, now: float) -> None:
        """The fates of a joiner's sends are known: go on with the join."""
        session = self._state.sessions.get(result.job.connection)
        if session is None:
            return
        request = session.joining.pop(result.job.re, None) if session.joining else None
        if request is not None and self._may_enter(session, request, now):  # much may have changed meanwhile
            self._enter_when_loaded(session, request, result.seqs, now)
        self._state.release(session)

    def loaded(self, result: Loaded, now: float) -> None:
        """A room's kept messages are here: everybody who waits may enter."""
        room = self._state.rooms.get(result.job.room)
        if room is None or room.state is Loading.READY:
            return
        room.ring.fill(result.messages, result.seq)
        room.state = Loading.READY
        answered = 0
        try:
            for session, request, fates in room.waiting:
                if self._lives(session):
                    if self._may_enter(session, request, now):
                        self._enter(session, room, request, fates, now)
                    self._state.release(session)
                answered += 1
        finally:
            del room.waiting[:answered]  # after a fault of ours, `load_failed` answers the others
        self._membership.drop_if_empty(room)

    def load_failed(self, job: Load, now: float) -> None:
        """A room could not be read: whoever waits for it may ask again."""
        room = self._state.rooms.get(job.room)
        if room is None:
            return
        waiting, room.waiting = room.waiting, []
        for session, request, _ in waiting:
            if self._lives(session):
                self._state.unavailable(session, request.id, now, writing=False)
                self._state.release(session)
        self._membership.drop_if_empty(room)

    def fates_failed(self, job: Fates, now: float) -> None:
        """Fates could not be looked up: the joiner may ask again."""
        session = self._state.sessions.get(job.connection)
        if session is not None:
            if session.joining:
                session.joining.pop(job.re, None)
            self._state.unavailable(session, job.re, now, writing=False)
            self._state.release(session)

    def _may_enter(self, session: Session, request: requests.Join, now: float) -> bool:
        if not self._permission.may_read(session, request.id, request.room, now):
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
        self._state.hold(session)

    def _enter(
        self, session: Session, room: Room, request: requests.Join, fates: FatesBySend | None, now: float
    ) -> None:
        self._membership.enter(session, room, now)
        picture = room.ring.picture(request.since, self._state.epoch, self._state.wall_ms(now))
        sent = {cid: None if seq is None else replies.SentAs(seq) for cid, seq in (fates or {}).items()}
        self._state.counts["recovered", picture.recovered] += 1
        self._state.counts["replayed", picture.recovered] += picture.replayed
        self._state.send(
            session,
            replies.JoinAck(
                re=request.id,
                room=room.name,
                epoch=self._state.epoch,
                seq=room.ring.seq,
                members=room.listed(self._state.settings.presence_members),
                member_count=len(room.members),
                messages=picture.messages,
                recovered=picture.recovered,
                gap=picture.gap,
                sent=UNSET if fates is None else sent,
            ),
            now,
        )

    def _lives(self, session: Session) -> bool:
        return self._state.sessions.get(session.connection) is session
