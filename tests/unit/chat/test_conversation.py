"""Joining, reading and saying something."""

from itertools import pairwise

import pytest

from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings
from tests.sim.world import ModelLog, Peer, World

_UNLIMITED = ChatSettings(messages=None, room_messages_per_second=None, frames_per_second=None)


def _say(peer: Peer, *texts: str, room: str = "lobby") -> None:
    for text in texts:
        assert peer.ask("send", room=room, text=text)["type"] == "ack"


def test_a_message_is_shown_to_every_member_and_acknowledged_after_it_is_stored() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")

    re = ada.say("send", room="lobby", text="hello", cid="c-1")
    assert not ada.pushes("message")
    assert not bob.pushes("message")
    world.commit()

    push = bob.pushes("message")[0]
    assert (push["seq"], push["text"], push["cid"], push["user"]["name"]) == (1, "hello", "c-1", "ada")
    assert ada.pushes("message") == [push]
    ack = next(frame for frame in ada.inbox if frame.get("re") == re)
    assert (ack["seq"], ack["epoch"], ack["mid"], ack["time"]) == (1, push["epoch"], push["mid"], push["time"])
    assert ack["durability"] == "disk"
    assert ack["rate"] == {"remaining": 4, "reset_ms": 1000}


def test_a_join_shows_one_atomic_picture() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    _say(ada, "one", "two")
    ada.say("send", room="lobby", text="three")  # stored after the join was asked for
    bob = world.guest("bob")

    picture = bob.ask("join", room="lobby")

    shown = [message["seq"] for message in picture["messages"]]
    pushed = [message["seq"] for message in bob.pushes("message")]
    assert shown + pushed == [1, 2, 3]
    assert picture["seq"] == shown[-1]
    assert picture["member_count"] == 2
    assert {member["name"] for member in picture["members"]} == {"ada", "bob"}
    assert picture["recovered"] == "none"
    assert "gap" not in picture
    assert "sent" not in picture


def test_joins_that_wait_for_one_room_are_all_answered_when_it_is_loaded() -> None:
    world = World()
    peers = [world.connect().auth(f"guest{number}") for number in range(3)]
    for peer in peers:
        peer.say("join", room="lobby")
    assert len(world.log.queue) == 1

    world.commit()

    assert [peer.last["member_count"] for peer in peers] == [1, 2, 3]


def test_somebody_who_went_while_the_room_was_loaded_is_not_in_it() -> None:
    world = World()
    ada, bob = world.guest("ada"), world.guest("bob")
    ada.say("join", room="lobby")
    bob.say("join", room="lobby")

    ada.disconnect()
    world.commit()

    assert bob.last["members"] == [{"id": bob.user, "name": "bob"}]


def test_a_room_that_cannot_be_loaded_is_unavailable_and_may_be_asked_for_again() -> None:
    world = World()
    ada = world.guest("ada")
    ada.say("join", room="lobby")
    world.commit(fail=True)
    assert ada.last["code"] == "unavailable"
    assert ada.last["retryable"]
    assert not world.engine.state.rooms

    assert ada.ask("join", room="lobby")["type"] == "ack"


def test_since_gives_exactly_what_was_missed() -> None:
    world = World(_UNLIMITED)
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    _say(ada, "one")
    bob.disconnect()
    _say(ada, "two", "three")

    back = world.guest("bob", session=bob.session)
    ack = back.ask("join", room="lobby", since={"epoch": "e1", "seq": 1})

    assert [message["text"] for message in ack["messages"]] == ["two", "three"]
    assert ack["recovered"] == "full"


def test_since_works_twice_in_a_row_and_on_the_same_connection() -> None:
    world = World(_UNLIMITED)
    ada = world.guest("ada", "lobby")
    _say(ada, "one", "two")

    for seq, expected in ((0, ["one", "two"]), (1, ["two"]), (2, []), (2, [])):
        ack = ada.ask("join", room="lobby", since={"epoch": "e1", "seq": seq})
        assert [message["text"] for message in ack["messages"]] == expected
        assert ack["recovered"] == "full"
    _say(ada, "three")
    assert len([push for push in ada.pushes("message") if push["seq"] == 3]) == 1


