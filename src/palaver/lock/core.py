"""How a lock is acquired, decided without doing anything: one generator drives the threads' face and asyncio's.

The generator yields what it wants done (`Call`, `Sleep`) and is sent what came of it. Errors do not enter it: the
face gives the attempt up (`Attempt.give_up`) and raises. Nothing here reads a clock, opens a socket or waits.

Invariants: a grant counts only from before its request was sent; a token is used for one attempt; a token that was
given up is never asked for again.
"""

import os
from collections.abc import Callable, Generator
from enum import Enum, IntEnum
from typing import NamedTuple

from palaver.lock.errors import LossReason, NotDurableError
from palaver.lock.scripts import ACQUIRE, EXTEND, RAISE_FENCE, RELEASE, Script
from palaver.lock.terms import FENCE_SECONDS, GONE_SECONDS, Terms, drift_seconds, milliseconds

Clock = Callable[[], float]
"""Monotonic seconds."""


class AcquireReply(IntEnum):
    """The first number of the acquire script's reply."""

    BUSY = 0
    GRANTED = 1
    GIVEN_UP = 2
    BUSY_ENDING = 3


_WAITS = (AcquireReply.BUSY, AcquireReply.BUSY_ENDING)


class ReleaseReply(IntEnum):
    """The reply of the release and extend scripts."""

    NOBODYS = -2
    ANOTHERS = -1
    DONE = 1
    DONE_BEFORE = 2


LOSS_BY_REPLY = {ReleaseReply.NOBODYS: LossReason.GONE, ReleaseReply.ANOTHERS: LossReason.TAKEN}


class Mode(Enum):
    """What to do when the lock is busy."""

    TRY = "try"
    WAIT = "wait"


class Call(NamedTuple):
    """Run a script. With `durable`, ask on the same connection how many copies know, if it granted the lock, and put
    that reply behind the script's.
    """

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]
    durable: bool = False

    @property
    def evalsha(self) -> tuple[str | int, ...]:
        """The command that runs the script by its hash."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def eval(self) -> tuple[str | int, ...]:
        """The command that runs the script by its text, for a server that does not know it yet."""
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.args)


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


def new_token() -> str:
    """A token nobody else has: 64 random bits behind the process id, which helps to find the holder."""
    return f"palaver-{os.getpid():x}-{os.urandom(8).hex()}"


def release_call(terms: Terms, token: str) -> Call:
    """Give the lock back."""
    return Call(RELEASE, terms.keys.declared, (token, terms.claim_ms, _GONE_MS, "release"))


def abandon_call(terms: Terms, token: str) -> Call:
    """Make sure that nothing is left of the attempt with this token, whether or not it was executed."""
    remembered = milliseconds(max(60.0, terms.ttl))
    return Call(RELEASE, terms.keys.declared, (token, terms.claim_ms, remembered, "abandon"))


def extend_call(terms: Terms, token: str, ttl: float) -> Call:
    """Let the hold end `ttl` seconds from when the server reads this."""
    return Call(EXTEND, terms.keys.declared, (token, milliseconds(ttl), milliseconds(FENCE_SECONDS + ttl)))


def raise_fence_call(terms: Terms, token: str, fence: int) -> Call:
    """Make a fence known to a server that granted the lock to `token`."""
    return Call(RAISE_FENCE, terms.keys.declared, (token, fence, milliseconds(FENCE_SECONDS + terms.ttl)))


class Attempt:
    """One attempt to acquire, which may ask many times. Not to be shared between threads or tasks."""

    def __init__(self, terms: Terms, clock: Clock, *, lowest_fence: int = 0) -> None:
        self.token = new_token()
        self._terms = terms
        self._clock = clock
        self._lowest_fence = lowest_fence
        self._ticket = 0

    def give_up(self) -> Call:
        """What to run when the attempt ends without a lease for any reason."""
        return abandon_call(self._terms, self.token)

    def steps(self, timeout: float | None) -> Steps:
        """Ask until granted or until `timeout` seconds are over; 0 asks once and never queues."""
        if timeout == 0:
            return (yield from self._once())
        return (yield from self._queue(timeout))

    def _once(self) -> Steps:
        sent = self._clock()
        status, number, _ = self._read((yield self.call(Mode.TRY)), sent)
        if status is not AcquireReply.GRANTED:
            return None
        grant = self.valid(sent, number)
        if grant is None:
            yield self.give_up()
        return grant

    def _queue(self, timeout: float | None) -> Steps:
        until = None if timeout is None else self._clock() + timeout
        sent = self._clock()
        reply = yield self.call(Mode.WAIT)
        while True:
            status, number, ticket = self._read(reply, sent)
            if status in _WAITS:
                if until is not None and self._ticket and self._clock() >= until:
                    yield self.give_up()
                    return None
                first, self._ticket = not self._ticket, ticket
                if first and status is AcquireReply.BUSY and self._may_ask_ahead(number / 1000):
                    sent = self._clock()
                    reply = yield self._sleep_and_ask(number / 1000, until)
                    if reply is not None:
                        continue
                elif not (yield from self._sleep(number / 1000, until, exact=status is AcquireReply.BUSY_ENDING)):
                    yield self.give_up()
                    return None
            else:
                grant = self.valid(sent, number) if status is AcquireReply.GRANTED else None
                if grant is not None:
                    return grant
                # The answer took longer than the lease lasts: it is worth nothing. Its token is spent.
                yield self.give_up()
                self.token = new_token()
                if until is not None and self._clock() >= until:
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

    def _read(self, reply: object, sent: float) -> tuple[AcquireReply, int, int]:
        """The script's three numbers; behind a grant there is the reply to the durability command, if one was sent."""
        assert isinstance(reply, list | tuple)
        status, number, ticket, *copies = reply
        if copies and self._terms.durability is not None:
            acknowledged, required = self._terms.durability.acknowledged(copies[0])
            if acknowledged < required:
                raise NotDurableError(self._terms.name, acknowledged, required, self._clock() - sent)
        return AcquireReply(status), number, ticket

    def valid(self, sent: float, fence: int) -> Grant | None:
        """The grant, if the answer to a request sent at `sent` came before the lease is over."""
        deadline = sent + self._terms.ttl - drift_seconds(self._terms.ttl)
        if self._clock() >= deadline:
            return None
        return Grant(self.token, fence, sent, deadline)

    def call(self, mode: Mode) -> Call:
        """Ask once."""
        terms = self._terms
        args = (self.token, terms.ttl_ms, mode.value, terms.claim_ms, self._lowest_fence, self._ticket)
        return Call(ACQUIRE, terms.keys.declared, args, durable=terms.durability is not None)


def _look_seconds(message: object) -> float | None:
    """The seconds in a `look:<ms>` reminder; None for any other message, and for none."""
    if isinstance(message, bytes):
        message = message.decode()
    if not isinstance(message, str) or not message.startswith("look:"):
        return None
    return int(message.removeprefix("look:")) / 1000
