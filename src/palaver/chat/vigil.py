"""Which connections still live: the deadline for `auth`, the heartbeat, and the expiry of tokens.

A peer that is silent for the interval, or has heard nothing for so long, is pinged; any frame within the timeout is an
answer. Time during which the server itself stood still is added to every peer's budget: the answer may have been
waiting in a buffer all along.

Refuses to do: IO, and closing by itself (it asks palaver.chat.admission). Invariant: a peer that vanished is gone at
most interval + timeout (+ the server's own stall) after it was last heard, or last took what was waiting for it.
"""

from palaver.chat import replies
from palaver.chat.admission import Admission
from palaver.chat.session import Phase, Session
from palaver.chat.state import State

_AUTH_TIMEOUT, _HEARTBEAT_LOST, _TOKEN_EXPIRED = 4003, 4102, 4301


class Vigil:
    """Looks at a session when its timer comes up, and says when to look again."""

    def __init__(self, state: State, admission: Admission) -> None:
        self._state = state
        self._admission = admission

    def heard(self, session: Session, now: float) -> None:
        """Any frame arrived."""
        session.last_in = now
        if session.awaiting_since is not None and session.phase is Phase.READY:
            self._state.heartbeat_seconds += now - session.awaiting_since
            self._state.counts["heartbeats", "answered"] += 1
            session.awaiting_since = None

    def catching_up(self, session: Session, now: float) -> None:
        """What it was sent before is still on its way to it: that is no silence, and a ping among it waits its turn."""
        session.last_in = session.last_out = now
        if session.phase is Phase.READY:
            session.awaiting_since = None

    def look(self, session: Session, now: float) -> None:
        """Do what is due for a session and set its timer anew."""
        if session.phase is Phase.FRESH:
            self._look_at_fresh(session, now)
            return
        expires = self._look_at_token(session, now)
        if session.phase is Phase.CLOSED:
            return
        beat = self._look_at_heart(session, now)
        if beat is not None:
            self._state.timers.set(session, beat if expires is None else min(beat, expires))

    def _look_at_fresh(self, session: Session, now: float) -> None:
        seconds = self._state.settings.auth_timeout_seconds
        deadline = self._deadline(session, seconds)
        if now < deadline:
            self._state.timers.set(session, deadline)
            return
        self._state.refuse(session, None, "request_timeout", f"No `auth` within {seconds:g} s.", now)
        self._admission.dismiss(session, _AUTH_TIMEOUT, now)

    def _look_at_heart(self, session: Session, now: float) -> float | None:
        settings = self._state.settings
        if session.awaiting_since is not None:
            deadline = self._deadline(session, settings.heartbeat_timeout_seconds)
            if now < deadline:
                return deadline
            if session.reads:  # nobody listens to it before the log has answered: it may have said something long ago
                return now + settings.heartbeat_timeout_seconds
            self._state.counts["heartbeats", "missed"] += 1
            self._admission.dismiss(session, _HEARTBEAT_LOST, now)
            return None
        last_out = max(session.last_out, *(room.last_broadcast for room in session.rooms.values()), session.last_out)
        quiet_since = min(session.last_in, last_out)
        due = quiet_since + settings.heartbeat_interval_seconds
        if now < due:
            return due
        session.awaiting_since = now
        session.stall_at_ping = self._state.stall
        self._state.send(session, replies.Ping(), now)
        return now + min(settings.heartbeat_timeout_seconds, settings.heartbeat_interval_seconds)

    def _look_at_token(self, session: Session, now: float) -> float | None:
        """Warn before the token expires, close when it has; returns when to look again."""
        expires = session.expires
        if expires is None:
            return None
        if now >= expires:
            self._state.refuse(session, None, "token_expired", "The token expired.", now)
            self._admission.dismiss(session, _TOKEN_EXPIRED, now)
            return None
        warning = expires - self._state.settings.expiry_warning_seconds
        if now < warning:
            return warning
        if not session.expiry_warned:
            session.expiry_warned = True
            notice = replies.Notice("token_expiring", after_ms=int((expires - now) * 1000))
            self._state.send(session, notice, now)
        return expires

    def _deadline(self, session: Session, seconds: float) -> float:
        assert session.awaiting_since is not None
        return session.awaiting_since + seconds + (self._state.stall - session.stall_at_ping)