def test_since_works_for_a_room_that_saw_no_message() -> None:
    world = World()
    first = world.guest("ada").ask("join", room="silent")
    restarted = World(log=world.log)

    ack = restarted.guest("bob").ask("join", room="silent", since={"epoch": first["epoch"], "seq": first["seq"]})

    assert (ack["recovered"], ack["messages"], ack["seq"]) == ("full", [], 0)


def test_what_is_not_kept_any_more_is_named_exactly() -> None:
    log = ModelLog()
    world = World(_UNLIMITED, log=log)
    _say(world.guest("ada", "lobby"), *map(str, range(1, 8)))
    log.forgotten = 4
    restarted = World(_UNLIMITED, log=log)

    ack = restarted.guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 2})

    assert [message["seq"] for message in ack["messages"]] == [5, 6, 7]
    assert ack["recovered"] == "gap"
    assert ack["gap"] == {"from": 3, "to": 4, "reason": "retention"}


def test_when_everything_is_gone_the_gap_reaches_to_the_end() -> None:
    log = ModelLog()
    world = World(_UNLIMITED, log=log)
    _say(world.guest("ada", "lobby"), "1", "2", "3")
    log.forgotten = 3

    ack = World(log=log).guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 1})

    assert (ack["messages"], ack["seq"], ack["gap"]) == ([], 3, {"from": 2, "to": 3, "reason": "retention"})


def test_more_than_a_page_is_a_gap_that_history_can_fill() -> None:
    world = World(ChatSettings(history=300, messages=None, room_messages_per_second=None, frames_per_second=None))
    ada = world.guest("ada", "lobby")
    _say(ada, *map(str, range(1, 251)))

    ack = world.guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 100})
    assert ack["gap"] == {"from": 101, "to": 150, "reason": "limit"}
    page = ada.ask("history", room="lobby", after=100, limit=50)

    assert [message["seq"] for message in page["messages"]] == list(range(101, 151))
    assert [message["seq"] for message in ack["messages"]] == list(range(151, 251))


def test_a_new_epoch_is_a_gap_and_the_range_is_in_the_new_numbering() -> None:
    world = World(log=ModelLog(epoch="e2"))
    _say(world.guest("ada", "lobby"), "one")

    ack = world.guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 41})

    assert [message["seq"] for message in ack["messages"]] == [1]
    assert ack["gap"] == {"from": 1, "to": 0, "reason": "epoch"}


def test_a_position_that_was_never_reached_is_a_gap() -> None:
    world = World()
    _say(world.guest("ada", "lobby"), "one")

    ack = world.guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 9})

    assert ack["gap"]["reason"] == "epoch"


def test_the_fate_of_each_unacknowledged_send_is_told() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    ada.ask("send", room="lobby", text="arrived", cid="c-9")
    ada.disconnect()

    again = world.guest("ada", session=ada.session)
    ack = again.ask("join", room="lobby", since={"epoch": "e1", "seq": 0}, sent=["c-9", "c-10"])

    assert ack["sent"] == {"c-9": {"seq": 1}, "c-10": None}


def test_a_send_still_on_its_way_to_the_log_has_its_fate_told_right() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    ada.say("send", room="lobby", text="in flight", cid="c-1")
    ada.disconnect()

    ack = world.guest("ada", session=ada.session).ask("join", room="lobby", sent=["c-1"])

    assert ack["sent"] == {"c-1": {"seq": 1}}
    assert [message["seq"] for message in ack["messages"]] == [1]


def test_a_retry_stores_nothing_and_returns_the_first_place() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    first = ada.ask("send", room="lobby", text="once", cid="c")

    again = ada.ask("send", room="lobby", text="once", cid="c")

    assert not first["duplicate"]
    assert again["duplicate"]
    assert (again["seq"], again["mid"], again["time"]) == (first["seq"], first["mid"], first["time"])
    assert len(bob.pushes("message")) == 1
    assert again["rate"]["remaining"] == 4  # it cost nothing


def test_the_same_cid_of_another_user_or_room_is_another_message() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby", "attic"), world.guest("bob", "lobby")

    acks = [
        ada.ask("send", room="lobby", text="x", cid="c"),
        bob.ask("send", room="lobby", text="x", cid="c"),
        ada.ask("send", room="attic", text="x", cid="c"),
    ]

    assert [(ack["room"], ack["seq"], ack["duplicate"]) for ack in acks] == [
        ("lobby", 1, False), ("lobby", 2, False), ("attic", 1, False)
    ]  # fmt: skip


