"""The fan-out with connections that have no sockets: writes, slices, and connections that lag."""

import asyncio

import msgspec
import pytest

from palaver.chat.effects import Broadcast, Urgency
from palaver.chat.records import User
from palaver.chat.replies import Presence, encode
from palaver.server.bounds import Bounds
from palaver.server.fanout import Fanout
from palaver.server.fanout_room import Reader
from palaver.server.framing import text_frame
from palaver.server.stats import Stats
from tests.unit.server.readers import FakeReader, unframe


class Fixture:
    """A fan-out, its clock, and who was too slow for it."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.now = 0.0
        self.slow: list[Reader] = []
        self.stats = Stats()
        self.caught_up: list[Reader] = []
        self.fanout = Fanout(
            bounds or Bounds(),
            self.stats,
            clock=lambda: self.now,
            too_slow=self._too_slow,
            catching_up=self.caught_up.append,
        )

    def _too_slow(self, reader: Reader) -> None:
        self.slow.append(reader)
        self.fanout.remove(reader)

    def members(self, count: int, room: str = "r") -> list[FakeReader]:
        readers = [FakeReader(f"{room}{index}") for index in range(count)]
        for reader in readers:
            self.fanout.subscribe(reader, room)
        return readers

    def say(
        self, payload: bytes, room: str = "r", urgency: Urgency = Urgency.MESSAGE, skip: FakeReader | None = None
    ) -> None:
        self.fanout.broadcast(Broadcast(room, payload, urgency, 1, skip))

    async def congest(self, *readers: FakeReader) -> None:
        for reader in readers:
            reader.congested = True
            self.fanout.congested(reader)
        await asyncio.sleep(0)

    def drain(self, reader: FakeReader) -> None:
        reader.congested = False
        self.fanout.drained(reader)


async def test_the_frames_of_one_turn_are_one_write_of_one_object_for_all() -> None:
    at = Fixture()
    members = at.members(3)
    for payload in (b"one", b"two"):
        at.say(payload)
    assert members[0].writes == []
    await asyncio.sleep(0)
    assert [unframe(write) for write in members[0].writes] == [[b"one", b"two"]]
    assert members[0].writes[0] is members[1].writes[0] is members[2].writes[0]
    assert (at.stats.broadcasts, at.stats.deliveries, at.stats.writes) == (2, 6, 3)


async def test_acks_go_behind_the_frames_of_the_room_in_the_same_write() -> None:
    at = Fixture()
    one, other = at.members(2)
    at.say(b"1")
    at.fanout.acknowledge(one, text_frame(b"ack of 1"))
    at.say(b"2")
    at.fanout.acknowledge(one, text_frame(b"ack of 2"))
    await asyncio.sleep(0)
    assert [unframe(write) for write in one.writes] == [[b"1", b"2", b"ack of 1", b"ack of 2"]]
    assert [unframe(write) for write in other.writes] == [[b"1", b"2"]]


async def test_an_ack_keeps_its_place_before_the_next_direct_frame() -> None:
    at = Fixture()
    (reader,) = at.members(1)
    at.say(b"1")
    at.fanout.acknowledge(reader, text_frame(b"ack"))
    at.fanout.send(reader, text_frame(b"direct"))
    at.say(b"2")
    await asyncio.sleep(0)
    assert reader.got == [b"1", b"ack", b"direct", b"2"]


async def test_an_ack_in_a_room_that_is_written_in_slices_comes_after_what_it_follows() -> None:
    at = Fixture(Bounds(slice_members=1))
    one, _ = at.members(2)
    at.say(b"1")
    at.fanout.acknowledge(one, text_frame(b"ack"))
    at.fanout.remove(one)
    assert not at.fanout.lagging
    await asyncio.sleep(0)
    assert one.got == [b"1", b"ack"]


async def test_direct_frames_and_those_of_several_rooms_are_one_write() -> None:
    at = Fixture()
    reader = FakeReader()
    at.fanout.subscribe(reader, "a")
    at.fanout.subscribe(reader, "b")
    at.say(b"a1", "a")
    at.fanout.send(reader, text_frame(b"direct"))
    at.say(b"b1", "b")
    at.say(b"a2", "a")
    await asyncio.sleep(0)
    assert len(reader.writes) == 1
    assert [frame for frame in reader.got if frame != b"b1"] == [b"a1", b"direct", b"a2"]
    assert reader.got.index(b"b1") > reader.got.index(b"direct")


async def test_who_subscribes_within_a_turn_gets_only_what_comes_after() -> None:
    at = Fixture()
    (old,) = at.members(1)
    new = FakeReader()
    at.say(b"before")
    at.fanout.send(new, text_frame(b"the picture"))
    at.fanout.subscribe(new, "r")
    at.say(b"after")
    await asyncio.sleep(0)
    assert new.got == [b"the picture", b"after"]
    assert old.got == [b"before", b"after"]


async def test_who_unsubscribes_within_a_turn_gets_what_came_before() -> None:
    at = Fixture()
    (reader,) = at.members(1)
    at.say(b"before")
    at.fanout.unsubscribe(reader, "r")
    at.say(b"after")
    await asyncio.sleep(0)
    assert reader.got == [b"before"]
    assert at.fanout.rooms == 0


async def test_the_skipped_connection_does_not_get_the_frame() -> None:
    at = Fixture()
    one, other = at.members(2)
    at.say(b"1")
    at.say(b"2", skip=one)
    at.say(b"3")
    await asyncio.sleep(0)
    assert one.got == [b"1", b"3"]
    assert other.got == [b"1", b"2", b"3"]


async def test_a_large_room_is_written_in_slices_with_small_rooms_in_between() -> None:
    at = Fixture(Bounds(slice_members=10))
    large, small = at.members(35, "large"), at.members(2, "small")
    at.say(b"1", "large")
    seen = []
    for turn in range(4):
        at.say(b"%d" % turn, "small")
        await asyncio.sleep(0)
        seen.append(sum(bool(reader.writes) for reader in large))
        assert small[0].got[-1] == b"%d" % turn
    assert seen == [10, 20, 30, 35]


async def test_a_large_rooms_frames_keep_their_order_while_slices_are_on_their_way() -> None:
    at = Fixture(Bounds(slice_members=10))
    members = at.members(35)
    at.say(b"1")
    await asyncio.sleep(0)
    at.say(b"2")
    waiting = next(reader for reader in members if not reader.writes)
    late = FakeReader("late")
    at.fanout.subscribe(late, "r")
    at.fanout.send(waiting, text_frame(b"direct"))
    at.say(b"3")
    for _ in range(20):
        await asyncio.sleep(0)
    assert waiting.got == [b"1", b"2", b"direct", b"3"]
    assert late.got == [b"3"]
    assert all(reader.got == [b"1", b"2", b"3"] for reader in members if reader is not waiting)


async def test_a_connection_that_lags_is_written_nothing_until_it_has_drained() -> None:
    at = Fixture()
    slow, fast = at.members(2)
    await at.congest(slow)
    at.say(b"1")
    at.say(b"2")
    await asyncio.sleep(0)
    assert slow.got == []
    assert fast.got == [b"1", b"2"]
    assert at.stats.lagging == 1
    at.drain(slow)
    at.say(b"3")
    await asyncio.sleep(0)
    assert slow.got == [b"1", b"2", b"3"]
    assert at.stats.lagging == 0


async def test_a_connection_that_drains_within_its_turn_never_lags() -> None:
    at = Fixture()
    (reader,) = at.members(1)
    reader.congested = True
    at.fanout.congested(reader)
    at.drain(reader)
    await asyncio.sleep(0)
    assert at.stats.lagging_total == 0


async def test_a_direct_frame_to_one_that_lags_comes_after_what_it_missed() -> None:
    at = Fixture()
    (slow,) = at.members(1)
    await at.congest(slow)
    at.say(b"1")
    at.fanout.send(slow, text_frame(b"direct"))
    at.say(b"2")
    await asyncio.sleep(0)
    assert slow.got == [b"1", b"direct"]
    at.drain(slow)
    await asyncio.sleep(0)
    assert slow.got == [b"1", b"direct", b"2"]


async def test_one_that_lags_may_join_and_leave() -> None:
    at = Fixture()
    (slow,) = at.members(1)
    at.members(1, "other")
    await at.congest(slow)
    at.say(b"before", "other")
    at.fanout.subscribe(slow, "other")
    at.say(b"1", "other")
    await asyncio.sleep(0)
    assert slow.got == []
    at.fanout.unsubscribe(slow, "other")
    at.say(b"after", "other")
    at.drain(slow)
    await asyncio.sleep(0)
    assert slow.got == [b"1"]


async def test_one_that_lags_does_not_get_what_is_not_for_it() -> None:
    at = Fixture()
    slow, fast = at.members(2)
    await at.congest(slow)
    at.say(b"1", skip=slow)
    at.say(b"2")
    at.drain(slow)
    await asyncio.sleep(0)
    assert slow.got == [b"2"]
    assert fast.got == [b"1", b"2"]


async def test_one_that_begins_to_lag_in_a_large_room_keeps_its_order() -> None:
    at = Fixture(Bounds(slice_members=1))
    members = at.members(5)
    at.say(b"1")
    await asyncio.sleep(0)
    slow = next(reader for reader in members if not reader.writes)
    at.say(b"2")
    await at.congest(slow)
    assert slow.lagging_since is not None
    at.say(b"3")
    for _ in range(10):
        await asyncio.sleep(0)
    assert slow.got == [b"1", b"2"]
    at.fanout.send(slow, text_frame(b"direct"))
    at.drain(slow)
    at.say(b"4")
    for _ in range(30):
        await asyncio.sleep(0)
    assert slow.got == [b"1", b"2", b"3", b"direct", b"4"]


async def test_one_that_left_a_large_room_is_not_written_to() -> None:
    at = Fixture(Bounds(slice_members=1))
    members = at.members(4)
    at.say(b"1")
    await asyncio.sleep(0)
    gone = [reader for reader in members if not reader.writes]
    late = FakeReader("late")
    at.say(b"2")
    at.fanout.subscribe(late, "r")
    at.fanout.remove(gone[0])
    at.fanout.remove(late)
    for _ in range(30):
        await asyncio.sleep(0)
    assert gone[0].writes == late.writes == []
    assert gone[1].got == [b"1", b"2"]


async def test_typing_is_dropped_for_one_that_lags_and_not_for_others() -> None:
    at = Fixture()
    slow, fast = at.members(2)
    await at.congest(slow)
    at.say(b"typing", urgency=Urgency.TYPING)
    at.say(b"message")
    at.drain(slow)
    await asyncio.sleep(0)
    assert slow.got == [b"message"]
    assert fast.got == [b"typing", b"message"]
    assert at.stats.typing_dropped == 1


def _presence(joined: str, left: str, count: int) -> bytes:
    return encode(Presence("r", [User(one, one) for one in joined], [User(one, one) for one in left], count))


async def test_presence_is_merged_for_one_that_lags() -> None:
    at = Fixture()
    slow, fast = at.members(2)
    await at.congest(slow)
    at.say(_presence("abc", "", 5), urgency=Urgency.PRESENCE)
    at.say(b"message")
    at.say(_presence("", "bx", 3), urgency=Urgency.PRESENCE)
    at.say(b'{"type":"notice","code":"slow"}', urgency=Urgency.PRESENCE)
    at.say(_presence("x", "a", 3), urgency=Urgency.PRESENCE)
    at.drain(slow)
    await asyncio.sleep(0)
    message, notice, merged = slow.got
    assert message == b"message"
    assert msgspec.json.decode(notice)["type"] == "notice"
    told = msgspec.json.decode(merged)
    assert told["type"] == "presence"
    assert sorted(user["id"] for user in told["joined"]) == ["c", "x"]
    assert sorted(user["id"] for user in told["left"]) == ["a", "b"]
    assert told["member_count"] == 3
    assert len(fast.got) == 5
    assert at.stats.presence_merged == 2


async def test_one_that_missed_too_many_bytes_is_given_up_and_the_others_are_not() -> None:
    at = Fixture(Bounds(waiting_bytes=1_000))
    first, second, fast = at.members(3)
    await at.congest(first)
    for _ in range(5):
        at.say(b"x" * 98)
    await at.congest(second)
    for _ in range(6):
        at.say(b"x" * 98)
    assert at.slow == [first]
    await asyncio.sleep(0)
    assert len(fast.got) == 11
    at.drain(second)
    await asyncio.sleep(0)
    assert len(second.got) == 11


async def test_the_bytes_kept_for_those_that_lag_are_bounded() -> None:
    at = Fixture(Bounds(waiting_bytes=1_000))
    slow, _ = at.members(2)
    await at.congest(slow)
    for _ in range(1_000):
        at.say(b"x" * 98)
        at.fanout.send(slow, text_frame(b"direct"))
    (room,) = slow.rooms
    assert room.backlog is not None
    assert sum(len(entry.frame) for entry in room.backlog._entries) <= 1_100
    assert len(room.backlog._entries) <= 11


async def test_the_bytes_of_all_rooms_and_the_buffer_count_together() -> None:
    at = Fixture(Bounds(waiting_bytes=1_000, answer_bytes=300))
    slow = FakeReader()
    for room in ("a", "b"):
        at.fanout.subscribe(slow, room)
    await at.congest(slow)
    slow.buffered = 800
    for room in ("a", "b"):
        at.say(b"x" * 238, room)
        at.fanout.lagging.check(0.0)
        assert at.slow == []
    at.say(b"x" * 30, "a")
    at.fanout.lagging.check(0.0)
    assert at.slow == [slow]


async def test_one_that_lags_for_too_long_is_given_up() -> None:
    at = Fixture(Bounds(slow_seconds=35.0))
    (slow,) = at.members(1)
    at.now = 100.0
    await at.congest(slow)
    at.fanout.lagging.check(135.0)
    assert at.slow == []
    at.fanout.lagging.check(135.1)
    assert at.slow == [slow]
    assert at.stats.lagging == 0


async def test_one_that_takes_what_waits_may_be_behind_for_long_and_one_that_stops_may_not() -> None:
    at = Fixture(Bounds(slow_seconds=35.0, write_high_bytes=65_536))
    (slow,) = at.members(1)
    slow.buffered = 1_700_000
    await at.congest(slow)
    while slow.buffered > 400_000:  # at 2 KB a second
        at.now += 1.0
        slow.buffered -= 2_000
        at.fanout.lagging.check(at.now)
    assert at.now == 650.0
    assert at.slow == []
    assert at.caught_up == [slow] * (1_300_000 // 66_000), "each time that it has taken 64 KB more"
    at.fanout.lagging.check(at.now + 35.0)
    assert at.slow == [slow]


async def test_one_that_takes_too_little_for_too_long_is_given_up_also_if_more_was_said_to_it() -> None:
    at = Fixture(Bounds(slow_seconds=35.0, write_high_bytes=65_536))
    (slow,) = at.members(1)
    slow.buffered = 200_000
    await at.congest(slow)
    slow.buffered = 300_000  # an answer that it waited for
    at.fanout.lagging.check(1.0)
    slow.buffered = 300_000 - 65_535
    at.fanout.lagging.check(35.0)
    assert at.slow == []
    at.fanout.lagging.check(35.1)
    assert (at.slow, at.caught_up) == ([slow], [])


async def test_one_that_has_drained_has_caught_up() -> None:
    at = Fixture()
    slow, hot = at.members(2)
    await at.congest(slow)
    at.drain(slow)
    at.drain(hot)
    assert at.caught_up == [slow]


@pytest.mark.parametrize("lagging", [False, True])
async def test_one_that_is_gone_leaves_nothing(lagging: bool) -> None:
    at = Fixture(Bounds(slice_members=1))
    members = at.members(3)
    at.say(b"1")
    if lagging:
        await at.congest(members[0])
    at.say(b"2")
    for reader in members:
        at.fanout.remove(reader)
        at.fanout.remove(reader)
    for _ in range(10):
        await asyncio.sleep(0)
    assert at.fanout.rooms == at.stats.subscriptions == at.stats.lagging == 0
    assert not at.fanout.lagging
    assert not at.fanout._slicing
    assert not at.fanout._dirty
    assert not at.fanout._touched
    assert not at.fanout._congested
