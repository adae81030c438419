"""What moderators decide, and that it holds."""

import pytest

from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings
from tests.sim.world import Peer, World

_MODERATOR = Rights(moderate=("lobby",))


def _world() -> tuple[World, Peer, Peer]:
    world = World(ChatSettings(heartbeat_interval_seconds=1e6, messages=None))
    return world, world.owner("mod", _MODERATOR, "lobby"), world.guest("ada", "lobby")


def test_only_moderators_of_the_room_moderate() -> None:
    world, moderator, ada = _world()
    world.guest("bob", "attic")

    assert ada.ask("kick", room="lobby", user="mod")["code"] == "forbidden"
    assert moderator.ask("ban", room="attic", user="x")["code"] == "forbidden"
    assert moderator.ask("mute", room="not a room", user="x")["code"] == "invalid_room"


def test_a_kicked_user_is_told_why_and_closed_and_may_come_back() -> None:
    world, moderator, ada = _world()

    assert moderator.ask("kick", room="lobby", user=ada.user, reason="noise")["type"] == "ack"

    assert ada.closed == 4001
    assert ada.last["code"] == "forbidden"
    assert "noise" in ada.last["message"]
    world.guest("ada", "lobby", session=ada.session)


def test_a_kick_of_somebody_who_is_not_there_says_so() -> None:
    world, moderator, ada = _world()

    refusal = moderator.ask("kick", room="lobby", user=ada.user + "0")

    assert (refusal["code"], refusal["field"]) == ("not_found", "user")
    assert ada.is_open
    world.guest("bob", "attic")
    assert moderator.ask("ban", room="lobby", user="u-who-never-was")["type"] == "ack", "one may be banned beforehand"
    for bad in ("", "x" * 201, "u-1\nu-2"):
        assert moderator.ask("ban", room="lobby", user=bad)["code"] == "invalid_frame"
    assert moderator.ask("mute", room="lobby", user=ada.user, reason="x" * 1_001)["field"] == "reason"


def test_a_banned_user_cannot_enter_until_the_ban_ends() -> None:
    world, moderator, ada = _world()
    moderator.ask("ban", room="lobby", user=ada.user, seconds=60)
    assert ada.closed == 4001

    back = world.guest("ada", session=ada.session)
    assert back.ask("join", room="lobby")["code"] == "forbidden"
    assert back.ask("join", room="attic")["type"] == "ack"
    world.advance(61.0)
    assert back.ask("join", room="lobby")["type"] == "ack"


@pytest.mark.parametrize("asked", [{}, {"sent": ["c-1"]}])
def test_who_is_banned_while_the_log_is_asked_does_not_enter(asked: dict[str, list[str]]) -> None:
    world, _, ada = _world()
    moderator, back = world.owner("mod", Rights(moderate=("*",))), world.guest("bob")
    room = "lobby" if asked else "attic"  # one is loaded, the other has to be
    joined = back.say("join", room=room, **asked)
    decided = moderator.say("ban", room=room, user=back.user)
    world.commit()

    answers = {frame["re"]: frame for frame in (*back.inbox, *moderator.inbox) if frame.get("re") in {joined, decided}}
    assert answers[joined]["code"] == "forbidden"
    assert answers[decided]["type"] == "ack"
    assert back.rooms == set()
    assert ada.is_open


def test_a_ban_outlives_a_restart_and_ends_when_it_is_lifted() -> None:
    world, moderator, ada = _world()
    moderator.ask("ban", room="lobby", user=ada.user)
    world.advance(1.0)

    restarted = World(log=world.log)
    back = restarted.guest("ada", session=ada.session)
    assert back.ask("join", room="lobby")["code"] == "forbidden"
    restarted.owner("mod", _MODERATOR).ask("unban", room="lobby", user=ada.user)
    assert back.ask("join", room="lobby")["type"] == "ack"
    assert World(log=world.log).guest("ada", session=ada.session).ask("join", room="lobby")["type"] == "ack"


def test_a_muted_user_reads_but_does_not_speak() -> None:
    _, moderator, ada = _world()
    moderator.ask("mute", room="lobby", user=ada.user, seconds=60, reason="cool down")

    assert [notice["code"] for notice in ada.pushes("notice")] == ["muted"]
    assert ada.ask("send", room="lobby", text="x")["code"] == "forbidden"
    assert ada.ask("history", room="lobby")["type"] == "ack"
    moderator.ask("unmute", room="lobby", user=ada.user)
    assert ada.ask("send", room="lobby", text="x")["type"] == "ack"


