"""The order of everything, for any sequence of effects, turns, congestion and closes, against a list per connection.

An ack alone has some freedom: it comes after all that was for its connection before it, but what follows may go first.
"""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.chat.effects import Broadcast, Urgency
from palaver.server.bounds import Bounds
from palaver.server.fanout import Fanout
from palaver.server.framing import text_frame
from palaver.server.stats import Stats
from tests.unit.server.readers import FakeReader

READERS, ROOMS = 4, 2
_reader = st.integers(0, READERS - 1)
_room = st.integers(0, ROOMS - 1)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("subscribe"), _reader, _room),
        st.tuples(st.just("subscribe"), _reader, _room),
        st.tuples(st.just("unsubscribe"), _reader, _room),
        st.tuples(st.just("send"), _reader, _room),
        st.tuples(st.just("acknowledge"), _reader, _room),
        st.tuples(st.just("broadcast"), _reader, _room),
        st.tuples(st.just("broadcast"), _reader, _room),
        st.tuples(st.just("skipping"), _reader, _room),
        st.tuples(st.just("turn"), _reader, _room),
        st.tuples(st.just("congest"), _reader, _room),
        st.tuples(st.just("drain"), _reader, _room),
        st.tuples(st.just("remove"), _reader, _room),
    ),
    min_size=10,
    max_size=60,
)


class World:
    """The fan-out and, beside it, what each reader has to get: (room or None, payload)."""

    def __init__(self, slice_members: int) -> None:
        self.stats = Stats()
        self.fanout = Fanout(
            Bounds(slice_members=slice_members),
            self.stats,
            clock=lambda: 0.0,
            too_slow=lambda reader: None,
            catching_up=lambda reader: None,
        )
        self.readers = [FakeReader(f"r{index}") for index in range(READERS)]
        self.rooms: list[set[int]] = [set() for _ in range(ROOMS)]
        self.due: list[list[tuple[int | None, bytes]]] = [[] for _ in range(READERS)]
        self.acks: set[bytes] = set()
        self.count = 0

    async def step(self, kind: str, index: int, room: int) -> None:
        reader = self.readers[index]
        self.count += 1
        payload = b"%d" % self.count
        if kind == "subscribe":
            self.fanout.subscribe(reader, f"room{room}")
            self.rooms[room].add(index)
        elif kind == "unsubscribe":
            self.fanout.unsubscribe(reader, f"room{room}")
            self.rooms[room].discard(index)
        elif kind == "send":
            self.fanout.send(reader, text_frame(payload))
            self.due[index].append((None, payload))
        elif kind == "acknowledge":
            self.fanout.acknowledge(reader, text_frame(payload))
            self.due[index].append((None, payload))
            self.acks.add(payload)
        elif kind in ("broadcast", "skipping"):
            skip = reader if kind == "skipping" else None
            self.fanout.broadcast(Broadcast(f"room{room}", payload, Urgency.MESSAGE, self.count, skip))
            for member in self.rooms[room]:
                if self.readers[member] is not skip:
                    self.due[member].append((room, payload))
        elif kind == "turn":
            await asyncio.sleep(0)
        elif kind == "congest" and not reader.congested:
            reader.congested = True
            self.fanout.congested(reader)
        elif kind == "drain" and reader.congested:
            reader.congested = False
            self.fanout.drained(reader)
        elif kind == "remove":
            self.fanout.settle(reader)
            self.fanout.remove(reader)
            for members in self.rooms:
                members.discard(index)

    async def settle(self) -> None:
        for reader in self.readers:
            if reader.congested:
                reader.congested = False
                self.fanout.drained(reader)
        for _ in range(50):
            await asyncio.sleep(0)

    def check(self) -> None:
        for reader, due in zip(self.readers, self.due, strict=True):
            got = reader.got
            assert len(got) == len(set(got)), "nothing twice"
            assert set(got) == {payload for _, payload in due}, "nothing missing, nothing else"
            for room in range(ROOMS):
                expected = [p for source, p in due if source in (None, room) and p not in self.acks]
                assert [payload for payload in got if payload in set(expected)] == expected
            direct = [payload for source, payload in due if source is None]
            assert [payload for payload in got if payload in set(direct)] == direct
            for place, (_, payload) in enumerate(due):
                if payload in self.acks:
                    before = {earlier for _, earlier in due[:place]}
                    assert before <= set(got[: got.index(payload)])
            assert reader.out is None
            assert reader.acks is None

    def leave_all(self) -> None:
        for reader in self.readers:
            self.fanout.remove(reader)
        assert self.fanout.rooms == 0
        assert self.stats.subscriptions == 0
        assert self.stats.lagging == 0
        assert not self.fanout.lagging


@given(steps=_steps, slice_members=st.sampled_from([1, 2, 500]))
@settings(max_examples=600, deadline=None)
def test_each_connection_gets_its_frames_in_the_order_of_the_effects(
    steps: list[tuple[str, int, int]], slice_members: int
) -> None:
    async def run() -> None:
        world = World(slice_members)
        for kind, index, room in steps:
            await world.step(kind, index, room)
        await world.settle()
        world.check()
        world.leave_all()

    asyncio.run(run())
