"""Who gets which bytes, in which order, in one write.

A broadcast is framed once. The frames of one turn of the event loop are joined once per room and written once per
connection; those of a few turns where much more is about to come (palaver.server.flushing). What a connection gets
directly goes into the same write, and acks go behind it, so that who is acknowledged shares the room's bytes. A room of
more than `slice_members` is written in slices, one per turn, with everything else in between. A connection whose buffer
is full leaves its rooms' hot lists: what it misses is kept once per room, for all that lag there, and is written when
the connection has drained. What may wait for one connection is bounded by bytes and by time (palaver.server.laggards).

Refuses to do: decide who may get what, read a frame's content, close transports. Invariants: a connection gets its
direct frames and each room's frames in the order in which they were given here, but that an ack may be overtaken by
frames of its room that go into the same write; between Subscribe and Unsubscribe it gets every message of the room,
none twice; nobody waits for anybody else's socket; `connection.out` is not None exactly while the connection is in
`_touched`.
"""

from collections import deque
from collections.abc import Callable
from typing import cast

from palaver.chat.effects import Broadcast
from palaver.server.bounds import Bounds
from palaver.server.fanout_room import FanoutRoom, Reader, Slices
from palaver.server.fastpath import ORDINARY, Writers
from palaver.server.flushing import Flushing
from palaver.server.framing import text_frame
from palaver.server.lag import Backlog
from palaver.server.laggards import Laggards, Told
from palaver.server.stats import Stats


