"""What the parts of the engine share: the sessions, people and rooms of this node, and the list of effects being made.

Refuses to do: decide anything. Invariants: `out` is empty between two calls of the engine; a session is in `sessions`
from `connected` until it is closed or gone, and never after.
"""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from palaver.chat import replies, requests
from palaver.chat.effects import Broadcast, Connection, Effect, Hold, Release, Send, Urgency
from palaver.chat.errors import Scope
from palaver.chat.limits import Bucket, RoomPaces, UserWindows
from palaver.chat.message_ids import MessageIds
from palaver.chat.people import People
from palaver.chat.records import Durability, Message
from palaver.chat.rooms import Ring, Room
from palaver.chat.session import Session
from palaver.chat.settings import ChatSettings
from palaver.chat.timers import Timers

_RETRY_MS = 1_000  # after `unavailable`: time enough for a disk to be back, and not so long that people give up


def _bucket(rate: int | None, burst_seconds: float) -> Bucket | None:
    return None if rate is None else Bucket(rate, max(1.0, rate * burst_seconds))


class State:
    """The state of one engine."""

    __slots__ = (
        "counts",
        "durability",
        "epoch",
        "frame_bucket",
        "frame_seconds",
        "frames",
        "heartbeat_seconds",
        "ip_connect_bucket",
        "ip_connects",
        "ip_frame_bucket",
        "ip_frames",
        "message_ids",
        "out",
        "paces",
        "people",
        "requests",
        "room_bucket",
        "room_seconds",
        "rooms",
        "sends",
        "sessions",
        "settings",
        "stall",
        "timers",
        "wall",
        "windows",
    )

    def __init__(
        self,
        settings: ChatSettings,
        *,
        epoch: str,
        durability: Durability,
        secret: bytes,
        entropy: Callable[[int], bytes],
        wall: float,
    ) -> None:
        self.settings = settings
        self.epoch = epoch
        self.durability = durability
        self.wall = wall  # Unix seconds minus monotonic seconds
        self.stall = 0.0  # seconds the server itself stood still, summed up
        self.out: list[Effect] = []
        self.sessions: dict[Connection, Session] = {}
        self.people = People(secret, entropy)
        self.message_ids = MessageIds(entropy(8))
        self.rooms: dict[str, Room] = {}
        self.timers = Timers()
        self.counts: Counter[tuple[str, str]] = Counter()  # (what, which), read by the metrics
        # Counted for every message, and a Counter takes three times as long as a dict.
        self.sends = {"stored": 0, "duplicate": 0, "unavailable": 0}
        self.requests = dict.fromkeys(requests.TYPES.values(), 0)  # understood and within the limits, by kind
        # Made for clients, by kind; one for a whole room is one; no errors.
        self.frames: dict[type[Struct], int] = dict.fromkeys((*replies.Reply.__subclasses__(), Message), 0)
        self.heartbeat_seconds = 0.0  # from a ping to its answer, summed up
        self.windows = None if settings.messages is None else UserWindows(settings.messages, settings.per_seconds)
        self.frame_bucket = _bucket(settings.frames_per_second, 2)
        self.room_bucket = _bucket(settings.room_messages_per_second, 1)
        # What an event costs in a bucket that is empty; nothing where there is no bucket.
        self.frame_seconds = 0.0 if self.frame_bucket is None else self.frame_bucket.interval
        self.room_seconds = 0.0 if self.room_bucket is None else self.room_bucket.interval
        self.paces = RoomPaces()
        self.ip_connect_bucket = _bucket(settings.ip_connects_per_second, 10)
        self.ip_frame_bucket = _bucket(settings.ip_unauthenticated_frames_per_second, 10)
        self.ip_connects: dict[str, float] = {}  # address -> state of its bucket
        self.ip_frames: dict[str, float] = {}

    def take_out(self) -> list[Effect]:
        """Hand over the effects made since the last time."""
        out, self.out = self.out, []
        return out

    def wall_ms(self, now: float) -> int:
        """Milliseconds since the Unix epoch at `now`."""
        return int((now + self.wall) * 1000)

    def new_room(self, name: str, now: float) -> Room:
        """A room that still has to be loaded."""
        ring = Ring(self.settings.history, self.settings.history_age_seconds)
        room = self.rooms[name] = Room(name, ring, now)
        return room

    def send(self, session: Session, frame: replies.Reply, now: float, *, overtakable: bool = False) -> None:
        """Send one frame to one connection."""
        session.last_out = now
        self.frames[type(frame)] += 1
        self.out.append(Send(session.connection, replies.encode(frame), overtakable))

    def broadcast(self, room: str, frame: replies.Reply, urgency: Urgency, *, skip: Connection | None = None) -> None:
        """Send one frame that is no message to everybody in a room."""
        self.frames[type(frame)] += 1
        self.out.append(Broadcast(room, replies.encode(frame), urgency, skip=skip))

    def refuse(
        self,
        session: Session,
        re: str | None,
        code: str,
        message: str,
        now: float,
        *,
        retry_after_ms: int | None = None,
        scope: Scope | None = None,
        field: str | None = None,
        room: str | None = None,
    ) -> None:
        """Answer a request with an error."""
        session.last_out = now
        self.counts["errors", code] += 1
        if scope is not None:
            self.counts["rate_limited", scope] += 1
        frame = replies.error(re, code, message, retry_after_ms=retry_after_ms, scope=scope, field=field, room=room)
        self.out.append(Send(session.connection, frame))

    def unavailable(self, session: Session, re: str, now: float, *, writing: bool) -> None:
        """Refuse a request because the store is away."""
        text = "The store is not available; nothing was stored." if writing else "The store cannot be read now."
        self.refuse(session, re, "unavailable", f"{text} Try again.", now, retry_after_ms=_RETRY_MS)

    def hold(self, session: Session) -> None:
        """The log reads something for a connection: no more requests until each such read is answered."""
        session.reads += 1
        if session.reads == 1:
            self.out.append(Hold(session.connection))

    def release(self, session: Session) -> None:
        """One read of the log for a connection is answered."""
        session.reads -= 1
        if session.reads == 0:
            self.out.append(Release(session.connection))

    def sweep(self, now: float) -> None:
        """Forget limits that weigh nothing any more, and what can be made again."""
        if self.windows is not None:
            self.windows.sweep(now)
        self.paces.sweep(now)
        for room in self.rooms.values():
            room.forget_copies()
        self.ip_connects = {ip: arrival for ip, arrival in self.ip_connects.items() if arrival > now}
        self.ip_frames = {ip: arrival for ip, arrival in self.ip_frames.items() if arrival > now}