def test_slow_mode_spaces_messages_but_not_those_of_moderators() -> None:
    world, moderator, ada = _world()
    moderator.ask("slow", room="lobby", seconds=30)

    assert ada.ask("send", room="lobby", text="1")["type"] == "ack"
    refusal = ada.ask("send", room="lobby", text="2")
    assert (refusal["code"], refusal["scope"], refusal["retry_after_ms"]) == ("rate_limited", "room", 30_000)
    assert all(moderator.ask("send", room="lobby", text="x")["type"] == "ack" for _ in range(3))
    world.advance(30.0)
    assert ada.ask("send", room="lobby", text="2")["type"] == "ack"
    moderator.ask("slow", room="lobby", seconds=0)
    assert ada.ask("send", room="lobby", text="3")["type"] == "ack"


def test_slow_mode_holds_in_a_room_that_nobody_is_in() -> None:
    world, moderator, ada = _world()
    moderator.ask("slow", room="lobby", seconds=30)
    assert world.caller("eve").ask("send", room="lobby", text="1")["type"] == "ack"
    for peer in (moderator, ada):
        peer.ask("leave", room="lobby")
    assert not world.engine.state.rooms

    refusal = world.caller("eve").ask("send", room="lobby", text="2")
    assert (refusal["code"], refusal["scope"], refusal["retry_after_ms"]) == ("rate_limited", "room", 30_000)
    assert world.caller("ada").ask("send", room="lobby", text="3")["type"] == "ack"
    assert all(world.caller("m", _MODERATOR).ask("send", room="lobby", text="x")["type"] == "ack" for _ in range(3))
    world.advance(30.0)
    assert world.caller("eve").ask("send", room="lobby", text="2")["type"] == "ack"
    for _ in range(31):
        world.advance(1.0)
    assert len(world.engine.state.paces) == 0


def test_leaving_a_room_is_no_way_around_its_slow_mode() -> None:
    world, moderator, ada = _world()
    moderator.ask("slow", room="lobby", seconds=30)
    assert ada.ask("send", room="lobby", text="1")["type"] == "ack"
    for peer in (moderator, ada):
        peer.ask("leave", room="lobby")
    assert not world.engine.state.rooms
    ada.ask("join", room="lobby")

    assert ada.ask("send", room="lobby", text="2")["scope"] == "room"


def test_what_was_not_stored_begins_no_pause_in_slow_mode() -> None:
    world, moderator, ada = _world()
    ada.ask("send", room="lobby", text="1", cid="c1")
    moderator.ask("slow", room="lobby", seconds=30)

    ada.say("send", room="lobby", text="2")
    world.commit(fail=True)
    assert ada.last["code"] == "unavailable"
    assert ada.ask("send", room="lobby", text="1", cid="c1")["duplicate"]
    assert ada.ask("send", room="lobby", text="2")["type"] == "ack"


def test_a_deleted_message_keeps_its_place_and_loses_its_text() -> None:
    world, moderator, ada = _world()
    for text in ("one", "two", "three"):
        ada.ask("send", room="lobby", text=text)

    assert moderator.ask("delete", room="lobby", seq=2)["type"] == "ack"

    (push,) = ada.pushes("deleted")
    assert (push["room"], push["seq"]) == ("lobby", 2)
    shown = world.guest("bob").ask("join", room="lobby")["messages"]
    assert [(one["seq"], one["text"], one.get("deleted", False)) for one in shown] == [
        (1, "one", False), (2, "", True), (3, "three", False)
    ]  # fmt: skip
    assert moderator.ask("delete", room="lobby", seq=9)["code"] == "not_found"


def test_people_delete_their_own_messages_and_nobody_elses() -> None:
    world, _, ada = _world()
    bob = world.guest("bob", "lobby")
    ada.ask("send", room="lobby", text="mine")

    assert bob.ask("delete", room="lobby", seq=1)["code"] == "forbidden"
    assert ada.ask("delete", room="lobby", seq=1)["type"] == "ack"


def test_a_decision_that_could_not_be_kept_is_said_to_be() -> None:
    world, moderator, ada = _world()
    moderator.say("mute", room="lobby", user=ada.user)
    world.commit(fail=True)

    assert moderator.last["code"] == "unavailable"


def test_who_is_banned_reads_nothing_any_more() -> None:
    world, moderator, ada = _world()
    moderator.ask("send", room="lobby", text="for members")
    owner = world.owner("u-eve", Rights())
    assert owner.ask("history", room="lobby")["type"] == "ack"

    moderator.ask("ban", room="lobby", user="u-eve")

    assert owner.ask("history", room="lobby")["code"] == "forbidden"
    assert ada.ask("history", room="lobby")["type"] == "ack"
