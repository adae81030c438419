"""From the first byte to a known user, and from there to the end of the connection.

Refuses to do: verifying tokens (that may need the network; it is the effect Authenticate), heartbeats. Invariants: a
connection becomes one user and never another; whatever ends a connection, its places in rooms are given up exactly
once.
"""

from palaver.chat import replies, requests
from palaver.chat.effects import Authenticate, Close, Connection
from palaver.chat.errors import CLOSES
from palaver.chat.identity import Identity, Refusal
from palaver.chat.limits import milliseconds
from palaver.chat.membership import Membership
from palaver.chat.names import name_problem
from palaver.chat.records import User
from palaver.chat.rights import GUEST, Rights
from palaver.chat.session import Phase, Session
from palaver.chat.state import State

PROTOCOL = 1
_TOO_MANY_CONNECTS = 4110


class Admission:
    """The one writer of sessions and of people."""

    def __init__(self, state: State, membership: Membership, *, node: str, server: str) -> None:
        self._state = state
        self._membership = membership
        self._node = node
        self._server = server
        settings = state.settings
        self._heartbeat = replies.Heartbeat(settings.heartbeat_interval_seconds, settings.heartbeat_timeout_seconds)
        self._limits = replies.Limits(
            frame_bytes=settings.frame_bytes,
            text_chars=settings.text_chars,
            rooms=settings.rooms,
            history=min(settings.history, 100),
            messages=settings.messages,
            per_seconds=settings.per_seconds,
        )

    def connected(self, connection: Connection, ip: str, now: float) -> None:
        """Greet a new connection, or turn it away if its address connects too often."""
        state = self._state
        session = Session(connection, ip, now, state.stall)
        bucket = state.ip_connect_bucket
        if bucket is not None:
            arrival = state.ip_connects.get(ip, 0.0)
            wait = bucket.wait(arrival, now)
            if wait > 0:
                after = milliseconds(wait)
                text = f"Too many connects from this address. Try again in {after} ms."
                state.refuse(session, None, "rate_limited", text, now, retry_after_ms=after, scope="ip")
                self._close(session, _TOO_MANY_CONNECTS)
                return
            state.ip_connects[ip] = bucket.take(arrival, now)
        state.sessions[connection] = session
        state.timers.set(session, now + state.settings.auth_timeout_seconds)
        state.send(session, self._hello(now), now)

    def connected_http(self, connection: Connection, ip: str, identity: Identity, now: float) -> None:
        """A request over HTTP, already verified: a connection that lives for one answer."""
        session = Session(connection, ip, now, self._state.stall, http=True)
        self._state.sessions[connection] = session
        self._admit(session, identity.user, identity.rights, guest=False, now=now)

    def auth(self, session: Session, request: requests.Auth, now: float) -> None:
        """Admit a guest, or have a token verified."""
        state = self._state
        if request.token is not None:
            if request.name is not None or request.session is not None:
                text = "With `token`, leave out `name` and `session`: the token has the name."
                field = "name" if request.name is not None else "session"
                state.refuse(session, request.id, "invalid_frame", text, now, field=field)
            else:
                state.out.append(Authenticate(session.connection, request.id, request.token))
            return
        if state.settings.auth == "token":
            text = "Guests are not allowed here; send a `token`."
            state.refuse(session, request.id, "unauthenticated", text, now, field="token")
            return
        self._guest(session, request, now)

    def authenticated(self, session: Session, re: str, verdict: Identity | Refusal, now: float) -> None:
        """A token was verified: admit its owner, or renew what a live connection may do."""
        state = self._state
        if isinstance(verdict, Refusal):
            retry = 1_000 if verdict.code == "unavailable" else None
            state.refuse(session, re, verdict.code, verdict.message, now, retry_after_ms=retry, field="token")
            return
        if session.person is not None and session.person.user.id != verdict.user.id:
            text = f"This connection belongs to {session.person.user.id}; connect anew to be somebody else."
            state.refuse(session, re, "forbidden", text, now)
            return
        session.expires, session.expires_ms = verdict.expires, verdict.expires_ms
        session.expiry_warned = False
        self._admit(session, verdict.user, verdict.rights, guest=False, now=now)
        state.send(session, replies.AuthAck(re, verdict.user, None, verdict.expires_ms), now)
        self._leave_forbidden_rooms(session, now)

    def gone(self, session: Session, now: float) -> None:
        """The connection is no more: give up its places, with grace, and forget it."""
        state = self._state
        del state.sessions[session.connection]
        state.timers.cancel(session)
        for room in list(session.rooms.values()):
            self._membership.leave(session, room, now, grace=True)
        person = session.person
        if person is None:
            return
        if person.guest and len(person.sessions) == 1 and state.windows is not None:
            state.windows.leave_behind(person.user.id, session.ip, now)
        session.person = None
        state.people.depart(person, session)

    def dismiss(self, session: Session, code: int, now: float) -> None:
        """End a connection. The error that explains it was sent."""
        self.gone(session, now)
        self._close(session, code)

    def _close(self, session: Session, code: int) -> None:
        session.enter(Phase.CLOSED)
        close = CLOSES[code]
        self._state.counts["closes", str(code)] += 1
        self._state.out.append(Close(session.connection, code, close.name))

    def _guest(self, session: Session, request: requests.Auth, now: float) -> None:
        state = self._state
        if request.name is None:
            state.refuse(session, request.id, "invalid_frame", "A guest needs a `name`.", now, field="name")
            return
        problem = name_problem(request.name)
        if problem is not None:
            state.refuse(session, request.id, "invalid_name", problem, now, field="name")
            return
        known = None if request.session is None else state.people.guest_of(request.session)
        if request.session is not None and known is None:
            text = "This `session` was not given out here; send `auth` without it to become a new guest."
            state.refuse(session, request.id, "invalid_token", text, now, field="session")
            return
        if session.person is not None and session.person.user.id != known:
            text = "This connection is authenticated; connect anew to be somebody else."
            state.refuse(session, request.id, "forbidden", text, now)
            return
        if not state.people.is_free(request.name, known):
            state.refuse(session, request.id, "name_taken", f"The name {request.name} is taken.", now, field="name")
            return
        user = User(known or state.people.new_guest_id(), request.name)
        if known is None and state.windows is not None:
            state.windows.take_over(user.id, session.ip, now)
        self._admit(session, user, GUEST, guest=True, now=now)
        secret = state.people.session_secret(user.id)
        state.send(session, replies.AuthAck(request.id, user, secret, None), now)

    def _admit(self, session: Session, user: User, rights: Rights, *, guest: bool, now: float) -> None:
        state = self._state
        session.rights = rights
        if session.person is None:
            session.person, renamed = state.people.arrive(user, session, guest=guest)
            session.enter(Phase.READY)
            session.awaiting_since = None
        else:
            renamed = state.people.rename(session.person, user)
        if renamed:
            self._membership.rename(session.person, now)
        if not session.http:
            # The vigil looks when the time for `auth` would have been over, and sets each later time.
            soon = 0.0 if session.expires is not None else state.settings.heartbeat_interval_seconds
            state.timers.set_at_latest(session, now + soon)

    def _leave_forbidden_rooms(self, session: Session, now: float) -> None:
        for room in list(session.rooms.values()):
            if not session.rights.allows("join", room.name):
                self._membership.leave(session, room, now, grace=False)
                text = f"The new token does not allow {room.name}."
                self._state.refuse(session, None, "forbidden", text, now, room=room.name)

    def _hello(self, now: float) -> replies.Hello:
        return replies.Hello(
            protocol=PROTOCOL,
            server=self._server,
            node=self._node,
            time=self._state.wall_ms(now),
            auth=self._state.settings.auth,
            heartbeat=self._heartbeat,
            limits=self._limits,
        )
