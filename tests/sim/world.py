"""The engine under virtual time, with peers that are lists and a log that commits when it is told to.

No sockets, no tasks, no waiting: a test says what happens and when. The log here obeys the contract of
palaver.chat.effects (in order, each job answered once, duplicates told); tests/integration runs the real ones.
"""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from palaver.chat.commands import Objection
from palaver.chat.effects import (
    Append,
    Authenticate,
    Broadcast,
    Close,
    Consider,
    Effect,
    Failed,
    Fates,
    Found,
    Hold,
    Load,
    Loaded,
    LogJob,
    LogResult,
    Obey,
    Page,
    Paged,
    Redact,
    Redacted,
    Release,
    Save,
    Saved,
    Send,
    Stored,
    Subscribe,
    Unsubscribe,
)
from palaver.chat.engine import Engine
from palaver.chat.identity import Identity
from palaver.chat.records import Message, Sanction, User
from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings

Frame = dict[str, Any]
WALL = 1_790_000_000.0


class ModelLog:
    """What a log is, in the plainest words: a list per room. Commits only when told to; may be told to fail."""

    def __init__(self, epoch: str = "e1") -> None:
        self.epoch = epoch
        self.rooms: dict[str, list[Message]] = {}
        self.sends: dict[tuple[str, str, str], Message] = {}
        self.sanctions: list[Sanction] = []
        self.queue: list[LogJob] = []
        self.forgotten = 0  # how many of each room's oldest messages are not kept any more

    def commit(self, jobs: int | None = None, *, fail: bool = False) -> list[LogResult]:
        """Answer the oldest jobs, in order."""
        batch, self.queue = self.queue[:jobs], self.queue[jobs:] if jobs is not None else []
        return [Failed(job, "told to") if fail else self._do(job) for job in batch]

    def _kept(self, room: str) -> list[Message]:
        return self.rooms.get(room, [])[self.forgotten :]

    def _do(self, job: LogJob) -> LogResult:
        match job:
            case Append():
                return self._append(job)
            case Load():
                return Loaded(job, self._kept(job.room)[-100:], len(self.rooms.get(job.room, [])))
            case Page():
                kept = self._kept(job.room)
                if job.after is not None:
                    later = [one for one in kept if one.seq > job.after]
                    return Paged(job, later[: job.limit], len(later) <= job.limit)
                earlier = [one for one in kept if job.before is None or one.seq < job.before]
                return Paged(job, earlier[-job.limit :], len(earlier) <= job.limit)
            case Fates():
                known = {cid: self.sends.get((job.room, job.user, cid)) for cid in job.cids}
                return Found(job, {cid: one.seq if one else None for cid, one in known.items()})
            case Redact():
                return Redacted(job, self._redact(job))
            case Save():
                self.sanctions.append(job.sanction)
                return Saved(job)

    def _append(self, job: Append) -> Stored:
        first = self.sends.get((job.room, job.user.id, job.cid)) if job.cid is not None else None
        if first is not None:
            return Stored(job, first.seq, first.mid, first.time, duplicate=True)
        room = self.rooms.setdefault(job.room, [])
        message = Message(job.room, len(room) + 1, self.epoch, job.mid, job.time, job.user, job.text, job.cid)
        room.append(message)
        if job.cid is not None:
            self.sends[job.room, job.user.id, job.cid] = message
        return Stored(job, message.seq, message.mid, message.time, duplicate=False)

    def _redact(self, job: Redact) -> Message | None:
        room = self.rooms.get(job.room, [])
        if not self.forgotten < job.seq <= len(room):
            return None
        old = room[job.seq - 1]
        room[job.seq - 1] = Message(
            old.room, old.seq, old.epoch, old.mid, old.time, old.user, "", old.cid, deleted=True
        )
        return room[job.seq - 1]