def test_what_could_not_be_stored_is_shown_to_nobody_and_costs_nothing() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    for _ in range(5):
        ada.say("send", room="lobby", text="lost")
    world.commit(fail=True)

    assert [frame["code"] for frame in ada.inbox[-5:]] == ["unavailable"] * 5
    assert not bob.pushes("message")
    assert ada.ask("send", room="lobby", text="kept")["seq"] == 1


def test_the_sixth_message_in_a_second_is_refused_until_the_time_it_was_told() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    _say(ada, "1", "2", "3", "4", "5")

    refusal = ada.ask("send", room="lobby", text="6")

    assert (refusal["code"], refusal["scope"], refusal["retryable"]) == ("rate_limited", "user", True)
    world.advance(refusal["retry_after_ms"] / 1000)
    assert ada.ask("send", room="lobby", text="6")["type"] == "ack"


def test_the_limit_counts_over_all_rooms_and_connections_of_a_user() -> None:
    world = World()
    first = world.owner("u1", Rights(), "lobby", "attic")
    second = world.owner("u1", Rights(), "lobby")
    _say(first, "1", "2")
    _say(first, "3", room="attic")
    _say(second, "4", "5")

    assert second.ask("send", room="lobby", text="6")["code"] == "rate_limited"
    assert first.ask("send", room="attic", text="6")["code"] == "rate_limited"


def test_a_room_has_a_limit_of_its_own() -> None:
    world = World(ChatSettings(room_messages_per_second=3))
    peers = [world.guest(f"guest{number}", "lobby") for number in range(5)]

    answers = [peer.ask("send", room="lobby", text="x") for peer in peers]

    assert [answer["type"] for answer in answers] == ["ack"] * 3 + ["error"] * 2
    assert answers[-1]["scope"] == "room"


def test_a_room_that_nobody_is_in_has_its_limit_too() -> None:
    world = World(ChatSettings(room_messages_per_second=3))

    answers = [world.caller(f"u{number}").ask("send", room="lobby", text="x") for number in range(5)]

    assert [answer["type"] for answer in answers] == ["ack"] * 3 + ["error"] * 2
    assert answers[-1]["scope"] == "room"
    world.advance(answers[-1]["retry_after_ms"] / 1000)
    assert world.caller("u9").ask("send", room="lobby", text="x")["type"] == "ack"


def test_requests_of_one_connection_are_limited_and_each_is_still_answered() -> None:
    world = World(ChatSettings(frames_per_second=2))
    ada = world.guest("ada")

    answers = [ada.ask("ping") for _ in range(6)]

    assert [answer["type"] for answer in answers] == ["ack"] * 3 + ["error"] * 3
    assert answers[-1]["scope"] == "connection"


def test_history_pages_in_both_directions_and_says_when_it_is_complete() -> None:
    world = World(_UNLIMITED)
    ada = world.guest("ada", "lobby")
    _say(ada, *map(str, range(1, 11)))
    outsider = world.guest("bob")

    for reader in (ada, outsider):
        newest = reader.ask("history", room="lobby", limit=4)
        older = reader.ask("history", room="lobby", before=newest["messages"][0]["seq"], limit=6)
        later = reader.ask("history", room="lobby", after=7)
        assert [message["seq"] for message in newest["messages"]] == [7, 8, 9, 10]
        assert not newest["complete"]
        assert [message["seq"] for message in older["messages"]] == [1, 2, 3, 4, 5, 6]
        assert older["complete"]
        assert [message["seq"] for message in later["messages"]] == [8, 9, 10]


@pytest.mark.parametrize(("limit", "seqs", "complete"), [(2, [4, 5], False), (3, [4, 5, 6], True)])
def test_history_between_two_messages_begins_at_the_first(limit: int, seqs: list[int], complete: bool) -> None:
    world = World(_UNLIMITED)
    ada = world.guest("ada", "lobby")
    _say(ada, *map(str, range(1, 11)))

    for reader in (ada, world.guest("bob")):
        page = reader.ask("history", room="lobby", after=3, before=7, limit=limit)
        assert [message["seq"] for message in page["messages"]] == seqs
        assert page["complete"] == complete


