"""The shell around the engine: whatever happens on this node goes in here, with the time.

Sockets, the log's answers, verdicts about tokens, callers by HTTP, the one timer and the shutdown each tell the engine
what happened; what it asks for in return is done by palaver.server.performer. The clock is read here, once per event.

Refuses to do: decide anything about chat. Invariants: a connection that the engine was told of is reported gone exactly
once; a fault over one answer of the log costs the others nothing; a tick is never later than the engine's deadline.
"""

import asyncio
from collections.abc import Callable, Sequence
from operator import length_hint
from typing import cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from palaver.chat import effects as fx
from palaver.chat.effects import Connection as AnyConnection
from palaver.chat.effects import LogJob, LogResult
from palaver.chat.identity import Identity
from palaver.server.bounds import Bounds
from palaver.server.caller import HttpCaller
from palaver.server.connection import Connection
from palaver.server.fanout import Fanout
from palaver.server.fanout_room import Reader
from palaver.server.fastpath import FastPath, fast_path, writers
from palaver.server.patience import PatientLog
from palaver.server.performer import Performer
from palaver.server.ports import Core, JobTaker
from palaver.server.stats import Stats
from palaver.server.verification import Verdict, Verification, Verify

TICK_SECONDS = 1.0  # the longest time between two ticks
STALL_SECONDS = 0.25  # a tick that is later than this is a stall of the server, not of its peers

# Where the log still has so many jobs after an answer, the next answer is near and is for the same rooms. Writing both
# together saves each connection a write, and what they say next comes together, into one commit. An answer waits for
# one other and not for a third, and not for a log that hangs.
CROWD_JOBS = 64
CROWD_SECONDS = 0.05

journal = structlog.get_logger("palaver.server")