@dataclass(eq=False)
class Peer:
    """One connection's other end: what it was sent, and how it ended."""

    world: "World"
    ip: str = "127.0.0.1"
    inbox: list[Frame] = field(default_factory=list)
    closed: int | None = None
    rooms: set[str] = field(default_factory=set)
    user: str = ""
    session: str | None = None

    def say(self, kind: str, **fields: object) -> str:
        """Send a request without waiting for anything; returns its id."""
        re = str(next(self.world.ids))
        self.send_raw(json.dumps({"type": kind, "id": re, **fields}).encode())
        return re

    def send_raw(self, data: bytes) -> None:
        """Send one text frame."""
        self.world.perform(self.world.engine.receive(self, data, self.world.now))

    def ask(self, kind: str, **fields: object) -> Frame:
        """Send a request, let the log commit, and return the one answer."""
        re = self.say(kind, **fields)
        self.world.commit()
        answers = [frame for frame in self.inbox if frame.get("re") == re]
        assert len(answers) == 1, f"{kind} was answered {len(answers)} times"
        return answers[0]

    def auth(self, name: str, **fields: object) -> "Peer":
        """Become a guest."""
        ack = self.ask("auth", name=name, **fields)
        assert ack["type"] == "ack", ack
        self.user, self.session = ack["user"]["id"], ack["session"]
        return self

    def disconnect(self) -> None:
        """The transport is gone."""
        self.world.perform(self.world.engine.disconnected(self, self.world.now))
        self.world.held.discard(self)
        self.rooms.clear()

    def pushes(self, kind: str) -> list[Frame]:
        """What came unasked, of one type."""
        return [frame for frame in self.inbox if frame["type"] == kind and "re" not in frame]

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed the connection."""
        return self.closed is None

    @property
    def last(self) -> Frame:
        """The newest frame."""
        return self.inbox[-1]


class World:
    """An engine, its log, its peers and the time."""

    def __init__(self, settings: ChatSettings | None = None, *, log: ModelLog | None = None) -> None:
        self.now = 1000.0
        self.ids = count(1)
        self.log = log or ModelLog()
        self.verifying: list[Authenticate] = []
        self.objection: Objection | None = None  # to every command
        self.considered: list[Consider] = []
        self.obeyed: list[Obey] = []
        draws = count(1)
        self.engine = Engine(
            settings or ChatSettings(),
            epoch=self.log.epoch,
            durability="disk",
            node="n1",
            server="palaver/test",
            secret=b"s" * 32,
            entropy=lambda size: next(draws).to_bytes(size, "big"),
            wall=WALL - 1000.0,
            sanctions=self.log.sanctions,
        )
        self.subscribers: dict[str, list[Peer]] = {}
        self.held: set[Peer] = set()  # from whom no more requests are taken now

    def connect(self, ip: str = "127.0.0.1") -> Peer:
        """Open a connection."""
        peer = Peer(self, ip)
        self.perform(self.engine.connected(peer, ip, self.now))
        return peer

    def guest(self, name: str, *rooms: str, ip: str = "127.0.0.1", session: str | None = None) -> Peer:
        """Open a connection, become a guest, join rooms."""
        fields = {} if session is None else {"session": session}
        peer = self.connect(ip).auth(name, **fields)
        for room in rooms:
            assert peer.ask("join", room=room)["type"] == "ack"
        return peer

    def owner(self, user: str, rights: Rights, *rooms: str, expires: float | None = None) -> Peer:
        """Open a connection with a token that was verified."""
        peer = self.connect()
        peer.say("auth", token="t")
        self.verify(peer, user, rights, expires=expires)
        peer.user = user
        for room in rooms:
            assert peer.ask("join", room=room)["type"] == "ack"
        return peer

    def caller(self, user: str, rights: Rights | None = None) -> Peer:
        """Somebody who comes by HTTP, with a token that was verified."""
        peer = Peer(self)
        identity = Identity(User(user, user.title()), rights or Rights(), None, None)
        self.perform(self.engine.connected_http(peer, peer.ip, identity, self.now))
        return peer

    def verify(self, peer: Peer, user: str, rights: Rights, *, expires: float | None = None) -> None:
        """Answer the oldest token that waits for verification."""
        asked = self.verifying.pop(0)
        expires_ms = None if expires is None else int((expires - 1000.0 + WALL) * 1000)
        identity = Identity(User(user, user.title()), rights, expires, expires_ms)
        self.perform(self.engine.authenticated(peer, asked.re, identity, self.now))

    def commit(self, jobs: int | None = None, *, fail: bool = False) -> None:
        """Let the log answer, and what its answers lead to, until it has nothing left (or `jobs` are answered)."""
        while self.log.queue:
            self.perform(self.engine.logged(self.log.commit(jobs, fail=fail), self.now))
            if jobs is not None:
                return
        assert not self.held, "everybody is heard again when the log has nothing left to answer"

    def advance(self, seconds: float) -> None:
        """Let time pass, with every timer at its time."""
        end = self.now + seconds
        while (when := self.engine.deadline()) is not None and when <= end:
            self.now = max(self.now, when)
            self.perform(self.engine.tick(self.now))
        self.now = end
        self.perform(self.engine.tick(self.now))

    def perform(self, effects: list[Effect]) -> None:
        """Do what the engine asks, in order."""
        for effect in effects:
            match effect:
                case Send(connection=Peer() as peer, frame=frame):
                    assert peer.closed is None, "nothing is sent after a close"
                    peer.inbox.append(json.loads(frame))
                case Broadcast():
                    for peer in self.subscribers.get(effect.room, []):
                        if peer is not effect.skip:
                            peer.inbox.append(json.loads(effect.frame))
                case Subscribe(connection=Peer() as peer):
                    if effect.room not in peer.rooms:
                        peer.rooms.add(effect.room)
                        self.subscribers.setdefault(effect.room, []).append(peer)
                case Unsubscribe(connection=Peer() as peer):
                    peer.rooms.discard(effect.room)
                    self.subscribers[effect.room].remove(peer)
                case Close(connection=Peer() as peer):
                    assert not peer.rooms, "a closed connection is in no room"
                    peer.closed = effect.code
                    self.held.discard(peer)
                case Hold(connection=Peer() as peer):
                    assert peer not in self.held
                    self.held.add(peer)
                case Release(connection=Peer() as peer):
                    self.held.remove(peer)
                case Consider():
                    self.considered.append(effect)
                    self.perform(self.engine.considered(effect, self.objection, self.now))
                case Obey():
                    self.obeyed.append(effect)
                case Authenticate():
                    self.verifying.append(effect)
                case Append() | Load() | Page() | Fates() | Redact() | Save():
                    self.log.queue.append(effect)
                case _:
                    raise AssertionError(effect)
