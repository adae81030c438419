"""A world in virtual time for the client's core: a model server that follows protocol.md, and links that break.

The server here is deliberately naive: lists and loops, no sharing with the product. Everything that was ever stored is
remembered in `Server.everything`, also after pruning and restarts, so that laws can be checked against the truth.
"""

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from palaver.client.connection import Connection
from palaver.client.effects import Deliver, Dial, Hang, Renew, Resolve, Write
from palaver.client.errors import Closed
from palaver.client.events import Event
from palaver.client.link import Identity, Policy
from palaver.client.outbox import Outcome
from palaver.client.room import Reading

Frame = dict[str, Any]


@dataclass
class Wire:
    """One network connection: frames on their way in both directions."""

    client: "Client"
    link: int
    up: deque[Frame] = field(default_factory=deque)
    down: deque[Frame] = field(default_factory=deque)
    user: Frame | None = None
    rooms: set[str] = field(default_factory=set)


@dataclass
class Log:
    """A room's messages in one epoch."""

    epoch: str
    messages: list[Frame] = field(default_factory=list)


class Server:
    """The model. `keep` messages are kept per room; `limit` messages per second and user are accepted."""

    def __init__(self, keep: int, limit: int | None) -> None:
        self.keep, self.limit = keep, limit
        self.up = True
        self.life = 1
        self.logs: dict[str, Log] = {}
        self.everything: list[Frame] = []
        self.pruned: set[tuple[str, str, int]] = set()
        self.wires: list[Wire] = []
        self.sessions: dict[str, Frame] = {}
        self.accepted: dict[str, deque[float]] = defaultdict(deque)
        self.down_for = 0  # so many sends are refused with `unavailable`
        self.refusals: dict[str, int] = defaultdict(int)

    def restart(self, *, forget: bool) -> None:
        """Kill -9 and start again; with `forget` on an empty store."""
        self.wires.clear()
        if forget:
            self.life += 1
            self.logs.clear()
            self.sessions.clear()

    def connect(self, wire: Wire) -> None:
        self.wires.append(wire)
        limits = {"frame_bytes": 65536, "messages": self.limit, "per_seconds": 1.0, "text_chars": 4000}
        beat = {"interval": 25.0, "timeout": 10.0}
        wire.down.append({"type": "hello", "protocol": 1, "time": 0, "heartbeat": beat, "limits": limits, "new": 1})

    def receive(self, wire: Wire, frame: Frame, now: float) -> None:
        answer = getattr(self, "_" + frame["type"])(wire, frame, now)
        if answer is not None:
            wire.down.append(
                {"re": frame["id"], **({"type": "ack"} if "code" not in answer else {"type": "error"}), **answer}
            )

    def log(self, room: str) -> Log:
        return self.logs.setdefault(room, Log(f"e{self.life}"))

    def kept(self, room: str) -> list[Frame]:
        return self.log(room).messages[-self.keep :]

    def _auth(self, wire: Wire, frame: Frame, now: float) -> Frame:
        session = frame.get("session")
        if session is not None and session not in self.sessions:
            return self._refuse("invalid_token")
        if session is None:
            session = f"s-{self.life}-{len(self.sessions)}"
            self.sessions[session] = {"id": f"u{self.life}-{len(self.sessions)}", "name": frame["name"]}
        wire.user = self.sessions[session]
        return {"user": wire.user, "session": session, "expires": None}

    def _join(self, wire: Wire, frame: Frame, now: float) -> Frame:
        assert wire.user is not None
        room, since = frame["room"], frame.get("since")
        wire.rooms.add(room)
        log, kept = self.log(room), self.kept(room)
        last = len(log.messages)
        gap: Frame | None = None
        if since is None:
            messages, recovered = kept[-3:], "none"
        elif since["epoch"] != log.epoch or since["seq"] > last:
            messages, recovered = kept[-3:], "gap"
            gap = {"from": 1, "to": last - len(messages), "reason": "epoch"}
        else:
            missed = last - since["seq"]
            messages = kept[-min(3, missed) :] if missed else []
            recovered = "full"
            if len(messages) < missed:
                recovered = "gap"
                still = bool(kept) and kept[0]["seq"] < messages[0]["seq"]
                reason = "limit" if still else "retention"
                gap = {"from": since["seq"] + 1, "to": last - len(messages), "reason": reason}
        stored = {m["cid"]: {"seq": m["seq"]} for m in log.messages if m["user"] == wire.user}
        sent = {cid: stored.get(cid) for cid in frame.get("sent", [])}
        picture = {"room": room, "epoch": log.epoch, "seq": last, "messages": messages, "recovered": recovered}
        return {**picture, "members": [wire.user], "member_count": 1, "sent": sent, **({"gap": gap} if gap else {})}

    def _leave(self, wire: Wire, frame: Frame, now: float) -> Frame:
        wire.rooms.discard(frame["room"])
        return {}

    def _history(self, wire: Wire, frame: Frame, now: float) -> Frame:
        later = [m for m in self.kept(frame["room"]) if m["seq"] > (frame.get("after") or 0)]
        page = later[:2]  # small pages, so that several are needed
        return {"room": frame["room"], "messages": page, "complete": len(later) <= 2}

    def _send(self, wire: Wire, frame: Frame, now: float) -> Frame:
        assert wire.user is not None
        room = frame["room"]
        log = self.log(room)
        if room not in wire.rooms:
            return self._refuse("not_joined")
        for message in log.messages:
            if message["cid"] == frame["cid"] and message["user"] == wire.user:
                return self._stored(message, duplicate=True)
        if self.down_for:
            self.down_for -= 1
            return self._refuse("unavailable", 300)
        if frame["text"].startswith("bad"):
            return self._refuse("invalid_text")
        wait = self._wait(wire.user["id"], now)
        if wait > 0:
            return self._refuse("rate_limited", wait)
        seq = len(log.messages) + 1
        message = {"type": "message", "room": room, "seq": seq, "epoch": log.epoch, "mid": f"m{seq}", "time": 0}
        message |= {"user": wire.user, "text": frame["text"], "cid": frame["cid"]}
        log.messages.append(message)
        self.everything.append(message)
        if seq > self.keep:
            self.pruned.add((room, log.epoch, seq - self.keep))
        for other in self.wires:
            if room in other.rooms:
                other.down.append(message)
        return self._stored(message, duplicate=False)

    def _typing(self, wire: Wire, frame: Frame, now: float) -> Frame:
        for other in self.wires:
            if frame["room"] in other.rooms and other is not wire:
                other.down.append({"type": "typing", "room": frame["room"], "user": wire.user})
        return {}

    def _pong(self, wire: Wire, frame: Frame, now: float) -> None:
        return None

    def _wait(self, user: str, now: float) -> int:
        if self.limit is None:
            return 0
        times = self.accepted[user]
        while times and times[0] <= now - 1.0:
            times.popleft()
        if len(times) >= self.limit:
            return int((times[0] + 1.0 - now) * 1000) + 1
        times.append(now)
        return 0

    def _refuse(self, code: str, after: int | None = None) -> Frame:
        self.refusals[code] += 1
        return {"code": code, "message": code, "retryable": after is not None, "retry_after_ms": after}

    @staticmethod
    def _stored(message: Frame, *, duplicate: bool) -> Frame:
        fields = {name: message[name] for name in ("room", "seq", "epoch", "mid", "time")}
        return {**fields, "duplicate": duplicate, "durability": "disk"}


