"""The way to the server: when to dial, who to be, when to give up. The half of the Connection that knows no rooms.

    state      input                      next
    IDLE       start                      DIALLING, or RENEWING where a token must be fetched first
    RENEWING   token                      DIALLING
    DIALLING   opened                     GREETING
    GREETING   hello                      ENTERING (auth is written)
    ENTERING   ack                        READY
    WAITING    the time has come          DIALLING, or RENEWING
    any        lost, silent or refused    WAITING, RENEWING or ENDED, by the range of the close code

A connection that says nothing for interval + timeout of its hello is dead, whatever TCP thinks. Time in which this
process itself stood still is not counted.

Refuses to do: IO, clocks, randomness (passed in). `now` is monotonic seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from palaver.chat.errors import CLOSE_RANGES
from palaver.client.backoff import Backoff
from palaver.client.errors import Closed, ProtocolError, Refused
from palaver.client.events import Link, User
from palaver.client.wire import AuthAck, Hello, Notice

PROTOCOL = 1
MAX_WINDOW = 256  # the server answers for so many doubtful messages in one join
_STALL_SECONDS = 1.0  # a tick later than this means that this process stood still, not the server


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Times and bounds of a client, in seconds and pieces."""

    backoff_base: float = 0.5
    backoff_cap: float = 30.0
    handshake_timeout: float = 10.0  # from dialling to the answer to `auth`
    answer_timeout: float = 30.0  # a request unanswered for so long means that the connection is broken
    stable_after: float = 10.0  # a connection this old has proved itself: the back-off starts again
    renew_before: float = 30.0  # before a token's end, or half its life if that is less
    outbox: int = 1_000  # messages waiting to be settled
    window: int = 1  # unanswered messages per room; above 1 a refused message may be overtaken by the next
    inbox: int = 1_000  # unread events per room
    questions: int = 256  # unanswered calls of history()

    def __post_init__(self) -> None:
        """Refuse what cannot work, with the value."""
        for name in ("handshake_timeout", "answer_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 seconds, not {getattr(self, name)}")
        if not 1 <= self.window <= MAX_WINDOW:
            raise ValueError(f"window must be 1 to {MAX_WINDOW}, not {self.window}")


@dataclass(slots=True, kw_only=True)
class Identity:
    """Who to be: a guest's name and, once known, session; or a token that may be renewable."""

    name: str | None = None
    session: str | None = None
    token: str | None = None
    renewable: bool = False

    def fields(self) -> dict[str, str | None]:
        """The fields of an `auth` request."""
        if self.token is not None:
            return {"token": self.token}
        return {"name": self.name, "session": self.session}


def action(code: int | None) -> str:
    """What the range of a close code asks for; codes outside the ranges, and none at all, mean to back off."""
    for each in CLOSE_RANGES:
        if code is not None and each.first <= code <= each.last:
            return each.action
    return "back_off"


