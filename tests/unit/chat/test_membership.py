"""Who is in which room, and how the others hear of it."""

import pytest

from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings
from tests.sim.world import Frame, Peer, World


def _changes(peer: Peer, room: str = "lobby") -> list[tuple[str, str]]:
    """What a peer heard of comings and goings, in order, without its own."""
    pushes: list[Frame] = [push for push in peer.pushes("presence") if push["room"] == room]
    told = [(kind, user["id"]) for push in pushes for kind in ("joined", "left") for user in push[kind]]
    return [(kind, user) for kind, user in told if user != peer.user]


def test_the_others_hear_of_a_join_and_of_a_leave_once() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    world.advance(1.0)
    bob.ask("leave", room="lobby")
    world.advance(1.0)

    assert _changes(ada) == [("joined", bob.user), ("left", bob.user)]


def test_a_reconnect_within_the_grace_period_is_no_event() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    world.advance(1.0)
    bob.disconnect()
    world.advance(9.0)
    back = world.guest("bob", "lobby", session=bob.session)
    world.advance(30.0)
    assert _changes(ada) == [("joined", bob.user)]
    back.say("ping")

    assert world.engine.state.rooms["lobby"].members.keys() == {ada.user, bob.user}


def test_without_a_reconnect_the_leave_comes_when_the_grace_period_is_over() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    world.advance(1.0)
    bob.disconnect()
    world.advance(9.9)
    assert _changes(ada) == [("joined", bob.user)]
    world.advance(0.3)

    assert _changes(ada) == [("joined", bob.user), ("left", bob.user)]


def test_a_user_on_two_connections_is_one_member_until_the_last_one_goes() -> None:
    world = World(ChatSettings(leave_grace_seconds=0.0))
    ada = world.guest("ada", "lobby")
    first, second = world.owner("u1", Rights(), "lobby"), world.owner("u1", Rights(), "lobby")
    world.advance(1.0)
    first.disconnect()
    world.advance(1.0)
    assert _changes(ada) == [("joined", "u1")]
    second.disconnect()
    world.advance(1.0)

    assert _changes(ada) == [("joined", "u1"), ("left", "u1")]


def test_comings_and_goings_are_collected_into_one_push() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    world.advance(1.0)
    ada.inbox.clear()
    others = [world.guest(f"guest{number}", "lobby") for number in range(20)]
    others[0].ask("leave", room="lobby")  # came and went within one batch: nobody needs to know
    world.advance(1.0)

    (push,) = ada.pushes("presence")
    assert len(push["joined"]) == 19
    assert push["left"] == []
    assert push["member_count"] == 20


def test_in_a_very_large_room_only_the_count_is_told() -> None:
    world = World(ChatSettings(presence_members=3, ip_connects_per_second=None))
    ada = world.guest("ada", "lobby")
    late = [world.guest(f"guest{number}", "lobby") for number in range(5)][-1]
    world.advance(1.0)

    assert ada.pushes("presence")[-1] == {
        "type": "presence", "room": "lobby", "joined": [], "left": [], "member_count": 6
    }  # fmt: skip
    picture = next(frame for frame in late.inbox if "members" in frame)
    assert (len(picture["members"]), picture["member_count"]) == (3, 6)


def test_where_many_rooms_change_at_once_all_are_told_and_no_faster_than_a_node_can() -> None:
    world = World(ChatSettings(ip_connects_per_second=None, ip_unauthenticated_frames_per_second=None))
    rooms = [f"room{number}" for number in range(40)]
    ears = {room: [world.guest(f"{room} {number}", room) for number in range(50)] for room in rooms}
    world.advance(5.0)
    began = world.now
    late = {room: world.guest(f"late {room}", room) for room in rooms}
    told: list[float] = []
    while any(("joined", late[room].user) not in _changes(ear, room) for room in rooms for ear in ears[room][:1]):
        before = sum(len(late[room].pushes("presence")) for room in rooms)
        world.advance(0.01)
        told += [world.now - began] * (sum(len(late[room].pushes("presence")) for room in rooms) - before)

    members = 51  # of each room: 2,040 in all, which at 10,000 a second takes 0.2 s
    assert len(told) == len(rooms)
    assert told[-1] == pytest.approx(0.2, abs=0.02)
    for number, seconds in enumerate(told):
        assert seconds >= 0.1 - 1e-6
        assert (number + 1) * members <= 10_000 * seconds + members

    world.advance(1.0)  # and then a room is told as soon as ever
    last = world.guest("last", "room0")
    world.advance(0.1)
    assert ("joined", last.user) in _changes(ears["room0"][0], "room0")


def test_when_everybody_is_gone_nothing_is_left() -> None:
    world = World()
    for number in range(20):
        world.guest(f"guest{number}", "lobby", f"room{number}").disconnect()
    world.advance(60.0)

    state = world.engine.state
    assert not state.sessions
    assert not state.rooms
    assert len(state.people) == 0
    assert len(state.timers) == 1  # the sweep
    assert not state.windows
    assert not state.ip_connects