class Shell:
    """One node's engine at work. Everything runs on the event loop that it was made on."""

    def __init__(
        self,
        engine: Core,
        log: JobTaker,
        *,
        bounds: Bounds,
        verify: Verify,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        fast: bool = True,
    ) -> None:
        """`clock` gives monotonic seconds, `wall_clock` Unix seconds. `verify` must not block.

        `fast` is whether the fast path is wanted, where there is one.
        """
        self.engine = engine
        self.log = log
        self.bounds = bounds
        self.clock = clock
        self.stats = Stats()
        self.loop = asyncio.get_running_loop()
        self._journal: FilteringBoundLogger = journal.bind()  # as in the performer
        self.fanout = Fanout(
            bounds,
            self.stats,
            clock=clock,
            too_slow=self._too_slow,
            catching_up=self._catching_up,
            writers=writers(wanted=fast),
        )
        self.verification = Verification(
            verify, self._authenticated, limit=bounds.authentications, stats=self.stats, clock=clock
        )
        self.connections: set[Connection] = set()
        self._patient = PatientLog(log, clock=clock, seconds=bounds.log_seconds)
        self.performer = Performer(
            engine,
            self._patient,
            self.fanout,
            self.stats,
            clock=clock,
            authenticate=self.verification.begin,
            turn_ended=self._tick_in_time,
        )
        self.perform = self.performer.perform
        self._tell = self.performer.tell
        self.fast_path: FastPath = fast_path(
            engine, self.performer, self.fanout, self.stats, bounds, clock, wanted=fast
        )
        self._wall_clock = wall_clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._idle: asyncio.Future[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to take the log's answers and to tick."""
        self._patient.start(self._logged)
        self._set_timer(self.clock() + TICK_SECONDS)

    # ---- what happens ----

    def opened(self, connection: Connection) -> None:
        """A handshake is done."""
        self.stats.opened += 1
        self.stats.connections += 1
        self.connections.add(connection)
        connection.number = self.stats.opened
        self._journal.debug("connection_opened", connection=connection)
        faults = self.stats.faults
        self._tell(self.engine.connected, connection, connection.ip, self.clock())
        if self.stats.faults != faults:
            connection.close(1011, "internal")  # the engine may not know it, so nothing would ever end it

    def received(self, connection: Connection, data: bytes, now: float) -> None:
        """A text message came."""
        self.stats.text_in += 1
        try:
            effects = self.engine.receive(connection, data, now)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost its peer one request, not the process
            self.performer.fault(error, connection, data)
            return
        self.perform(effects)

    def received_binary(self, connection: Connection, now: float) -> None:
        """A binary message came."""
        self.stats.binary_in += 1
        self._tell(self.engine.receive_binary, connection, now)

    def heard(self, connection: Connection, now: float) -> None:
        """A ping or a pong came."""
        self.stats.control_in += 1
        self._tell(self.engine.heard, connection, now)

    def lost(self, connection: Connection) -> None:
        """A connection's transport is gone."""
        self.connections.discard(connection)
        self.stats.connections -= 1
        self.stats.closed[connection.close_code] += 1
        self.stats.closed_by_client[connection.close_code] += connection.abandoned
        self._journal.debug("connection_closed", connection=connection, code=connection.close_code)
        self.fanout.remove(connection)
        self._forget(connection)
        if not self.connections and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _logged(self, results: Sequence[LogResult]) -> None:
        self.stats.log_jobs -= len(results)
        if self.fanout.flushing.waiting:
            self.fanout.flushing.expect_no_more()
        elif self.stats.log_jobs >= CROWD_JOBS:
            self.fanout.flushing.expect_more(CROWD_SECONDS)
        place, path = 0, self.fast_path
        while place < len(results):
            try:
                place = path.deliver(results, place, self.clock())
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the work for others
                place = path.looked_at + 1
                self._fault_over(results[path.looked_at].job, error)
            else:
                self._deliver(results[place : place + path.together])
                place += path.together
        if results and isinstance(oldest := results[0], fx.Stored):
            self.stats.delivery_seconds.observe(self.clock() - oldest.job.accepted)

    def _deliver(self, results: Sequence[LogResult]) -> None:
        answers = iter(results)
        for _ in results:  # one round, unless a fault of ours stops it: that costs one job its answer, not the batch
            try:
                effects = self.engine.logged(answers, self.clock())
            except Exception as error:  # noqa: BLE001 - as above
                self._fault_over(results[len(results) - length_hint(answers) - 1].job, error)
            else:
                self.perform(effects)
            if not length_hint(answers):
                break

    def _fault_over(self, job: LogJob, error: Exception) -> None:
        """An answer of the log cannot be given: who wrote hears `internal`, and who wanted to read `unavailable`."""
        if isinstance(job, fx.Load | fx.Page | fx.Fates):  # the engine counts these, and holds who waits for them
            self.performer.fault(error, None)
            self._tell(self.engine.logged, (fx.Failed(job, "a fault of ours"),), self.clock())
        else:
            self.performer.fault(error, job.connection, msgspec.json.encode({"id": job.re}))

    def _too_slow(self, reader: Reader) -> None:
        self._tell(self.engine.too_slow, cast("Connection", reader), self.clock())

    def _catching_up(self, reader: Reader) -> None:
        self._tell(self.engine.catching_up, cast("Connection", reader), self.clock())

    # ---- tokens ----

    def _authenticated(self, connection: AnyConnection, re: str, verdict: Verdict) -> None:
        self._tell(self.engine.authenticated, connection, re, verdict, self.clock())

    def _forget(self, connection: AnyConnection) -> None:
        self.verification.forget(connection)
        self._tell(self.engine.disconnected, connection, self.clock())

    # ---- callers by HTTP ----

    async def ask(self, ip: str, identity: Identity, request: msgspec.Raw | bytes, re: str) -> bytes:
        """Put one request, whose `id` is `re`, to the engine for somebody who came by HTTP; returns the reply's frame.

        Raises CallerRefused where the engine would close the connection. Cancelling forgets the request; what it
        stored stays stored.
        """
        caller = HttpCaller(re)
        now = self.clock()
        self._tell(self.engine.connected_http, caller, ip, identity, now)
        try:
            self._tell(self.engine.receive, caller, bytes(request), now)
            return await caller.reply
        finally:
            self._forget(caller)

    # ---- time ----

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_later(max(0.0, due - self.clock()), self._tick)

    def _tick_in_time(self) -> None:
        """Tick earlier where the engine needs it."""
        deadline = self.engine.deadline()
        if deadline is not None and deadline < self._due and not self._stopped:
            self._set_timer(deadline)

    def _tick(self) -> None:
        now = self.clock()
        lag = max(0.0, now - self._due)
        self.stats.loop_lag_seconds = lag
        self.stats.loop_lag_max_seconds = max(lag, self.stats.loop_lag_max_seconds)
        if lag > STALL_SECONDS:
            self.stats.stalls += 1
            self.engine.stalled(lag)
        else:
            self._patient.check(now)  # after a stall of ours, answers may be waiting for us
        self.engine.wall = self._wall_clock() - now
        self._tell(self.engine.tick, now)
        self.fanout.lagging.check(now)
        deadline = self.engine.deadline()
        self._set_timer(now + TICK_SECONDS if deadline is None else min(max(deadline, now), now + TICK_SECONDS))

    # ---- the end ----

    def announce_shutdown(self, window_seconds: float) -> None:
        """Tell every connection when to come back, each at a time of its own within the window."""
        self.stats.drain_began, self.stats.drain_connections = self.clock(), len(self.connections)
        self._tell(self.engine.drain, window_seconds, self.clock())

    def close_all(self) -> None:
        """Begin to close every connection with 4201."""
        self._tell(self.engine.close_all, self.clock())

    async def no_connections(self) -> None:
        """Wait until the last WebSocket connection is gone. For one waiter at a time."""
        if self.connections:
            self._idle = self.loop.create_future()
            await self._idle

    async def stop(self) -> None:
        """Abort what is still connected, finish and close the log. Everything acknowledged is stored. Idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.abort()
        await self.no_connections()
        await self.verification.close()
        self.performer.submit()
        await self._patient.close()
