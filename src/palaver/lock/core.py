"""How a lock is acquired, decided without doing anything: one generator drives the threads' face and asyncio's.

The generator yields what it wants done (`Call`, `Sleep`) and is sent what came of it. Errors do not enter it: the
face gives the attempt up (`Attempt.give_up`) and raises. Nothing here reads a clock, opens a socket or waits.

Invariants: a grant counts only from before its request was sent; a token is used for one attempt; a token that was
given up is never asked for again.
"""

import os
from collections.abc import Callable, Generator
from enum import IntEnum, StrEnum
from typing import NamedTuple

from palaver.lock.errors import LossReason, NotDurableError
from palaver.lock.scripts import ABANDON, ACQUIRE, EXTEND, RAISE_FENCE, RELEASE, Script
from palaver.lock.terms import GONE_SECONDS, Terms, fence_milliseconds, milliseconds
from palaver.lock.wire import packed

Clock = Callable[[], float]
"""Monotonic seconds."""


class AcquireReply(IntEnum):
    """The first number of the acquire script's reply, if it is not the fence of a grant."""

    BUSY = 0
    GIVEN_UP = 2
    BUSY_ENDING = 3


class ReleaseReply(IntEnum):
    """The reply of the release and extend scripts."""

    NOBODYS = -2
    ANOTHERS = -1
    DONE = 1
    DONE_BEFORE = 2


LOSS_BY_REPLY = {ReleaseReply.NOBODYS: LossReason.GONE, ReleaseReply.ANOTHERS: LossReason.TAKEN}


class Mode(StrEnum):
    """What to do when the lock is busy."""

    TRY = "try"
    WAIT = "wait"


