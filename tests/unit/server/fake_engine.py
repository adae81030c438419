"""A small engine with the face of the real one: just enough chat to try the shell without it."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from palaver.chat.commands import Objection
from palaver.chat.effects import (
    Append,
    Authenticate,
    Broadcast,
    Close,
    Connection,
    Consider,
    Effect,
    LogJob,
    LogResult,
    Send,
    Stored,
    Subscribe,
    Unsubscribe,
    Urgency,
)
from palaver.chat.identity import Identity, Refusal
from palaver.chat.records import User


class FakeEngine:
    """Requests are {"type": ..., "id": ..., ...}; a `fault` raises, `big` answers with that many bytes."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.connections: dict[Connection, str] = {}
        self.heard_from: list[Connection] = []
        self.binaries = 0
        self.stalls: list[float] = []
        self.ticks: list[float] = []
        self.next_deadline: float | None = None
        self.gone: list[Connection] = []
        self.verdicts: list[Identity | Refusal] = []

    def connected(self, connection: Connection, ip: str, now: float) -> list[Effect]:
        assert connection not in self.connections
        self.connections[connection] = ip
        return [Send(connection, msgspec.json.encode({"type": "hello", "ip": ip}))]

    def connected_http(self, connection: Connection, ip: str, identity: Identity, now: float) -> list[Effect]:
        self.connections[connection] = ip
        return []

    def receive(self, connection: Connection, data: bytes, now: float) -> list[Effect]:
        request: dict[str, Any] = msgspec.json.decode(data)
        kind, re, room = request["type"], request["id"], request.get("room", "")
        ack = Send(connection, msgspec.json.encode({"type": "ack", "re": re}))
        match kind:
            case "join":
                return [ack, Subscribe(connection, room)]
            case "leave":
                return [Unsubscribe(connection, room), ack]
            case "send":
                return [Append(connection, re, room, User("u", "u"), request["text"], None, "m", 0)]
            case "shout":
                text = request["text"]
                return [ack, Broadcast(room, text.encode(), Urgency.MESSAGE, request.get("seq", 1))]
            case "big":
                return [Send(connection, b"x" * request["bytes"]), ack]
            case "close":
                return [ack, Close(connection, request["code"], "asked for")]
            case "auth":
                return [Authenticate(connection, re, request["token"])]
            case "fault":
                raise RuntimeError("a fault of the engine")
            case "push":
                return [Send(connection, b'{"type":"notice"}'), ack]
        return [ack]

    def receive_binary(self, connection: Connection, now: float) -> list[Effect]:
        self.binaries += 1
        return []

    def heard(self, connection: Connection, now: float) -> list[Effect]:
        self.heard_from.append(connection)
        return []

    def authenticated(self, connection: Connection, re: str, verdict: Identity | Refusal, now: float) -> list[Effect]:
        self.verdicts.append(verdict)
        said = verdict.code if isinstance(verdict, Refusal) else verdict.user.id
        return [Send(connection, msgspec.json.encode({"type": "ack", "re": re, "user": said}))]

    def catching_up(self, connection: Connection, now: float) -> list[Effect]:
        return []

    def too_slow(self, connection: Connection, now: float) -> list[Effect]:
        return [Close(connection, 4108, "too slow a reader")]

    def logged(self, results: Iterable[LogResult], now: float) -> list[Effect]:
        out: list[Effect] = []
        for result in results:
            assert isinstance(result, Stored)
            job = result.job
            frame = msgspec.json.encode({"type": "message", "seq": result.seq, "text": job.text})
            out.append(Broadcast(job.room, frame, Urgency.MESSAGE, result.seq))
            out.append(Send(job.connection, msgspec.json.encode({"type": "ack", "re": job.re, "seq": result.seq})))
        return out

    def disconnected(self, connection: Connection, now: float) -> list[Effect]:
        del self.connections[connection]
        self.gone.append(connection)
        return []

    def tick(self, now: float) -> list[Effect]:
        self.ticks.append(now)
        self.next_deadline = None
        return []

    def deadline(self) -> float | None:
        return self.next_deadline

    def stalled(self, seconds: float) -> None:
        self.stalls.append(seconds)

    def considered(self, effect: Consider, objection: Objection | None, now: float) -> list[Effect]:
        return []

    def drain(self, window_seconds: float, now: float) -> list[Effect]:
        return [Send(connection, b'{"type":"notice","code":"shutdown"}') for connection in self.connections]

    def close_all(self, now: float) -> list[Effect]:
        return [Close(connection, 4201, "the server is shutting down") for connection in self.connections]


class FakeLog:
    """Answers at once, in the next turn of the loop, with one numbering for all rooms."""

    def __init__(self) -> None:
        self.seq = 0
        self.closed = False

    def start(self, on_results: Any) -> None:
        self._on_results = on_results

    def submit(self, jobs: Sequence[LogJob]) -> None:
        results = []
        for job in jobs:
            assert isinstance(job, Append)
            self.seq += 1
            results.append(Stored(job, self.seq, "m", 0, duplicate=False))
        asyncio.get_running_loop().call_soon(self._on_results, results)

    async def close(self) -> None:
        self.closed = True
