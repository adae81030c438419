"""What a join is answered with is put together once for many joins, and is never older than the room."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.records import Message, Position, User
from palaver.chat.rooms import REPLAY, Ring
from palaver.chat.settings import ChatSettings
from tests.sim.world import World

_ADA = User("u1", "ada")


def _message(seq: int, text: str = "hello", time: int = 0) -> Message:
    return Message("lobby", seq, "e1", f"m-{seq}", time, _ADA, text)


def _shown(ring: Ring, since: int | None = None, wall_ms: int = 0) -> list[tuple[int, str]]:
    picture = ring.picture(None if since is None else Position("e1", since), "e1", wall_ms)
    messages = msgspec.json.decode(picture.messages, type=list[Message])
    assert picture.replayed == len(messages)
    return [(message.seq, message.text) for message in messages]


def _ring(count: int, *, kept: int = REPLAY, age_seconds: float | None = None) -> Ring:
    ring = Ring(kept, age_seconds)
    ring.fill([_message(seq, time=seq * 1000) for seq in range(1, count + 1)][-kept:], count)
    return ring


def test_joins_between_two_messages_share_their_bytes_until_the_sweep() -> None:
    ring = _ring(3)
    first = ring.picture(None, "e1", 0).messages
    assert ring.picture(Position("e1", 0), "e1", 0).messages is first

    ring.forget_newest()
    assert ring.picture(None, "e1", 0).messages is not first


@pytest.mark.parametrize("change", ["append", "replace", "fill", "age"])
def test_a_change_is_in_the_next_picture(change: str) -> None:
    ring = _ring(3, age_seconds=10.0)
    assert _shown(ring, wall_ms=3_000) == [(1, "hello"), (2, "hello"), (3, "hello")]
    wall_ms = 3_000
    match change:
        case "append":
            ring.append(4, 4_000, msgspec.json.encode(_message(4, "new")))
            expected = [(1, "hello"), (2, "hello"), (3, "hello"), (4, "new")]
        case "replace":
            assert ring.replace(_message(2, "", 2_000))
            expected = [(1, "hello"), (2, ""), (3, "hello")]
        case "fill":
            ring.fill([_message(7, "other", 7_000)], 7)
            expected = [(7, "other")]
        case _:
            wall_ms = 11_500
            expected = [(2, "hello"), (3, "hello")]
    assert _shown(ring, wall_ms=wall_ms) == expected


@given(
    count=st.integers(0, 12), kept=st.integers(1, 12), since=st.none() | st.integers(0, 14), after=st.integers(0, 14)
)
def test_no_picture_depends_on_who_asked_before(count: int, kept: int, since: int | None, after: int) -> None:
    warm = _ring(count, kept=kept)
    _shown(warm, after)
    alive = range(max(1, count - kept + 1), count + 1)
    missed = 0 if since is None or since > count else since

    assert _shown(warm, since) == [(seq, "hello") for seq in alive if seq > missed]


def test_more_than_a_reply_holds_is_cut_to_the_newest() -> None:
    ring = _ring(REPLAY + 30, kept=200)
    assert [seq for seq, _ in _shown(ring)] == list(range(31, REPLAY + 31))
    picture = ring.picture(Position("e1", 5), "e1", 0)
    assert (picture.recovered, picture.gap) == (
        "gap",
        msgspec.convert({"from": 6, "to": 30, "reason": "limit"}, type(picture.gap)),
    )


def _listed(world: World, name: str) -> list[str]:
    """Who is in the room, as somebody new is told."""
    new = world.guest(name)
    picture = new.ask("join", room="lobby")
    assert [member["id"] for member in picture["members"]].count(new.user) == 1
    assert picture["member_count"] == len(world.engine.state.rooms["lobby"].members)
    return [member["name"] for member in picture["members"]]


def test_each_join_lists_who_is_there_now() -> None:
    world = World(ChatSettings(leave_grace_seconds=0.0, ip_connects_per_second=None))
    ada = world.guest("ada", "lobby")
    assert _listed(world, "bob") == ["ada", "bob"]
    assert _listed(world, "eve") == ["ada", "bob", "eve"]

    ada.ask("auth", name="zoe", session=ada.session)
    assert _listed(world, "fay") == ["zoe", "bob", "eve", "fay"]
    ada.disconnect()
    assert _listed(world, "gus") == ["bob", "eve", "fay", "gus"]
    world.guest("ivy", session=None).ask("join", room="attic")
    assert _listed(world, "joe") == ["bob", "eve", "fay", "gus", "joe"]


def test_who_comes_again_while_there_is_listed_once() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    bob = world.guest("bob", "lobby")
    bob.disconnect()
    back = world.guest("bob", session=bob.session)

    assert [one["name"] for one in back.ask("join", room="lobby")["members"]] == ["ada", "bob"]
    assert [one["name"] for one in ada.ask("join", room="lobby")["members"]] == ["ada", "bob"]


def test_in_a_large_room_those_are_listed_who_came_first() -> None:
    world = World(ChatSettings(presence_members=2, leave_grace_seconds=0.0, ip_connects_per_second=None))
    ada = world.guest("ada", "lobby")
    assert _listed_first(world, "bob") == ["ada", "bob"]
    assert _listed_first(world, "eve") == ["ada", "bob"]
    ada.disconnect()

    assert _listed_first(world, "fay") == ["bob", "eve"]


def _listed_first(world: World, name: str) -> list[str]:
    return [member["name"] for member in world.guest(name).ask("join", room="lobby")["members"]]


def test_a_quiet_room_keeps_nothing_for_joins_that_do_not_come() -> None:
    world = World(ChatSettings(heartbeat_interval_seconds=1e6))
    ada = world.guest("ada", "lobby")
    ada.ask("send", room="lobby", text="one")
    world.guest("bob", "lobby")
    before = _copies(world)
    assert None not in before
    world.advance(2.0)

    assert _copies(world)[0] is None
    room = world.engine.state.rooms["lobby"]
    assert room.ring.picture(None, "e1", 0).messages is not before[1]


def _copies(world: World) -> tuple[bytearray | None, msgspec.Raw | None]:
    """What the room holds for joins that follow."""
    room = world.engine.state.rooms["lobby"]
    return room.roll, None if room.roll is None else room.ring.picture(None, "e1", 0).messages
