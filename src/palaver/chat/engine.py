"""The chat server's decisions, behind one face: tell it what happened, perform the effects it returns.

A plain object: no awaits, so no locks; no clock, so the same engine runs under real sockets, under a simulator with
virtual time and inside a property test. `now` is monotonic seconds and must not go backwards.

It never raises for what a peer did wrong: that is an effect too. What it raises is a fault of its own or of its caller.
The parts that decide: admission (who), joining and membership (where), conversation (what), moderation (what not),
vigil (whether they still live). Each state has one writer among them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from palaver.chat import replies, requests
from palaver.chat.admission import Admission
from palaver.chat.commands import Commands, Objection
from palaver.chat.conversation import Conversation
from palaver.chat.effects import (
    Connection,
    Consider,
    Effect,
    Failed,
    Fates,
    Found,
    Load,
    Loaded,
    LogResult,
    Paged,
    Redacted,
    Saved,
    Stored,
)
from palaver.chat.errors import Scope
from palaver.chat.identity import Identity, Refusal
from palaver.chat.joining import Joining
from palaver.chat.limits import milliseconds
from palaver.chat.membership import Grace, Membership, PresencePush
from palaver.chat.moderation import Decision, Moderation
from palaver.chat.names import room_problem
from palaver.chat.permission import Permission
from palaver.chat.records import Durability, Sanction
from palaver.chat.rooms import Loading
from palaver.chat.session import ALLOWED, Phase, Session
from palaver.chat.settings import ChatSettings
from palaver.chat.state import State
from palaver.chat.vigil import Vigil

_REMOVED, _MALFORMED, _SHUTDOWN, _SLOW_READER = 4001, 4008, 4201, 4108
_SWEEP_SECONDS = 1.0
_READY, _FRESH = Phase.READY, Phase.FRESH  # looked up for every frame, and slowly where they are
_SWEEP = "sweep"  # the timer that forgets limits which weigh nothing any more


class Engine:
    """One node's chat. See the module for the rules of calling it."""

    def __init__(
        self,
        settings: ChatSettings,
        *,
        epoch: str,
        durability: Durability,
        node: str,
        server: str,
        secret: bytes,
        entropy: Callable[[int], bytes],
        wall: float,
        sanctions: Iterable[Sanction] = (),
    ) -> None:
        state = State(settings, epoch=epoch, durability=durability, secret=secret, entropy=entropy, wall=wall)
        self._state = state
        self._membership = Membership(state)
        self._admission = Admission(state, self._membership, node=node, server=server)
        self._moderation = Moderation(state, self._membership, sanctions)
        permission = Permission(state, self._moderation)
        self._joining = Joining(state, self._membership, permission)
        self._conversation = Conversation(state, self._membership, self._moderation, permission)
        self._commands = Commands(state)
        self._vigil = Vigil(state, self._admission)
        self._drain_ms: int | None = None  # within how long everybody was told to go; None: nobody was
        self._requests: Mapping[type, Callable[[Session, Any, float], None]] = {
            requests.Auth: self._admission.auth,
            requests.Join: self._joining.join,
            requests.Leave: self._conversation.leave,
            requests.History: self._conversation.history,
            requests.Send: self._conversation.send,
            requests.Typing: self._conversation.typing,
            requests.Ping: self._pinged,
            requests.Pong: self._ponged,
            requests.Kick: self._moderate,
            requests.Ban: self._moderate,
            requests.Unban: self._moderate,
            requests.Mute: self._moderate,
            requests.Unmute: self._moderate,
            requests.Delete: self._moderate,
            requests.Slow: self._moderate,
        }
        self._results: Mapping[type, Callable[[Any, float], None]] = {
            Stored: self._conversation.stored,
            Loaded: self._joining.loaded,
            Paged: self._conversation.paged,
            Found: self._joining.found,
            Failed: self._failed,
            Redacted: self._moderation.redacted,
            Saved: self._moderation.saved,
        }

    @property
    def state(self) -> State:
        """What is known, for metrics, HTTP and tests to read. Only the engine's parts write it."""
        return self._state

    @property
    def moderation(self) -> Moderation:
        """The decisions that stand, to read."""
        return self._moderation

    # ---- what happens to connections ----

    def connected(self, connection: Connection, ip: str, now: float) -> list[Effect]:
        """A WebSocket was opened. One whose handshake ends only after the shutdown began is sent away at once."""
        self._admission.connected(connection, ip, now)
        session = self._state.sessions.get(connection)
        if session is not None and self._drain_ms is not None:
            self._state.send(session, replies.Notice("shutdown", after_ms=self._drain_ms), now)
            self._admission.dismiss(session, _SHUTDOWN, now)
        return self._state.take_out()

    def connected_http(self, connection: Connection, ip: str, identity: Identity, now: float) -> list[Effect]:
        """A request over HTTP, already verified. `receive` it next; the answer is a Send; then `disconnected`."""
        self._admission.connected_http(connection, ip, identity, now)
        return self._state.take_out()

    def receive(self, connection: Connection, data: bytes, now: float) -> list[Effect]:
        """A text frame arrived."""
        state = self._state
        session = state.sessions.get(connection)
        if session is None:
            return []
        session.last_in = now
        if session.awaiting_since is not None:
            self._vigil.heard(session, now)  # it was asked; without that the line above is all there is to it
        try:
            request = requests.decode(data)
        except requests.Malformed as wrong:
            self._malformed(session, wrong, now)
            return state.take_out()
        if session.phase is _READY and session.frames <= now:  # its bucket is empty; and it may send all requests
            session.frames = now + state.frame_seconds
        elif not self._within_frame_limits(session, request, now):
            return state.take_out()
        kind = type(request)
        state.requests[kind] += 1
        if session.phase is _READY or kind in ALLOWED[session.phase]:
            self._requests[kind](session, request, now)
        else:
            re: str | None = getattr(request, "id", None)
            state.refuse(session, re, "unauthenticated", "Send `auth` first.", now)
        return state.take_out()

    def receive_binary(self, connection: Connection, now: float) -> list[Effect]:
        """A binary frame arrived; there is nothing it could mean."""
        session = self._state.sessions.get(connection)
        if session is None:
            return []
        self._vigil.heard(session, now)
        self._malformed(session, requests.Malformed("invalid_frame", "Frames are text, not binary."), now)
        return self._state.take_out()

    def heard(self, connection: Connection, now: float) -> list[Effect]:
        """Another sign of life: an RFC 6455 ping or pong."""
        session = self._state.sessions.get(connection)
        if session is not None:
            self._vigil.heard(session, now)
        return self._state.take_out()

    def authenticated(self, connection: Connection, re: str, verdict: Identity | Refusal, now: float) -> list[Effect]:
        """A token was verified, or not."""
        session = self._state.sessions.get(connection)
        if session is not None:
            self._admission.authenticated(session, re, verdict, now)
        return self._state.take_out()

    def disconnected(self, connection: Connection, now: float) -> list[Effect]:
        """The transport is gone. Without effect for a connection that the engine closed itself."""
        session = self._state.sessions.get(connection)
        if session is not None:
            self._admission.gone(session, now)
        return self._state.take_out()

    def catching_up(self, connection: Connection, now: float) -> list[Effect]:
        """A reader that is behind took some more of what it was sent, which is a sign of life too."""
        session = self._state.sessions.get(connection)
        if session is not None:
            self._vigil.catching_up(session, now)
        return self._state.take_out()

    def too_slow(self, connection: Connection, now: float) -> list[Effect]:
        """More is waiting for this reader than one connection may hold: it must come back with `since`."""
        session = self._state.sessions.get(connection)
        if session is not None:
            self._admission.dismiss(session, _SLOW_READER, now)
        return self._state.take_out()

    # ---- what happens elsewhere ----

    def considered(self, effect: Consider, objection: Objection | None, now: float) -> list[Effect]:
        """A command can be carried out, so it is stored; or it cannot, and its sender is told why."""
        self._commands.considered(effect, objection, now)
        return self._state.take_out()

    def logged(self, results: Iterable[LogResult], now: float) -> list[Effect]:
        """The log answered, in the order it was asked. After a fault an iterator holds what was not looked at yet."""
        handlers = self._results
        for result in results:
            handlers[type(result)](result, now)
        return self._state.take_out()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due. Call it at `deadline()`, and at least once a second."""
        self._state.timers.set_if_unset(_SWEEP, now + _SWEEP_SECONDS)
        for key in self._state.timers.due(now):
            match key:
                case Session():
                    self._vigil.look(key, now)
                case Grace():
                    self._membership.grace_over(key, now)
                case PresencePush():
                    self._membership.push(key, now)
                case _:
                    self._state.sweep(now)
        return self._state.take_out()

    def deadline(self) -> float | None:
        """Monotonic time of the next timer."""
        return self._state.timers.next()

    def stalled(self, seconds: float) -> None:
        """The server itself stood still for so long; peers get that much longer to answer. Call before `tick`."""
        self._state.stall += seconds

    # ---- what the shell asks ----

    @property
    def wall(self) -> float:
        """Unix seconds minus monotonic seconds. The shell sets it again now and then: wall clocks are corrected."""
        return self._state.wall

    @wall.setter
    def wall(self, seconds: float) -> None:
        self._state.wall = seconds

    def catch_up(self, connection: Connection, room: str, after_seq: int, now: float) -> list[bytes] | None:
        """The room's messages after a `seq`, for a member that lagged; None if some are not kept any more."""
        session = self._state.sessions.get(connection)
        joined = session.rooms.get(room) if session is not None else None
        return [] if joined is None else joined.ring.after(after_seq, self._state.wall_ms(now))

    def last_seq(self, room: str) -> int:
        """The `seq` of the newest message shown in a room that somebody is in."""
        loaded = self._state.rooms.get(room)
        return 0 if loaded is None or loaded.state is Loading.LOADING else loaded.ring.seq

    def drain(self, window_seconds: float, now: float) -> list[Effect]:
        """Tell each connection when to reconnect: a slot of its own within the window."""
        self._drain_ms = int(window_seconds * 1000)
        sessions = [session for session in self._state.sessions.values() if not session.http]
        for slot, session in enumerate(sessions):
            after_ms = self._drain_ms * (slot + 1) // len(sessions)
            self._state.send(session, replies.Notice("shutdown", after_ms=after_ms), now)
        return self._state.take_out()

    def close_all(self, now: float) -> list[Effect]:
        """Close every connection with 4201."""
        for session in list(self._state.sessions.values()):
            self._admission.dismiss(session, _SHUTDOWN, now)
        return self._state.take_out()

    def _failed(self, result: Failed, now: float) -> None:
        match result.job:
            case Load() as job:
                self._joining.load_failed(job, now)
            case Fates() as job:
                self._joining.fates_failed(job, now)
            case job:
                self._conversation.failed(job, now)

    # ---- one request ----

    def _pinged(self, session: Session, request: requests.Ping, now: float) -> None:
        self._state.send(session, replies.PingAck(request.id, self._state.wall_ms(now)), now)

    def _ponged(self, session: Session, _request: requests.Pong, now: float) -> None:
        """Nothing more to do: that anything came was all it had to say, and `heard` knows."""

    def _moderate(self, session: Session, request: Decision, now: float) -> None:
        problem = room_problem(request.room)
        if problem is not None:
            self._state.refuse(session, request.id, "invalid_room", problem, now, field="room")
        elif not self._moderation.may_decide(session, request, now):
            self._state.refuse(session, request.id, "forbidden", f"You do not moderate {request.room}.", now)
        else:
            self._moderation.decide(session, request, now)
            removed, self._moderation.removed = self._moderation.removed, []
            for gone in removed:
                if gone.phase is not Phase.CLOSED:
                    self._admission.dismiss(gone, _REMOVED, now)

    def _malformed(self, session: Session, wrong: requests.Malformed, now: float) -> None:
        settings = self._state.settings
        self._state.refuse(session, wrong.re, wrong.code, wrong.message, now, field=wrong.field)
        if session.spend_malformed(settings.malformed_budget, settings.malformed_seconds, now):
            self._admission.dismiss(session, _MALFORMED, now)

    def _within_frame_limits(self, session: Session, request: requests.AnyRequest, now: float) -> bool:
        """Limits on requests of any kind: of the connection, and of the address before anybody is known."""
        state = self._state
        bucket = state.frame_bucket
        if bucket is not None and not session.http:
            wait = bucket.wait(session.frames, now)
            if wait > 0:
                self._too_many_frames(session, request, wait, "connection", now)
                return False
            session.frames = bucket.take(session.frames, now)
        bucket = state.ip_frame_bucket
        if bucket is not None and session.phase is _FRESH:
            arrival = state.ip_frames.get(session.ip, 0.0)
            wait = bucket.wait(arrival, now)
            if wait > 0:
                self._too_many_frames(session, request, wait, "ip", now)
                return False
            state.ip_frames[session.ip] = bucket.take(arrival, now)
        return True

    def _too_many_frames(
        self, session: Session, request: requests.AnyRequest, wait: float, scope: Scope, now: float
    ) -> None:
        after, re = milliseconds(wait), getattr(request, "id", None)
        text = f"Too many frames. Try again in {after} ms."
        self._state.refuse(session, re, "rate_limited", text, now, retry_after_ms=after, scope=scope)