def test_history_from_the_log_and_from_memory_are_the_same() -> None:
    world = World(_UNLIMITED)
    ada = world.guest("ada", "lobby")
    _say(ada, *map(str, range(1, 11)))
    from_memory = [ada.ask("history", room="lobby", before=seq, limit=3) for seq in range(12)]
    ada.ask("leave", room="lobby")
    from_log = [ada.ask("history", room="lobby", before=seq, limit=3) for seq in range(12)]

    assert [one | {"re": ""} for one in from_memory] == [one | {"re": ""} for one in from_log]


def test_only_members_may_send_type_and_leave() -> None:
    world = World()
    ada = world.guest("ada")

    assert ada.ask("send", room="lobby", text="x")["code"] == "not_joined"
    assert ada.ask("typing", room="lobby")["code"] == "not_joined"
    assert ada.ask("leave", room="lobby")["code"] == "not_joined"
    assert ada.ask("leave", room="no room")["code"] == "invalid_room"


def test_texts_and_rooms_are_checked() -> None:
    world = World()
    ada = world.guest("ada", "lobby")

    for text in ("", "   ", "x" * 4001, "\x00"):
        refusal = ada.ask("send", room="lobby", text=text)
        assert (refusal["code"], refusal["field"]) == ("invalid_text", "text")
    for room in ("", "a b", "x" * 65, "a/b"):
        refusal = ada.ask("join", room=room)
        assert (refusal["code"], refusal["field"]) == ("invalid_room", "room")
    assert ada.ask("send", room="lobby", text="ü" * 4000)["type"] == "ack"


def test_a_connection_is_in_a_bounded_number_of_rooms() -> None:
    world = World(ChatSettings(rooms=2, frames_per_second=None))
    ada = world.guest("ada", "a", "b")

    assert ada.ask("join", room="c")["code"] == "too_many_rooms"
    assert ada.ask("join", room="a")["type"] == "ack"
    ada.ask("leave", room="a")
    assert ada.ask("join", room="c")["type"] == "ack"


def test_rights_are_by_room_and_action() -> None:
    world = World()
    reader = world.owner("reader", Rights(join=("team-*",), send=()), "team-a")

    assert reader.ask("join", room="secret")["code"] == "forbidden"
    assert reader.ask("history", room="secret")["code"] == "forbidden"
    assert reader.ask("send", room="team-a", text="x")["code"] == "forbidden"


def test_rooms_of_the_server_itself_are_for_operators() -> None:
    world = World()

    assert world.guest("ada").ask("join", room="~canary")["code"] == "forbidden"
    world.owner("canary", Rights(operator=True), "~canary")


def test_typing_is_told_to_the_others_only() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")

    ada.ask("typing", room="lobby")

    assert bob.pushes("typing") == [{"type": "typing", "room": "lobby", "user": {"id": ada.user, "name": "ada"}}]
    assert not ada.pushes("typing")


def test_an_empty_room_costs_nothing_and_keeps_its_history() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    _say(ada, "one")
    ada.ask("leave", room="lobby")
    assert not world.engine.state.rooms

    assert [message["text"] for message in ada.ask("join", room="lobby")["messages"]] == ["one"]


def test_messages_too_old_are_not_shown() -> None:
    world = World(ChatSettings(history_age_seconds=60.0, heartbeat_interval_seconds=1e6))
    ada = world.guest("ada", "lobby")
    _say(ada, "old")
    world.advance(40.0)
    _say(ada, "young")
    world.advance(30.0)

    ack = world.guest("bob").ask("join", room="lobby", since={"epoch": "e1", "seq": 0})

    assert [message["text"] for message in ack["messages"]] == ["young"]
    assert ack["gap"] == {"from": 1, "to": 1, "reason": "retention"}


def test_message_ids_are_never_the_same_twice() -> None:
    world = World(_UNLIMITED)
    ada = world.guest("ada", "lobby")
    _say(ada, *map(str, range(50)))

    mids = [push["mid"] for push in ada.pushes("message")]
    assert len(set(mids)) == 50
    assert all(earlier["time"] <= later["time"] for earlier, later in pairwise(ada.pushes("message")))


def test_somebody_on_http_may_send_and_read_without_joining() -> None:
    world = World()
    bob = world.guest("bob", "lobby")
    caller = world.caller("ada")

    assert caller.ask("send", room="lobby", text="posted")["seq"] == 1
    assert [message["text"] for message in caller.ask("history", room="lobby")["messages"]] == ["posted"]
    caller.disconnect()
    assert [push["text"] for push in bob.pushes("message")] == ["posted"]
    assert len(world.engine.state.people) == 1