class Call(NamedTuple):
    """Run a script. With `durable`, ask on the same connection how many copies know, if it granted the lock; the reply
    is then `Acknowledged`. With `packed_keys`, the command is packed here and not by redis-py; with `ahead`, it was.
    """

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]
    durable: bool = False
    packed_keys: bytes | None = None
    ahead: bytes | None = None

    @property
    def evalsha(self) -> tuple[str | int, ...]:
        """The command that runs the script by its hash."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def packed(self) -> bytes | None:
        """`evalsha` as it goes over the wire, for a client that encodes in UTF-8; None for redis-py to pack it."""
        if self.ahead is not None or self.packed_keys is None:
            return self.ahead
        args = self.args
        # The first two words differ from call to call, the others from lock to lock.
        one, two = str(args[0]).encode(), str(args[1]).encode()
        return b"*%d\r\n%b%b$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (
            *(3 + len(self.keys) + len(args), self.script.packed, self.packed_keys),
            *(len(one), one, len(two), two, packed(args[2:])),
        )

    @property
    def eval(self) -> tuple[str | int, ...]:
        """The command that runs the script by its text, for a server that does not know it yet."""
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.args)


class Acknowledged(NamedTuple):
    """The reply to a durable call that granted the lock: the fence, and what the server said of the copies."""

    fence: int
    copies: object


class Sleep(NamedTuple):
    """Block on the waiter's own list for at most so long; the reply is its message, or None.

    With `exact`, come back at that time and no later: a server looks at its clients' timeouts ten times a second.
    With `then`, send that script along, so that the server runs it the moment the wait is over; the reply is the
    script's, or None.
    """

    key: str
    seconds: float
    exact: bool = False
    then: Call | None = None


_GONE_MS = milliseconds(GONE_SECONDS)

Request = Call | Sleep
Steps = Generator[Request, object, "Grant | None"]


class Grant(NamedTuple):
    """The server gave the lock to `token`; valid here before `deadline` (monotonic seconds)."""

    token: str
    fence: int
    granted: float
    deadline: float
    release: Call | None = None
    """What gives it back, if that was made ready while the server was asked."""


def new_token() -> str:
    """A token nobody else has: 64 random bits behind the process id, which helps to find the holder."""
    return f"palaver-{os.getpid():x}-{os.urandom(8).hex()}"


def _call(script: Script, terms: Terms, *args: str | int, durable: bool = False) -> Call:
    return Call(script, terms.keys.declared, args, durable, terms.keys.packed)


def release_call(terms: Terms, token: str) -> Call:
    """Give the lock back."""
    return _call(RELEASE, terms, token, _GONE_MS, terms.claim_ms)


def abandon_call(terms: Terms, token: str) -> Call:
    """Make sure that nothing is left of the attempt with this token, whether or not it was executed."""
    return _call(ABANDON, terms, token, milliseconds(max(60.0, terms.ttl)), terms.claim_ms)


def extend_call(terms: Terms, token: str, ttl: float) -> Call:
    """Let the hold end `ttl` seconds from when the server reads this."""
    return _call(EXTEND, terms, token, milliseconds(ttl), fence_milliseconds(ttl))


def raise_fence_call(terms: Terms, token: str, fence: int) -> Call:
    """Make a fence known to a server that granted the lock to `token`."""
    return _call(RAISE_FENCE, terms, token, fence, terms.fence_ms)


class Attempt:
    """One attempt to acquire, which may ask many times. Not to be shared between threads or tasks."""

    def __init__(self, terms: Terms, clock: Clock, *, lowest_fence: int = 0) -> None:
        self.token = new_token()
        self._terms = terms
        self._clock = clock
        self._lowest_fence = lowest_fence
        self._ticket = 0
        self._release: Call | None = None

    def prepare(self) -> None:
        """Make the release ready. To be called while the server is at work, when it takes no time from anybody."""
        if self._release is None:
            release = release_call(self._terms, self.token)
            self._release = release._replace(ahead=release.packed)

    def give_up(self) -> Call:
        """What to run when the attempt ends without a lease for any reason."""
        return abandon_call(self._terms, self.token)

    def steps(self, timeout: float | None) -> Steps:
        """Ask until granted or until `timeout` seconds are over; 0 asks once and never queues."""
        return self._once() if timeout == 0 else self._queue(timeout)

    def _once(self) -> Steps:
        sent = self._clock()
        fence = self._fence((yield self.call(Mode.TRY)), sent)
        if fence is None:
            return None
        grant = self.valid(sent, fence)
        if grant is None:
            yield self.give_up()
        return grant

    def _queue(self, timeout: float | None) -> Steps:
        sent = self._clock()
        until = None if timeout is None else sent + timeout
        reply = yield self.call(Mode.WAIT)
        while True:
            fence = self._fence(reply, sent)
            if fence is not None and (grant := self.valid(sent, fence)) is not None:
                return grant
            busy = None if fence is not None else _busy(reply)
            if busy is None:
                # The token is spent: it was given up, or the answer took longer than the lease lasts.
                yield self.give_up()
                self.token, self._release = new_token(), None
                if until is not None and self._clock() >= until:
                    return None
            else:
                if until is not None and self._ticket and self._clock() >= until:
                    yield self.give_up()
                    return None
                first, self._ticket = not self._ticket, busy.ticket
                if first and not busy.exact and self._may_ask_ahead(busy.seconds):
                    sent = self._clock()
                    reply = yield self._sleep_and_ask(busy.seconds, until)
                    if reply is not None:
                        continue
                elif not (yield from self._sleep(busy.seconds, until, exact=busy.exact)):
                    yield self.give_up()
                    return None
            sent = self._clock()
            reply = yield self.call(Mode.WAIT)

    def _may_ask_ahead(self, longest: float) -> bool:
        """Whether the next request may be sent along with a wait of `longest` seconds.

        It saves a round trip when the lock is handed over. But the lease counts from before it was sent, so the wait
        comes off it: a tenth is little enough.
        """
        return longest <= self._terms.ttl / 10 and self._terms.durability is None

    def _sleep_and_ask(self, longest: float, until: float | None) -> Sleep:
        left = longest if until is None else max(0.0, min(longest, until - self._clock()))
        return Sleep(self._terms.keys.wake(self.token), left, then=self.call(Mode.WAIT))

    def _sleep(self, longest: float, until: float | None, *, exact: bool) -> Generator[Request, object, bool]:
        """Wait for a signal or until it is time to ask again. False when the caller's time is over."""
        wake = self._clock() + longest
        while True:
            now = self._clock()
            if until is not None and now >= until:
                return False
            left = (wake if until is None else min(wake, until)) - now
            if left <= 0:
                return True
            message = yield Sleep(self._terms.keys.wake(self.token), left, exact)
            look = _look_seconds(message)
            if look is None:
                return until is None or message is not None or self._clock() < until
            wake, exact = self._clock() + look, True

    def _fence(self, reply: object, sent: float) -> int | None:
        """The fence if the script granted the lock; with what the durability command said, if that was sent too."""
        if isinstance(reply, Acknowledged):
            assert self._terms.durability is not None
            acknowledged, required = self._terms.durability.acknowledged(reply.copies)
            if acknowledged < required:
                raise NotDurableError(self._terms.name, acknowledged, required, self._clock() - sent)
            return reply.fence
        return reply if isinstance(reply, int) else None

    def valid(self, sent: float, fence: int) -> Grant | None:
        """The grant, if the answer to a request sent at `sent` came before the lease is over."""
        deadline = sent + self._terms.valid_seconds
        if self._clock() >= deadline:
            return None
        return Grant(self.token, fence, sent, deadline, self._release)

    def call(self, mode: Mode) -> Call:
        """Ask once."""
        terms = self._terms
        return _call(
            ACQUIRE,
            terms,
            *(self.token, self._lowest_fence, terms.ttl_ms, terms.fence_ms, mode, terms.claim_ms, self._ticket),
            durable=terms.durability is not None,
        )


class _Busy(NamedTuple):
    """How long to wait, and the place in the queue."""

    seconds: float
    ticket: int
    exact: bool


def _busy(reply: object) -> _Busy | None:
    """The acquire script's reply if another has the lock; None if the token was given up before."""
    assert isinstance(reply, list | tuple)
    status, wait_ms, ticket = AcquireReply(reply[0]), reply[1], reply[2]
    if status is AcquireReply.GIVEN_UP:
        return None
    return _Busy(wait_ms / 1000, ticket, exact=status is AcquireReply.BUSY_ENDING)


def _look_seconds(message: object) -> float | None:
    """The seconds in a `look:<ms>` reminder; None for any other message, and for none."""
    if isinstance(message, bytes):
        message = message.decode()
    if not isinstance(message, str) or not message.startswith("look:"):
        return None
    return int(message.removeprefix("look:")) / 1000
