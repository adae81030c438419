"""What the engine asked for is done: its effects are performed, in order, and jobs for the log leave once a turn.

Every event goes to the engine through `tell`, so that whatever it answers is performed behind what it asked for before.

Refuses to do: decide anything about chat, read sockets, keep time. Invariants: effects are performed in the order in
which the engine gave them, also when performing one brings about the next event; an exception of the engine, or of
performing an effect, ends one request with `internal` and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog
from structlog.typing import FilteringBoundLogger

from palaver.chat import effects as fx
from palaver.chat.commands import Objection
from palaver.chat.effects import Connection as AnyConnection
from palaver.chat.effects import Effect, LogJob
from palaver.server.caller import HttpCaller
from palaver.server.connection import Connection
from palaver.server.fanout import Fanout
from palaver.server.faults import fault_frame, new_trace
from palaver.server.framing import text_frame
from palaver.server.ports import Core, JobTaker, Servant
from palaver.server.stats import Stats

LARGE_BYTES = 16_384  # answers so large are written at once

_NO_SERVANT = Objection("forbidden", "This server has no models to ask. Its operator starts it with --models FILE.")

_JSON_PING = b'{"type":"ping"}'

journal = structlog.get_logger("palaver.server")


class Performer:
    """The hands of one node's engine. Everything runs on the event loop that it was made on."""

    __slots__ = (
        "_authenticate",
        "_clock",
        "_engine",
        "_fanout",
        "_jobs",
        "_journal",
        "_log",
        "_loop",
        "_perform_one",
        "_performing",
        "_results",
        "_stats",
        "_turn_ended",
        "_turn_ends",
        "servant",
    )

    def __init__(
        self,
        engine: Core,
        log: JobTaker,
        fanout: Fanout,
        stats: Stats,
        *,
        clock: Callable[[], float],
        authenticate: Callable[[AnyConnection, str, str], None],
        turn_ended: Callable[[], None],
    ) -> None:
        """`authenticate` verifies a token; `turn_ended` is called once after each turn in which something happened."""
        self.servant: Servant | None = None  # carries commands out; without one they are refused
        self._engine = engine
        self._log = log
        self._fanout = fanout
        self._stats = stats
        self._clock = clock
        self._authenticate = authenticate
        self._turn_ended = turn_ended
        self._loop = asyncio.get_running_loop()
        # Bound, because a logger that is not is made anew for each line, also for those that are not written.
        self._journal: FilteringBoundLogger = journal.bind()
        self._results: deque[Iterable[Effect]] = deque()
        self._performing = False
        self._jobs: list[LogJob] = []
        self._turn_ends = False  # _end_turn is scheduled
        self._perform_one: dict[type[object], Callable[..., None]] = {
            fx.Send: self._send,
            fx.Broadcast: fanout.broadcast,
            fx.Subscribe: self._subscribe,
            fx.Unsubscribe: self._unsubscribe,
            fx.Close: self._close,
            fx.Hold: self._hold,
            fx.Release: self._release,
            fx.Authenticate: self._verify,
            fx.Redact: self._redact,
            fx.Save: self._save,
            fx.Consider: self._consider,
            fx.Obey: self._obey,
            **dict.fromkeys((fx.Append, fx.Load, fx.Page, fx.Fates), self._jobs.append),
        }

    # ---- towards the engine ----

    def tell(self, method: Callable[..., Iterable[Effect]], *arguments: object) -> None:
        """Let the engine know of an event by one of its methods, and do what it answers."""
        try:
            effects = method(*arguments)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the work for others
            self.fault(error, arguments[0] if isinstance(arguments[0], Connection | HttpCaller) else None)
            return
        self.perform(effects)

    def fault(self, error: Exception, connection: AnyConnection | None, data: bytes | None = None) -> None:
        """Log an exception of ours and answer the request, `data`, that it ended."""
        self._stats.faults += 1
        trace = new_trace()
        self._journal.error("fault", trace=trace, connection=repr(connection), exc_info=error)
        if connection is not None:
            self._stats.faults_told += 1
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
                        self.fault(error, getattr(effect, "connection", None))
                if not self._results:
                    break
                effects = self._results.popleft()
        finally:
            self._performing = False
        if not self._turn_ends:
            self.begin_turn()

    def begin_turn(self) -> None:
        """Something happens in this turn for the first time."""
        self._turn_ends = True
        self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Once per turn in which something happened: jobs to the log.

        All jobs of a turn go together, because handing them to the log wakes its thread, which costs more than the job.
        """
        self._turn_ends = False
        self.submit()
        self._turn_ended()

    def submit(self) -> None:
        """Hand the jobs of this turn to the log now."""
        if not self._jobs:
            return
        jobs = self._jobs.copy()
        self._jobs.clear()
        self._stats.log_jobs += len(jobs)
        self._log.submit(jobs)

    def _send(self, effect: fx.Send) -> None:
        connection = effect.connection
        if type(connection) is Connection:
            if connection.closing:
                return
            if effect.overtakable:
                self._fanout.acknowledge(connection, text_frame(effect.frame))
                return
            if effect.frame == _JSON_PING:
                connection.send_ping()
            self._fanout.send(connection, text_frame(effect.frame))
            if len(effect.frame) > LARGE_BYTES:
                self._fanout.flush(connection)  # now, so that a full buffer stops the taking of requests in this turn
        elif isinstance(connection, HttpCaller):
            connection.answer(effect.frame)

    def _subscribe(self, effect: fx.Subscribe) -> None:
        if isinstance(effect.connection, Connection) and not effect.connection.closing:
            self._fanout.subscribe(effect.connection, effect.room)
            self._journal.debug("room_entered", connection=effect.connection, room=effect.room)

    def _unsubscribe(self, effect: fx.Unsubscribe) -> None:
        if isinstance(effect.connection, Connection):
            self._fanout.unsubscribe(effect.connection, effect.room)

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
        self._journal.info(
            "decision", kind=decided.kind, room=decided.room, user=decided.user, by=decided.by, active=decided.active
        )
        self._jobs.append(effect)

    def _redact(self, effect: fx.Redact) -> None:
        self._journal.info("message_deleted", connection=repr(effect.connection), room=effect.room, seq=effect.seq)
        self._jobs.append(effect)

    # ---- commands ----

    def _consider(self, effect: fx.Consider) -> None:
        try:
            objection = _NO_SERVANT if self.servant is None else self.servant.consider(effect)
        except Exception as error:  # noqa: BLE001 - whatever the servant stumbled over, the sender gets an answer
            self.fault(error, None)
            objection = Objection("internal", "The server made a mistake. Nothing was stored.")
        self.tell(self._engine.considered, effect, objection, self._clock())

    def _obey(self, effect: fx.Obey) -> None:
        if self.servant is not None:
            self.servant.obey(effect)

    # ---- tokens ----

    def _verify(self, effect: fx.Authenticate) -> None:
        self._authenticate(effect.connection, effect.re, effect.token)
