"""Runs an evaluation: makes the open calls, keeps their records, tells what happens.

One coordinator owns everything: calls run as tasks and hand back what they got; only the coordinator writes records.
A record is durable before anything is told about it, so a run that is killed at any moment loses the calls that were
under way and nothing else. Cancelling `run` cancels these calls and gives their claims back.

It decides nothing about scores, knows no files, and reads no wall clock but the one it is given.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from palaver.review import blind, outcomes
from palaver.review.claims import Claim, Claims, LocalClaims
from palaver.review.completions import Reply
from palaver.review.errors import ClaimLostError
from palaver.review.events import (
    Answered,
    CallFailed,
    CallStarted,
    Done,
    Event,
    Judged,
    Started,
    StateChanged,
    TextArrived,
    Waiting,
)  # fmt: skip
from palaver.review.failures import Failure
from palaver.review.matrix import Matrix
from palaver.review.plan import AnswerCall, Call, GradeCall, is_control, open_calls
from palaver.review.records import Record
from palaver.review.seats import Seat
from palaver.review.throttle import FIRST_BACKOFF_SECONDS, Throttle


class Ledger(Protocol):
    """Where the records are. A record is kept once `append` has returned, and durable once `sync` has."""

    @property
    def replica(self) -> str:
        """Who writes."""
        ...

    def matrix(self) -> Matrix:
        """What the records amount to now."""
        ...

    async def append(self, record: Record, claim: Claim | None = None) -> None:
        """Keep a record. Raises `ClaimLostError` if the claim is no longer held."""
        ...

    async def sync(self) -> None:
        """Wait until everything that was appended survives the machine."""
        ...

    async def refresh(self) -> bool:
        """Take in what other workers have written; whether there was anything new."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard and how long to try.

    `in_flight` bounds all calls together. A provider that answers nothing for `patience_seconds` is given up for this
    round; `poll_seconds` is how often to look whether another worker has finished a call that it holds.
    """

    in_flight: int = 20
    patience_seconds: float = 600.0
    poll_seconds: float = 0.25
    first_backoff_seconds: float = FIRST_BACKOFF_SECONDS


@dataclass(frozen=True, slots=True)
class _Got:
    """What one task hands back. No `result` means that no call was made: somebody else has it, or had it."""

    call: Call
    claim: Claim | None
    started: float
    result: Reply | Failure | None


@dataclass(slots=True)
class _Trouble:
    """What went wrong with one call so far, in this run."""

    since: float
    not_before: float = 0.0
    times: int = 0


@dataclass
class Runner:
    """One worker on one evaluation. `seats` has one seat for each member of the panel that is a model."""

    ledger: Ledger
    seats: Mapping[str, Seat]
    wall_milliseconds: Callable[[], int]
    tell: Callable[[Event], None] = lambda _event: None
    claims: Claims = field(default_factory=LocalClaims)
    pace: Pace = Pace()

    def __post_init__(self) -> None:
        self._matrix = self._told = self.ledger.matrix()
        self._id = self._matrix.evaluation.id
        self._open = self._callable()
        self._under_way: dict[asyncio.Task[_Got], Call] = {}
        self._reserved: dict[str, int] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._elsewhere: dict[str, float] = {}
        self._throttles = {
            seat.provider: Throttle(seat.in_flight, self.pace.first_backoff_seconds) for seat in self.seats.values()
        }

    async def run(self) -> Matrix:
        """Go on until no call is open, or none may be made. Returns what the records amount to then."""
        self._look()
        self._announce()
        self.tell(Started(self._id, len(self._open)))
        stopped: str | None = None
        try:
            while self._open or self._under_way:
                stopped = self._start_calls()
                if stopped is not None and not self._under_way:
                    break
                await self._wait()
        finally:
            await self._abandon()
        self._announce()
        self.tell(Done(self._id, self._matrix, stopped if self._open else None))
        return self._matrix

    # --- starting ---------------------------------------------------------------------------------------------------

    def _callable(self) -> list[Call]:
        return [call for call in open_calls(self._matrix) if call.member in self.seats]

    def _start_calls(self) -> str | None:
        """Start what may start now. Returns why nothing more will, if the spending cap is the reason."""
        now = _now()
        busy = {call.task for call in self._under_way.values()}
        for call in self._open:
            if len(self._under_way) >= self.pace.in_flight:
                break
            throttle = self._throttles[self.seats[call.member].provider]
            if call.task in busy or not throttle.free(now) or self._start_after(call) > now:
                continue
            reservation = self._reservation(call)
            if reservation is None:
                return "The spending cap is reached."
            self._reserved[call.task] = reservation
            throttle.start()
            task = asyncio.create_task(self._make(call), name=f"{self._id} {call.task}")
            self._under_way[task] = call
        return None

    def _start_after(self, call: Call) -> float:
        trouble = self._troubles.get(call.task)
        return max(self._elsewhere.get(call.task, 0.0), trouble.not_before if trouble is not None else 0.0)

    def _reservation(self, call: Call) -> int | None:
        """The most that the call may cost, or `None` if that would pass the cap."""
        cap = self._matrix.evaluation.limits.spend_nanodollars
        if cap is None:
            return 0
        seat = self.seats[call.member]
        wanted = outcomes.request(self._matrix.evaluation, call, seat)
        most = seat.price.at_most(wanted.messages, wanted.max_tokens)
        spoken_for = self._matrix.nanodollars + sum(self._reserved.values())
        return most if spoken_for + most <= cap else None

    async def _make(self, call: Call) -> _Got:
        """One call, under a claim that is given back unless the result is handed to the coordinator."""
        started = _now()
        claim = await self.claims.claim(call.task)
        if claim is None:
            return _Got(call, None, started, None)
        try:
            # Whoever had the claim before may have answered: its record was there before the claim was given back.
            await self.ledger.refresh()
            self._look()
            if all(each.task != call.task for each in self._open):
                return _Got(call, claim, started, None)
            self.tell(self._started(call, claim))
            seat = self.seats[call.member]
            wanted = outcomes.request(self._matrix.evaluation, call, seat)
            hear = self._hearing(call) if isinstance(call, AnswerCall) else None
            return _Got(call, claim, started, await seat.client.complete(wanted, hear))
        except BaseException:
            # Also when cancelled: the next worker must not wait for a claim that nobody uses.
            await claim.release()
            raise

    def _started(self, call: Call, claim: Claim) -> CallStarted:
        if isinstance(call, AnswerCall):
            return CallStarted(self._id, call.member, None, None, claim.fence)
        label = blind.label(self._matrix.evaluation.seed, call.judge, call.subject)
        return CallStarted(self._id, call.member, call.subject, label, claim.fence)

    def _hearing(self, call: AnswerCall) -> Callable[[str], None]:
        offset = 0

        def hear(text: str) -> None:
            nonlocal offset
            self.tell(TextArrived(self._id, call.member, call.index, offset, text))
            offset += len(text)

        return hear

    # --- finishing --------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until a call ends or another may start, then keep what came."""
        pause = self._pause()
        if not self._under_way:
            await asyncio.sleep(pause if pause is not None else self.pace.poll_seconds)
        else:
            await asyncio.wait(self._under_way, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        got: list[_Got] = []
        for task in [task for task in self._under_way if task.done()]:
            call = self._under_way.pop(task)
            self._reserved.pop(call.task, None)
            got.append(task.result())
        for each in got:
            await self._keep(each)
        if self._elsewhere:
            await self.ledger.refresh()
        self._look()
        if got:
            # What the records open can start while the disk is written; nothing is told before it has been.
            self._start_calls()
            await self.ledger.sync()
        self._announce()

    def _pause(self) -> float | None:
        """Seconds until a call that waits for its time may start; `None` if only the end of a call can help."""
        now = _now()
        busy = {call.task for call in self._under_way.values()}
        times = []
        for call in self._open:
            throttle = self._throttles[self.seats[call.member].provider]
            if call.task not in busy and throttle.under_way < int(throttle.limit):
                times.append(max(throttle.not_before, self._start_after(call)))
        future = [each - now for each in times if each > now]
        return max(0.0, min(future)) if future else None

    async def _keep(self, got: _Got) -> None:
        """Account for one call, and write its record if there is one to write."""
        provider = self.seats[got.call.member].provider
        throttle, now = self._throttles[provider], _now()
        if got.result is None:
            throttle.under_way -= 1
            self._elsewhere[got.call.task] = now + self.pace.poll_seconds
        else:
            failure = got.result if isinstance(got.result, Failure) else None
            waited_for = throttle.not_before
            throttle.end(got.started, now, failure)
            try:
                await self._write(got, got.result, now)
            except ClaimLostError:
                # Another worker took the call over while this one made it: its record counts, this result is dropped.
                self._elsewhere[got.call.task] = now + self.pace.poll_seconds
            if throttle.not_before > max(now, waited_for):
                self.tell(Waiting(self._id, provider, throttle.not_before - now))
        if got.claim is not None:
            await got.claim.release()

    async def _write(self, got: _Got, result: Reply | Failure, now: float) -> None:
        seat, call = self.seats[got.call.member], got.call
        gave_up = False
        if isinstance(result, Failure):
            keep, gave_up = self._weigh(call, result, got.started, now)
            subject = call.subject if isinstance(call, GradeCall) else None
            again = result.trait.retry and not gave_up
            if result.kind != "waiting":
                self.tell(CallFailed(self._id, call.member, subject, result.kind, result.detail, again))
            if not keep:
                return
        spent = seat.spent(result, round((now - got.started) * 1000)) if isinstance(result, Reply) else None
        trace = outcomes.Trace(self.ledger.replica, self.wall_milliseconds(), gave_up=gave_up)
        if spent is not None:
            trace = outcomes.Trace(trace.replica, trace.stamp, spent)
        await self.ledger.append(outcomes.record(self._matrix.evaluation, call, result, trace), got.claim)

    def _weigh(self, call: Call, failure: Failure, started: float, now: float) -> tuple[bool, bool]:
        """Whether a failure is kept as an attempt, and whether it uses up the whole round.

        A provider that is away as a whole must not use up its cells' attempts: such calls are put back until patience
        ends. If it answered others meanwhile, the trouble is this call's own and counts.
        """
        trouble = self._troubles.setdefault(call.task, _Trouble(since=now))
        trouble.times += 1
        trouble.not_before = now + self.pace.first_backoff_seconds * 2.0 ** min(trouble.times - 1, 6)
        if not failure.trait.away:
            return True, False
        away_since = self._throttles[self.seats[call.member].provider].failing_since
        if now - min(trouble.since, away_since if away_since is not None else now) >= self.pace.patience_seconds:
            return True, True
        if failure.kind in ("waiting", "rate_limited"):
            return False, False
        return away_since is None or away_since > started, False

    def _look(self) -> None:
        """Compute the matrix and the open calls afresh, if there are new records."""
        found = self.ledger.matrix()
        if found is not self._matrix:
            self._matrix = found
            self._open = self._callable()

    def _announce(self) -> None:
        """Tell what became settled since the last time; only right after the own records were synced."""
        before, after = self._told, self._matrix
        if after is before:
            return
        self._told = after
        for key, answer in after.answers.items():
            if answer.settled and not before.answers[key].settled:
                self.tell(Answered(self._id, answer))
        for pair, cell in after.cells.items():
            if cell.status != before.cells[pair].status and not is_control(cell.subject):
                self.tell(Judged(self._id, cell))
        if after.state != before.state:
            self.tell(StateChanged(self._id, after.state))

    async def _abandon(self) -> None:
        """Cancel what is under way and wait for it, so that no call outlives the run."""
        for task in self._under_way:
            task.cancel()
        results = await asyncio.gather(*self._under_way, return_exceptions=True)
        for got in results:
            if isinstance(got, _Got) and got.claim is not None:
                await got.claim.release()
        self._under_way.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