class Fanout:
    """All rooms and their connections on this node. Used from the event loop only; never waits."""

    __slots__ = (
        "_acknowledged",
        "_bounds",
        "_congested",
        "_dirty",
        "_rooms",
        "_slicing",
        "_stats",
        "_too_slow",
        "_touched",
        "_writers",
        "flushing",
        "lagging",
    )

    def __init__(
        self,
        bounds: Bounds,
        stats: Stats,
        *,
        clock: Callable[[], float],
        too_slow: Told,
        catching_up: Told,
        writers: Writers = ORDINARY,
    ) -> None:
        """`too_slow` is called for one for which too much waits, until it is removed: it has to be closed.

        `catching_up` is called for one that was behind whenever it has taken a part of what waited, or all of it.
        """
        self._bounds = bounds
        self._stats = stats
        self._too_slow = too_slow
        self._writers = writers
        self.flushing = Flushing(self._flush)
        self._rooms: dict[str, FanoutRoom] = {}
        self._dirty: list[FanoutRoom] = []  # rooms with pending frames and no slices on their way
        self._slicing: deque[FanoutRoom] = deque()
        self._touched: list[Reader] = []
        self._acknowledged: list[Reader] = []
        self._congested: list[Reader] = []
        self.lagging = Laggards(bounds, stats, clock=clock, too_slow=too_slow, catching_up=catching_up)

    # ---- effects, in their order ----

    def send(self, reader: Reader, data: bytes) -> None:
        """Write framed bytes to one connection, after everything it was to get before."""
        if reader.rooms:
            self._settle(reader)
        self._put(reader, data)

    def acknowledge(self, reader: Reader, data: bytes) -> None:
        """Write framed bytes as `send` does, but frames of its room that come before the next flush may go first."""
        if reader.acks is not None:
            reader.acks += data
            return
        rooms = reader.rooms
        if len(rooms) == 1:
            (room,) = rooms
            if room.pending and room.slices is None and room.backlog is None:
                reader.acks = data
                self._acknowledged.append(reader)
                return
        self.send(reader, data)

    def broadcast(self, effect: Broadcast) -> None:
        """Write one frame to all connections of a room."""
        room = self._rooms.get(effect.room)
        if room is None:
            return
        frame = text_frame(effect.frame)
        self._stats.broadcasts += 1
        if room.backlog is not None:
            room.backlog.add(frame, effect)
            for reader in room.backlog.overdue(self._bounds.waiting_bytes):
                self._too_slow(reader)
        if not room.members:
            return
        if effect.skip is not None:
            skip = cast("Reader", effect.skip)
            if skip in room.members:
                self._skip_next(room, skip)
        if not room.pending and room.slices is None:
            self.due(room)
        room.pending.append(frame)

    def due(self, room: FanoutRoom) -> None:
        """The room gets its first frame for the next flush."""
        self._dirty.append(room)
        self.flushing.schedule()

    def subscribe(self, reader: Reader, name: str) -> None:
        """From here on the connection gets the room's frames."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = FanoutRoom(name)
        if room in reader.rooms:
            return
        reader.rooms = (*reader.rooms, room)
        self._stats.subscriptions += 1
        if reader in self.lagging:
            self._fall_back(reader, room)
        else:
            self._enter(reader, room)

    def unsubscribe(self, reader: Reader, name: str) -> None:
        """From here on the connection gets none of the room's frames; what came before it still gets."""
        room = self._rooms.get(name)
        if room is None or room not in reader.rooms:
            return
        self._settle(reader)
        self._leave(reader, room)

    def remove(self, reader: Reader) -> None:
        """The connection closes or is gone: it is in no room any more. Idempotent."""
        if reader.acks is not None:
            self._settle(reader)
        for room in reader.rooms:
            self._leave(reader, room)
        self.lagging.remove(reader)

    def settle(self, reader: Reader) -> None:
        """Put everything that the connection was to get so far into its next write."""
        self._settle(reader)

    def flush(self, reader: Reader) -> None:
        """Write now what is in the connection's next write."""
        if reader.out:
            self._write(reader)

    # ---- the end of a turn ----

    def _flush(self) -> None:
        try:
            dirty, self._dirty = self._dirty, []
            for room in dirty:
                if len(room.members) > self._bounds.slice_members:
                    self._begin_slices(room)
                else:
                    self._write_room(room)
            acknowledged, self._acknowledged = self._acknowledged, []
            for reader in acknowledged:
                if reader.acks is not None:
                    self._settle(reader)
            touched, self._touched = self._touched, []
            for reader in touched:
                if reader.out is not None:
                    self._write(reader)
        finally:
            self.flushing.done()
        if self._slicing:
            self._write_slice()
        if self._congested:
            self._demote()
        if self._slicing:
            self.flushing.schedule()

    def _write_room(self, room: FanoutRoom) -> None:
        frames, room.pending = room.pending, []
        ahead, room.ahead = room.ahead, {}
        chunk = frames[0] if len(frames) == 1 else b"".join(frames)
        others, writes, size = self._writers.write_members(room.members, ahead, chunk)
        for reader in others:
            start = ahead.get(reader, 0)
            if start == 0:
                self._put(reader, chunk)
            elif start < len(frames):
                self._put(reader, b"".join(frames[start:]))
        self._stats.deliveries += len(frames) * len(room.members)
        self._stats.writes += writes
        self._stats.bytes_out += size

    def _begin_slices(self, room: FanoutRoom) -> None:
        room.slices = Slices(room.pending, room.members, room.ahead)
        self._stats.deliveries += len(room.pending) * len(room.members)
        room.pending, room.ahead = [], {}
        self._slicing.append(room)

    def _write_slice(self) -> None:
        """Write the next slice of the room whose turn it is."""
        room = self._slicing.popleft()
        slices = room.slices
        assert slices is not None, "a room is in _slicing while it has slices"
        waiting, chunk = slices.waiting, slices.chunk
        count = min(self._bounds.slice_members, len(waiting))
        readers: list[Reader] = []
        for _ in range(count):
            reader, start = waiting.popitem()
            if start == 0:
                readers.append(reader)
            elif start < len(slices.frames):
                self._writers.write_readers([reader], b"".join(slices.frames[start:]))
        self._writers.write_readers(readers, chunk)
        self._stats.writes += count
        self._stats.bytes_out += count * len(chunk)
        if waiting:
            self._slicing.append(room)
            return
        room.slices = None
        if room.pending:
            self.due(room)

    def _put(self, reader: Reader, data: bytes) -> None:
        out = reader.out
        if out is None:
            reader.out = [data]
            self._touched.append(reader)
            self.flushing.schedule()
        else:
            out.append(data)

    def _write(self, reader: Reader) -> None:
        out, reader.out = reader.out, None
        assert out is not None, "only a touched connection is written to"
        data = out[0] if len(out) == 1 else b"".join(out)
        self._stats.writes += 1
        self._stats.bytes_out += len(data)
        reader.handed = True
        reader.write(data)

    # ---- order ----

    def _settle(self, reader: Reader) -> None:
        for room in reader.rooms:
            if room.pending or room.slices is not None or room.backlog is not None:
                self._settle_room(reader, room)
        if reader.acks is not None:
            data, reader.acks = reader.acks, None
            self._put(reader, data)

    def _settle_room(self, reader: Reader, room: FanoutRoom) -> None:
        if room.backlog is not None and reader in room.backlog:
            for data in room.backlog.take(reader):
                self._put(reader, data)
            return
        slices = room.slices
        if slices is not None and reader in slices.waiting:
            data = slices.take(reader)
            if data:
                self._put(reader, data)
        count = len(room.pending)
        start = room.ahead.get(reader, 0)
        if start < count:
            self._put(reader, room.pending[start])
            if start + 1 < count and reader.out is not None:
                reader.out += room.pending[start + 1 :]
            room.ahead[reader] = count

    def _skip_next(self, room: FanoutRoom, reader: Reader) -> None:
        self._settle_room(reader, room)
        room.ahead[reader] = len(room.pending) + 1

    def _enter(self, reader: Reader, room: FanoutRoom) -> None:
        room.members[reader] = None
        if room.pending:
            room.ahead[reader] = len(room.pending)

    def _leave(self, reader: Reader, room: FanoutRoom) -> None:
        reader.rooms = tuple(other for other in reader.rooms if other is not room)
        self._stats.subscriptions -= 1
        room.members.pop(reader, None)
        room.ahead.pop(reader, None)
        if room.slices is not None:
            room.slices.waiting.pop(reader, None)
        if room.backlog is not None and room.backlog.remove(reader):
            room.backlog = None
        if room.empty:
            room.pending.clear()
            self._rooms.pop(room.name, None)

    # ---- connections that lag ----

    def congested(self, reader: Reader) -> None:
        """The connection's buffer is full. It leaves the hot lists at the end of the turn, if it still is."""
        self._congested.append(reader)
        self.flushing.schedule()

    def drained(self, reader: Reader) -> None:
        """The connection's buffer is nearly empty: it gets what it missed and is hot again."""
        if reader not in self.lagging:
            return
        self.lagging.caught_up(reader)
        for room in reader.rooms:
            self._settle_room(reader, room)
            if room.backlog is not None and room.backlog.remove(reader):
                room.backlog = None
            self._enter(reader, room)

    def _demote(self) -> None:
        congested, self._congested = self._congested, []
        for reader in congested:
            if not reader.congested or reader in self.lagging:
                continue
            self._settle(reader)
            if reader.out is not None:
                self._write(reader)
            self.lagging.add(reader)
            for room in reader.rooms:
                room.members.pop(reader, None)
                room.ahead.pop(reader, None)
                self._fall_back(reader, room)

    def _fall_back(self, reader: Reader, room: FanoutRoom) -> None:
        if room.backlog is None:
            room.backlog = Backlog(self._stats)
        room.backlog.add_reader(reader)

    @property
    def rooms(self) -> int:
        """How many rooms have a connection."""
        return len(self._rooms)
