"""Two whole servers in step, one with the fast path and one without, and all that can be seen of either.

Sockets and the log are fakes that do nothing by themselves, time is a number, chance is drawn from the same seed: what
differs between the two is the way that plain messages take.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple
from websockets.frames import Opcode

from palaver.chat import effects as fx
from palaver.chat.engine import Engine
from palaver.chat.identity import Identity, Refusal
from palaver.chat.records import User
from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from palaver.server.connection import Connection
from palaver.server.shell import Shell
from palaver.server.stats import Stats
from tests.property.server.test_inbound import frame

# Who may come by token, and with what rights.
TOKENS = {
    "moderator": Rights(moderate=("*",)),
    "narrow": Rights(send=("a",)),
}
_MEASURED = {"fast_in", "delivery_seconds", "handshake_seconds", "verify_seconds"}  # what differs, and histograms


def verify(token: str) -> Identity | Refusal:
    """Everybody who is named in TOKENS."""
    rights = TOKENS.get(token)
    if rights is None:
        return Refusal("invalid_token", "no such token here")
    return Identity(User(token, f'"{token}"\t\x7f'), rights, None, None)  # a name that JSON has to escape


def encode(**request: object) -> bytes:
    """A request as JSON."""
    return msgspec.json.encode(request)


class Wire(asyncio.Transport):
    """A transport that writes down what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


class Log:
    """A log that answers when it is told to, and as much as it is told to."""

    durability, epoch, secret = "disk", "e", b"s" * 32

    def __init__(self) -> None:
        self.jobs: list[fx.LogJob] = []
        self.deliver: Any = None
        self._rooms: dict[str, int] = {}
        self._places: dict[tuple[str, str, str], fx.Stored] = {}

    def start(self, on_results: Any) -> None:
        self.deliver = on_results

    def submit(self, jobs: Sequence[fx.LogJob]) -> None:
        self.jobs += jobs

    async def close(self) -> None:
        self.jobs.clear()

    def answer(self, count: int, *, fails: bool) -> None:
        """Answer the oldest jobs."""
        some, self.jobs = self.jobs[:count], self.jobs[count:]
        results = [fx.Failed(job, "the disk is full") if fails else self._result(job) for job in some]
        if results:
            self.deliver(results)

    def _result(self, job: fx.LogJob) -> fx.LogResult:
        match job:
            case fx.Append():
                key = None if job.cid is None else (job.room, job.user.id, job.cid)
                if key is not None and key in self._places:
                    first = self._places[key]
                    return fx.Stored(job, first.seq, first.mid, first.time, True)
                self._rooms[job.room] = seq = self._rooms.get(job.room, 0) + 1
                stored = fx.Stored(job, seq, job.mid, job.time, False)
                if key is not None:
                    self._places[key] = stored
                return stored
            case fx.Load():
                return fx.Loaded(job, [], self._rooms.get(job.room, 0))
            case fx.Page():
                return fx.Paged(job, [], complete=True)
            case fx.Fates():
                return fx.Found(job, dict.fromkeys(job.cids))
            case fx.Redact():
                return fx.Redacted(job, None)
            case fx.Save():
                return fx.Saved(job)


class Side:
    """One of the two servers."""

    def __init__(self, settings: ChatSettings, bounds: Bounds, clock: "Clock", *, fast: bool) -> None:
        self.log = Log()
        self.engine = Engine(
            settings,
            epoch="e",
            durability="disk",
            node="n",
            server="s",
            secret=b"s" * 32,
            entropy=random.Random(1).randbytes,  # the same for both
            wall=1_000.0,
        )
        self.shell = Shell(
            self.engine,
            self.log,
            bounds=bounds,
            verify=verify,
            clock=clock,
            wall_clock=lambda: clock() + 1_000.0,
            fast=fast,
        )
        self.shell._patient.start(self.shell._logged)  # without the timer: ticks are steps here
        self.shell._stopped = True
        self.wires: list[Wire] = []
        self.connections: list[Connection] = []

    def open(self) -> None:
        """One more connection."""
        wire = Wire()
        self.wires.append(wire)
        connection = Connection(self.shell, wire, "127.0.0.1")
        self.connections.append(connection)
        connection.begin(b"", b"")

    def seen(self) -> dict[str, Any]:
        """All that may be compared."""
        state, stats, fanout = self.engine.state, self.shell.stats, self.shell.fanout
        number: dict[object, int] = {connection: place for place, connection in enumerate(self.connections)}
        jobs = [*self.log.jobs, *self.shell.performer._jobs]
        return {
            "wires": [wire.done for wire in self.wires],
            "stats": {name: getattr(stats, name) for name in Stats.__slots__ if name not in _MEASURED},
            "delivered": stats.delivery_seconds.count,
            "counts": (state.requests, state.sends, state.frames, state.counts, state.message_ids._count),
            "sessions": [
                (number[connection], one.phase, one.last_in, one.last_out, one.frames, one.awaiting_since, one.reads)
                for connection, one in state.sessions.items()
            ],
            "windows": [(user, list(one._times)) for user, one in state.windows._windows.items()]
            if state.windows is not None
            else None,
            "paces": {room: one.arrival for room, one in state.paces._paces.items()},
            "rooms": {
                name: (one.ring.seq, list(one.ring._kept), one.ring._newest, one.last_broadcast)
                for name, one in state.rooms.items()
            },
            "jobs": [
                (type(job), *(number[part] if isinstance(part, Connection) else part for part in astuple(job)))
                for job in jobs
            ],
            "connections": [
                (one._on_at, one.acks, one.out, one.deaf, one.closing, one._reading, one._held, one.close_code)
                for one in self.connections
            ],
            "fanout": [
                (name, room.pending, [number[one] for one in room.members], len(room.ahead), room.slices is None)
                for name, room in fanout._rooms.items()
            ],
            "flushing": (fanout.flushing.scheduled, fanout.flushing.waiting, len(fanout._dirty)),
        }


class Clock:
    """A number of seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Twins:
    """Both servers, told the same."""

    def __init__(self, settings: ChatSettings, bounds: Bounds) -> None:
        self.clock = Clock()
        setattr(asyncio.get_running_loop(), "time", self.clock)  # noqa: B010 - timers go by the number as well
        self.fast = Side(settings, bounds, self.clock, fast=True)
        self.ordinary = Side(settings, bounds, self.clock, fast=False)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.fast, self.ordinary

    def open(self) -> None:
        for side in self.sides:
            side.open()

    def hear(self, who: int, data: bytes) -> None:
        """A connection reads bytes."""
        for side in self.sides:
            connection = side.connections[who]
            if connection in side.shell.connections:
                connection.data_received(bytes(bytearray(data)))  # nothing is shared

    def say(self, who: int, payload: bytes) -> None:
        """A connection reads one whole frame."""
        self.hear(who, frame(Opcode.TEXT, payload))

    def answer(self, count: int = 1_000, *, fails: bool = False) -> None:
        for side in self.sides:
            side.log.answer(count, fails=fails)

    async def turn(self) -> None:
        """All that is due on the loop without time going by."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Until nothing more comes of what was said."""
        for _ in range(3):
            await self.turn()
            self.answer()
        await self.turn()

    def check(self) -> None:
        """Both are the same now."""
        fast, ordinary = self.fast.seen(), self.ordinary.seen()
        different = {what: (fast[what], ordinary[what]) for what in fast if fast[what] != ordinary[what]}
        assert not different

    def close(self) -> None:
        for side in self.sides:
            for connection in side.connections:
                if connection in side.shell.connections:
                    connection.connection_lost(None)
            side.shell.fanout.flushing.expect_no_more()