class Client:
    """One core under test with everything it ever said."""

    def __init__(self, name: str, world: "World", policy: Policy) -> None:
        self.world = world
        self.core = Connection(Identity(name=name), policy, lambda: 0.5)
        self.readings: dict[str, Reading] = {}
        self.outcomes: dict[str, list[Outcome]] = defaultdict(list)
        self.read: dict[str, list[Event]] = defaultdict(list)
        self.posted: list[tuple[str, str]] = []  # room, cid
        self.wire: Wire | None = None

    def perform(self) -> None:
        for effect in self.core.effects():
            match effect:
                case Dial(link):
                    self.world.dial(self, link)
                case Write(data):
                    assert self.wire is not None, "a write needs a connection"
                    self.wire.up.append(json.loads(data))
                case Hang():
                    self.world.cut(self)
                case Resolve(cid, outcome):
                    self.outcomes[cid].append(outcome)
                case Renew():
                    raise AssertionError("a guest needs no token")
                case Deliver():
                    pass

    def drain(self, room: str, count: int) -> None:
        for _ in range(count):
            event = self.core.take(self.readings[room], self.world.now)
            self.perform()
            if event is None:
                return
            self.read[room].append(event)


class World:
    """The server, the clients, the wires between them, and the time."""

    def __init__(self, *, clients: int, keep: int, limit: int | None, inbox: int, window: int = 1) -> None:
        self.now = 100.0
        self.server = Server(keep, limit)
        policy = Policy(inbox=inbox, window=window, backoff_base=0.5, backoff_cap=4.0)
        self.clients = [Client(f"c{index}", self, policy) for index in range(clients)]
        self.dialling: list[tuple[Client, int]] = []
        for client in self.clients:
            client.core.start(self.now)
            client.perform()

    def dial(self, client: Client, link: int) -> None:
        self.dialling.append((client, link))

    def cut(self, client: Client) -> None:
        """The client hung up: nothing more is reported of this link."""
        if client.wire in self.server.wires:
            self.server.wires.remove(client.wire)
        client.wire = None
        self.dialling = [each for each in self.dialling if each[0] is not client]

    def lose(self, client: Client, code: int | None = None) -> None:
        """The network drops everything in the air and tells the client."""
        wire = client.wire
        if wire is not None:
            self.cut(client)
            client.core.lost(wire.link, code, "", self.now)
            client.perform()

    def kill(self, *, forget: bool) -> None:
        self.server.restart(forget=forget)
        for client in self.clients:
            self.lose(client)

    def post(self, client: Client, room: str, text: str, expires: float | None = None) -> str:
        cid = f"{client.core.state.value}-{len(client.posted)}-{id(client)}"
        client.posted.append((room, cid))
        at = None if expires is None else self.now + expires
        client.core.post(room, text, cid, expires_at=at, now=self.now)
        client.perform()
        return cid

    def join(self, client: Client, room: str) -> None:
        client.readings[room] = client.core.join(room, since=None, history=True, now=self.now)
        client.perform()

    def step(self, client: Client, *, up: int, down: int) -> None:
        """Let so many frames arrive in each direction."""
        for mine, link in [each for each in self.dialling if each[0] is client]:
            self.dialling.remove((mine, link))
            if self.server.up:
                client.wire = Wire(client, link)
                self.server.connect(client.wire)
                client.core.opened(link, self.now)
            else:
                client.core.lost(link, None, "refused", self.now)
            client.perform()
        for _ in range(up):
            if client.wire is not None and client.wire.up:
                self.server.receive(client.wire, client.wire.up.popleft(), self.now)
        for _ in range(down):
            if client.wire is not None and client.wire.down:
                client.core.received(client.wire.link, json.dumps(client.wire.down.popleft()), self.now)
                client.perform()

    def advance(self, seconds: float) -> None:
        """Let time pass, with every deadline on the way."""
        end = self.now + seconds
        while True:
            deadlines = [d for client in self.clients if (d := client.core.deadline(self.now)) is not None]
            due = min([*deadlines, end])
            self.now = max(self.now + 0.001, due) if due < end else end
            for client in self.clients:
                client.core.tick(self.now)
                client.perform()
            if self.now >= end:
                return

    def quiesce(self, rounds: int = 400) -> None:
        """No more faults: everything arrives, readers read, time passes, until nothing moves."""
        self.server.up, self.server.down_for = True, 0
        for _ in range(rounds):
            for client in self.clients:
                self.step(client, up=1000, down=1000)
                for room in client.readings:
                    client.drain(room, 1000)
            self.advance(0.25)
            if all(self._settled(client) for client in self.clients):
                return
        raise AssertionError(f"not settled: {[(c.core.state, c.readings) for c in self.clients]}")

    def _settled(self, client: Client) -> bool:
        if isinstance(client.core.error, Closed):
            return True
        answered = all(len(client.outcomes[cid]) == 1 for _, cid in client.posted)
        caught_up = all(
            reading.position is not None
            and (reading.position.epoch, reading.position.seq)
            == (self.server.log(room).epoch, len(self.server.log(room).messages))
            and not reading.inbox
            for room, reading in client.readings.items()
        )
        return answered and caught_up
