"""The shell around the engine: what happens goes in with the time, the effects that come out are performed in order.

It owns the engine, the fan-out, the one timer and the verification of tokens; it feeds the log and hands its answers
back. The clock is read here, once per event.

Refuses to do: decide anything about chat. Invariants: effects are performed in the order in which the engine gave them,
also when performing one brings about the next event; a connection that the engine was told of is reported gone exactly
once; an exception of the engine ends one request with `internal` and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import length_hint
from typing import cast

import msgspec
import structlog

from palaver.chat import effects as fx
from palaver.chat.commands import Objection
from palaver.chat.effects import Connection as AnyConnection
from palaver.chat.effects import Effect, LogJob, LogResult
from palaver.chat.identity import Identity
from palaver.server.bounds import Bounds
from palaver.server.caller import HttpCaller
from palaver.server.connection import Connection
from palaver.server.fanout import Fanout
from palaver.server.fanout_room import Reader
from palaver.server.faults import fault_frame, new_trace
from palaver.server.framing import text_frame
from palaver.server.ports import Core, JobTaker, Servant
from palaver.server.stats import Stats
from palaver.server.verification import Verdict, Verification, Verify

TICK_SECONDS = 1.0  # the longest time between two ticks
LARGE_BYTES = 16_384  # answers so large are written at once
STALL_SECONDS = 0.25  # a tick that is later than this is a stall of the server, not of its peers

_NO_SERVANT = Objection("forbidden", "This server has no models to ask. Its operator starts it with --models FILE.")

_JSON_PING = b'{"type":"ping"}'

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
    ) -> None:
        """`clock` gives monotonic seconds, `wall_clock` Unix seconds. `verify` must not block."""
        self.engine = engine
        self.log = log
        self.bounds = bounds
        self.clock = clock
        self.stats = Stats()
        self.loop = asyncio.get_running_loop()
        self.fanout = Fanout(bounds, self.stats, clock=clock, too_slow=self._too_slow)
        self.verification = Verification(
            verify, self._authenticated, limit=bounds.authentications, stats=self.stats, clock=clock
        )
        self.connections: set[Connection] = set()
        self.servant: Servant | None = None  # carries commands out; without one they are refused
        self._wall_clock = wall_clock
        self._results: deque[Iterable[Effect]] = deque()
        self._performing = False
        self._jobs: list[LogJob] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._turn_ends = False  # _end_turn is scheduled
        self._idle: asyncio.Future[None] | None = None
        self._stopped = False
        self._perform_one: dict[type[object], Callable[..., None]] = {
            fx.Send: self._send,
            fx.Broadcast: self.fanout.broadcast,
            fx.Subscribe: self._subscribe,
            fx.Unsubscribe: self._unsubscribe,
            fx.Close: self._close,
            fx.Hold: self._hold,
            fx.Release: self._release,
            fx.Authenticate: self._authenticate,
            fx.Redact: self._redact,
            fx.Save: self._save,
            fx.Consider: self._consider,
            fx.Obey: self._obey,
            **dict.fromkeys((fx.Append, fx.Load, fx.Page, fx.Fates), self._jobs.append),
        }

    def start(self) -> None:
        """Begin to take the log's answers and to tick."""
        self.log.start(self._logged)
        self._set_timer(self.clock() + TICK_SECONDS)

    # ---- what happens ----

    def opened(self, connection: Connection) -> None:
        """A handshake is done."""
        self.stats.opened += 1
        self.stats.connections += 1
        self.connections.add(connection)
        connection.number = self.stats.opened
        journal.debug("connection_opened", connection=repr(connection))
        faults = self.stats.faults
        self._event(self.engine.connected, connection, connection.ip, self.clock())
        if self.stats.faults != faults:
            connection.close(1011, "internal")  # the engine may not know it, so nothing would ever end it

    def received(self, connection: Connection, data: bytes, now: float) -> None:
        """A text message came."""
        self.stats.text_in += 1
        try:
            effects = self.engine.receive(connection, data, now)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost its peer one request, not the process
            self._fault(error, connection, data)
            return
        self.perform(effects)

    def received_binary(self, connection: Connection, now: float) -> None:
        """A binary message came."""
        self.stats.binary_in += 1
        self._event(self.engine.receive_binary, connection, now)

    def heard(self, connection: Connection, now: float) -> None:
        """A ping or a pong came."""
        self.stats.control_in += 1
        self._event(self.engine.heard, connection, now)

    def lost(self, connection: Connection) -> None:
        """A connection's transport is gone."""
        self.connections.discard(connection)
        self.stats.connections -= 1
        self.stats.closed[connection.close_code] += 1
        journal.debug("connection_closed", connection=repr(connection), code=connection.close_code)
        self.fanout.remove(connection)
        self._forget(connection)
        if not self.connections and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _logged(self, results: Sequence[LogResult]) -> None:
        self.stats.log_jobs -= len(results)
        answers = iter(results)
        for _ in results:  # one round, unless a fault of ours stops it: that costs one job its answer, not the batch
            try:
                effects = self.engine.logged(answers, self.clock())
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the work for others
                job = results[len(results) - length_hint(answers) - 1].job
                request = None if isinstance(job, fx.Load) else msgspec.json.encode({"id": job.re})
                connection = None if isinstance(job, fx.Load) else job.connection
                self._fault(error, connection, request)
                if isinstance(connection, Connection):
                    connection.release()  # nothing else would
            else:
                self.perform(effects)
            if not length_hint(answers):
                break
        if results and isinstance(oldest := results[0], fx.Stored):
            self.stats.delivery_seconds.observe(self.clock() - oldest.job.accepted)

    def _event(self, tell: Callable[..., Iterable[Effect]], *arguments: object) -> None:
        try:
            effects = tell(*arguments)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the work for others
            self._fault(error, arguments[0] if isinstance(arguments[0], Connection | HttpCaller) else None)
            return
        self.perform(effects)

    def _fault(self, error: Exception, connection: AnyConnection | None, data: bytes | None = None) -> None:
        self.stats.faults += 1
        trace = new_trace()
        journal.error("fault", trace=trace, connection=repr(connection), exc_info=error)
        if connection is not None:
            self._send(fx.Send(connection, fault_frame(data, trace)))

    # ---- effects ----

    def perform(self, effects: Iterable[Effect]) -> None:
        """Perform effects in order, after all that were given before."""
        if self._performing:
            self._results.append(effects)
            return
        self._performing = True
        perform_one = self._perform_one
        try:
            while True:
                for effect in effects:
                    try:
                        perform_one[type(effect)](effect)
                    except Exception as error:  # noqa: BLE001 - the effects that follow concern others
                        self._fault(error, getattr(effect, "connection", None))
                if not self._results:
                    break
                effects = self._results.popleft()
        finally:
            self._performing = False
        if not self._turn_ends:
            self._turn_ends = True
            self.loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Once per turn in which something happened: jobs to the log, and a tick earlier where the engine needs it.

        All jobs of a turn go together, because handing them to the log wakes its thread, which costs more than the job.
        """
        self._turn_ends = False
        if self._jobs:
            self._submit()
        deadline = self.engine.deadline()
        if deadline is not None and deadline < self._due and not self._stopped:
            self._set_timer(deadline)

    def _submit(self) -> None:
        jobs = self._jobs.copy()
        self._jobs.clear()
        self.stats.log_jobs += len(jobs)
        self.log.submit(jobs)

    def _send(self, effect: fx.Send) -> None:
        connection = effect.connection
        if type(connection) is Connection:
            if connection.closing:
                return
            if effect.overtakable:
                self.fanout.acknowledge(connection, text_frame(effect.frame))
                return
            if effect.frame == _JSON_PING:
                connection.send_ping()
            self.fanout.send(connection, text_frame(effect.frame))
            if len(effect.frame) > LARGE_BYTES:
                self.fanout.flush(connection)  # now, so that a full buffer stops the taking of requests in this turn
        elif isinstance(connection, HttpCaller):
            connection.answer(effect.frame)

    def _subscribe(self, effect: fx.Subscribe) -> None:
        if isinstance(effect.connection, Connection) and not effect.connection.closing:
            self.fanout.subscribe(effect.connection, effect.room)
            journal.debug("room_entered", connection=repr(effect.connection), room=effect.room)

    def _unsubscribe(self, effect: fx.Unsubscribe) -> None:
        if isinstance(effect.connection, Connection):
            self.fanout.unsubscribe(effect.connection, effect.room)

    def _close(self, effect: fx.Close) -> None:
        if isinstance(effect.connection, Connection):
            effect.connection.close(effect.code, effect.reason)
        elif isinstance(effect.connection, HttpCaller):
            effect.connection.refuse(effect.code, effect.reason)

    def _hold(self, effect: fx.Hold) -> None:
        if isinstance(effect.connection, Connection):
            effect.connection.hold()

    def _release(self, effect: fx.Release) -> None:
        if isinstance(effect.connection, Connection):
            effect.connection.release()

    def _save(self, effect: fx.Save) -> None:
        """What moderators decide is always logged: who, whom, where."""
        decided = effect.sanction
        journal.info(
            "decision", kind=decided.kind, room=decided.room, user=decided.user, by=decided.by, active=decided.active
        )
        self._jobs.append(effect)

    def _redact(self, effect: fx.Redact) -> None:
        journal.info("message_deleted", connection=repr(effect.connection), room=effect.room, seq=effect.seq)
        self._jobs.append(effect)

    def _too_slow(self, reader: Reader) -> None:
        self._event(self.engine.too_slow, cast("Connection", reader), self.clock())

    # ---- commands ----

    def _consider(self, effect: fx.Consider) -> None:
        try:
            objection = _NO_SERVANT if self.servant is None else self.servant.consider(effect)
        except Exception as error:  # noqa: BLE001 - whatever the servant stumbled over, the sender gets an answer
            self._fault(error, None)
            objection = Objection("internal", "The server made a mistake. Nothing was stored.")
        self._event(self.engine.considered, effect, objection, self.clock())

    def _obey(self, effect: fx.Obey) -> None:
        if self.servant is not None:
            self.servant.obey(effect)

    # ---- tokens ----

    def _authenticate(self, effect: fx.Authenticate) -> None:
        self.verification.begin(effect.connection, effect.re, effect.token)

    def _authenticated(self, connection: AnyConnection, re: str, verdict: Verdict) -> None:
        self._event(self.engine.authenticated, connection, re, verdict, self.clock())

    def _forget(self, connection: AnyConnection) -> None:
        self.verification.forget(connection)
        self._event(self.engine.disconnected, connection, self.clock())

    # ---- callers by HTTP ----

    async def ask(self, ip: str, identity: Identity, request: msgspec.Raw | bytes, re: str) -> bytes:
        """Put one request, whose `id` is `re`, to the engine for somebody who came by HTTP; returns the reply's frame.

        Raises CallerRefused where the engine would close the connection. Cancelling forgets the request; what it
        stored stays stored.
        """
        caller = HttpCaller(re)
        now = self.clock()
        self._event(self.engine.connected_http, caller, ip, identity, now)
        try:
            self._event(self.engine.receive, caller, bytes(request), now)
            return await caller.reply
        finally:
            self._forget(caller)

    # ---- time ----

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_later(max(0.0, due - self.clock()), self._tick)

    def _tick(self) -> None:
        now = self.clock()
        lag = max(0.0, now - self._due)
        self.stats.loop_lag_seconds = lag
        self.stats.loop_lag_max_seconds = max(lag, self.stats.loop_lag_max_seconds)
        if lag > STALL_SECONDS:
            self.stats.stalls += 1
            self.engine.stalled(lag)
        self.engine.wall = self._wall_clock() - now
        self._event(self.engine.tick, now)
        self.fanout.check_lagging(now)
        deadline = self.engine.deadline()
        self._set_timer(now + TICK_SECONDS if deadline is None else min(max(deadline, now), now + TICK_SECONDS))

    # ---- the end ----

    def announce_shutdown(self, window_seconds: float) -> None:
        """Tell every connection when to come back, each at a time of its own within the window."""
        self._event(self.engine.drain, window_seconds, self.clock())

    def close_all(self) -> None:
        """Begin to close every connection with 4201."""
        self._event(self.engine.close_all, self.clock())

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
        if self._jobs:
            self._submit()
        await self.log.close()