class Lifeline:
    """The link's state and clock. What it wants done is left in `wants`: "dial", "renew", "auth", "hang" in order."""

    def __init__(self, identity: Identity, policy: Policy, random: Callable[[], float]) -> None:
        self.identity = identity
        self.policy = policy
        self.state = Link.IDLE
        self.user: User | None = None
        self.hello: Hello | None = None
        self.error: Closed | None = None  # why it ended
        self.dial_at: float | None = None
        self.ever_ready = False
        self.last_error: Refused | None = None  # the newest error that answered no request: it explains the close
        self.wants: list[str] = []
        self._backoff = Backoff(policy.backoff_base, policy.backoff_cap, random)
        self._since = 0.0  # when the handshake began, or the link became READY
        self._heard = 0.0
        self._hello_at = 0.0
        self._renew_at: float | None = None
        self._resume_at: float | None = None  # the slot that the last notice assigned
        self._token_tries = 0

    @property
    def connected(self) -> bool:
        """There is a network connection, or one is being made."""
        return self.state in {Link.DIALLING, Link.GREETING, Link.ENTERING, Link.READY}

    def start(self, now: float) -> None:
        """Begin."""
        assert self.state is Link.IDLE, "started twice"
        if self.identity.renewable and self.identity.token is None:
            self._renew()
        else:
            self._dial(now)

    def opened(self, now: float) -> None:
        """The WebSocket is open."""
        self.state, self._heard = Link.GREETING, now

    def heard(self, now: float) -> None:
        """Anything at all arrived."""
        self._heard = now

    def greeted(self, hello: Hello, now: float) -> None:
        """The server said hello."""
        if self.state is not Link.GREETING:
            raise ProtocolError("The server said hello twice.")
        if hello.protocol != PROTOCOL:
            raise ProtocolError(f"The server speaks protocol {hello.protocol}; this client speaks {PROTOCOL}.")
        self.hello, self._hello_at, self.state = hello, now, Link.ENTERING
        self.last_error = None
        self.wants.append("auth")

    def entered(self, ack: AuthAck, now: float) -> None:
        """The server said who we are: for the first time on this connection, or after a renewal."""
        self.user = ack.user
        if self.identity.token is None:
            self.identity.session = ack.session or self.identity.session
        self._token_tries = 0
        self._plan_renewal(ack.expires, now)
        if self.state is Link.ENTERING:
            self.state, self._since, self.ever_ready = Link.READY, now, True
            self._resume_at = None

    def auth_refused(self, error: Refused, now: float) -> None:
        """The server refused who we say we are. Decides between another way in, waiting, and the end."""
        self.last_error = error
        if error.retryable and self.state is Link.READY:
            self._renew_at = now + max(self._backoff.next(), (error.retry_after_ms or 0) / 1000)
        elif error.retryable or (error.code == "name_taken" and self.ever_ready):
            # A name that was ours may still be held by our own connection that hangs; it will go.
            self._hang_and_wait(now, error.retry_after_ms)
        elif error.code == "invalid_token" and self.identity.session is not None:
            self.identity.session = None  # a server with a new secret: the same name, a new user
            self.wants.append("auth")
        elif self.identity.renewable and self._token_tries < 2:
            self._token_tries += 1
            self.wants.append("hang")
            self._renew()
        else:
            self.wants.append("hang")
            self._end(Closed(None, "the server refused the identity", error))

    def noticed(self, notice: Notice, now: float) -> None:
        """The server announced something about the connection."""
        if notice.code == "shutdown" and notice.after_ms is not None:
            self._resume_at = now + notice.after_ms / 1000
        elif notice.code == "token_expiring" and self.identity.renewable:
            self._renew_at = now

    def renewed(self, token: str, now: float) -> None:
        """The token that was asked for is here."""
        self.identity.token = token
        if self.state is Link.RENEWING:
            self._dial(now)
        elif self.state is Link.READY:
            self.wants.append("auth")

    def renewal_failed(self, reason: str, now: float) -> None:
        """There is no token now. A client that never was in ends; another tries again later."""
        if not self.ever_ready and self.state is Link.RENEWING:
            self._end(Closed(None, f"no token could be had: {reason}"))
        elif self.state is Link.RENEWING:
            self._wait(now + self._backoff.next())
        elif self.state is Link.READY:
            self._renew_at = now + self._backoff.next()

    def lost(self, code: int | None, reason: str, now: float) -> None:
        """The connection is gone, or could not be made."""
        if not self.connected:
            return
        was_ready = self.state is Link.READY
        if was_ready and now - self._since >= self.policy.stable_after:
            self._backoff.reset()
        todo = action(code)
        if todo == "stop" or (todo == "renew" and not self.identity.renewable):
            self._end(Closed(code, reason, self.last_error))
        elif todo == "renew":
            self._renew()
        elif todo == "reconnect" and was_ready:
            self._wait(self._resume_at or now)
        else:
            after_ms = self.last_error.retry_after_ms if self.last_error is not None else None
            self._wait(max(now + self._backoff.next(), self._resume_at or now, now + (after_ms or 0) / 1000))

    def broken(self, now: float) -> None:
        """The connection is of no use any more: drop it and make another."""
        if self.connected:
            self._hang_and_wait(now, None)

    def close(self) -> None:
        """End, because the program wants it."""
        if self.connected:
            self.wants.append("hang")
        self._end(None)

    def tick(self, now: float) -> None:
        """Do what the time asks for."""
        due = self.deadline()
        if due is not None and now - due > _STALL_SECONDS and self.hello is not None:
            # We stood still: what the server said meanwhile is not read yet. It gets its timeout once more.
            self._heard = max(self._heard, now - self.hello.heartbeat.interval)
        if self.state is Link.WAITING and self.dial_at is not None and self.dial_at <= now:
            self._dial(now)
        elif self.connected and (limit := self._patience()) is not None and limit <= now:
            self._hang_and_wait(now, None)
        elif self.state is Link.READY and self._renew_at is not None and self._renew_at <= now:
            self._renew_at = None
            self.wants.append("renew")

    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self.state is Link.WAITING:
            return self.dial_at
        times = (self._patience(), self._renew_at if self.state is Link.READY else None)
        return min((time for time in times if time is not None), default=None)

    def _patience(self) -> float | None:
        """Until when the peer must have been heard."""
        if self.state is Link.READY and self.hello is not None:
            return self._heard + self.hello.heartbeat.interval + self.hello.heartbeat.timeout
        return self._since + self.policy.handshake_timeout if self.connected else None

    def _plan_renewal(self, expires: int | None, now: float) -> None:
        self._renew_at = None
        if expires is not None and self.identity.renewable and self.hello is not None:
            left = (expires - self.hello.time) / 1000 - (now - self._hello_at)
            self._renew_at = now + max(0.0, left - min(self.policy.renew_before, left / 2))

    def _dial(self, now: float) -> None:
        self.state, self._since, self.dial_at = Link.DIALLING, now, None
        self.wants.append("dial")

    def _renew(self) -> None:
        self.state, self.dial_at = Link.RENEWING, None
        self.wants.append("renew")

    def _hang_and_wait(self, now: float, after_ms: int | None) -> None:
        self.wants.append("hang")
        self._wait(max(now + self._backoff.next(), now + (after_ms or 0) / 1000))

    def _wait(self, until: float) -> None:
        self.state, self.dial_at = Link.WAITING, until

    def _end(self, error: Closed | None) -> None:
        if self.state is not Link.ENDED:
            self.state, self.error, self.dial_at = Link.ENDED, error, None
