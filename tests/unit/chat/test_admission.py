"""From the first byte to a known user."""

from palaver.chat.rights import Rights
from palaver.chat.settings import ChatSettings
from tests.sim.world import World


def test_hello_is_the_first_frame_and_states_every_limit() -> None:
    peer = World().connect()

    hello = peer.inbox[0]
    assert hello["type"] == "hello"
    assert hello["protocol"] == 1
    assert hello["heartbeat"] == {"interval": 25.0, "timeout": 10.0}
    assert hello["limits"] == {
        "frame_bytes": 65536, "text_chars": 4000, "rooms": 128, "history": 100, "messages": 5, "per_seconds": 1.0
    }  # fmt: skip


def test_a_guest_gets_an_id_and_a_session_that_makes_them_the_same_user_again() -> None:
    world = World()
    first = world.guest("ada")
    first.disconnect()

    again = world.guest("ada", session=first.session)

    assert again.user == first.user


def test_a_session_works_while_the_old_connection_still_hangs() -> None:
    world = World()
    hanging = world.guest("ada", "lobby")

    again = world.guest("ada", "lobby", session=hanging.session)

    assert again.user == hanging.user
    assert world.engine.state.rooms["lobby"].members.keys() == {again.user}


def test_a_forged_session_is_refused_and_the_connection_may_try_again() -> None:
    world = World()
    ada = world.guest("ada")
    peer = world.connect()

    refusal = peer.ask("auth", name="eve", session=f"{ada.user}.{'0' * 40}")

    assert refusal["code"] == "invalid_token"
    assert peer.ask("auth", name="eve")["type"] == "ack"


def test_a_name_in_use_is_taken_also_when_it_only_looks_the_same() -> None:
    world = World()
    world.guest("ada")
    peer = world.connect()

    assert peer.ask("auth", name="Ada")["code"] == "name_taken"
    assert peer.ask("auth", name="\u0430d\u0430")["code"] in {"invalid_name", "name_taken"}  # Cyrillic a


def test_a_name_is_free_again_when_its_owner_is_gone() -> None:
    world = World()
    world.guest("ada", "lobby").disconnect()
    peer = world.connect()

    assert peer.ask("auth", name="ada")["code"] == "name_taken"  # the place in the room is kept for a while
    world.advance(10.0)
    peer = world.connect()
    assert peer.ask("auth", name="ada")["type"] == "ack"


def test_nothing_but_auth_and_ping_is_heard_before_auth() -> None:
    peer = World().connect()

    assert peer.ask("join", room="lobby")["code"] == "unauthenticated"
    assert peer.ask("ping")["type"] == "ack"


def test_without_auth_in_time_the_reason_comes_before_the_close() -> None:
    world = World()
    peer = world.connect()

    world.advance(9.9)
    assert peer.is_open
    world.advance(0.2)

    assert peer.closed == 4003
    assert peer.last["code"] == "request_timeout"


def test_where_guests_are_not_allowed_they_are_told_to_send_a_token() -> None:
    peer = World(ChatSettings(auth="token")).connect()

    refusal = peer.ask("auth", name="ada")

    assert (refusal["code"], refusal["field"]) == ("unauthenticated", "token")


def test_a_token_makes_its_subject_the_user_on_any_number_of_connections() -> None:
    world = World()

    first, second = world.owner("u1", Rights(), "lobby"), world.owner("u1", Rights(), "lobby")

    assert first.inbox[1]["user"] == {"id": "u1", "name": "U1"}
    assert len(world.engine.state.rooms["lobby"].members) == 1
    assert second.closed is None


def test_a_second_auth_may_renew_but_not_change_the_user() -> None:
    world = World()
    peer = world.owner("u1", Rights())

    re = peer.say("auth", token="other")
    world.verify(peer, "u2", Rights())

    assert peer.last["re"] == re
    assert peer.last["code"] == "forbidden"


def test_a_renewal_that_forbids_a_room_takes_the_user_out_of_it() -> None:
    world = World()
    peer = world.owner("u1", Rights(), "lobby", "attic")

    peer.say("auth", token="narrower")
    world.verify(peer, "u1", Rights(join=("lobby",), send=("lobby",)))

    assert peer.rooms == {"lobby"}
    assert peer.last["code"] == "forbidden"
    assert peer.last["room"] == "attic"


def test_an_expiring_token_is_warned_about_and_then_closes_the_connection() -> None:
    world = World(ChatSettings(heartbeat_interval_seconds=1e6))
    peer = world.owner("u1", Rights(), expires=world.now + 100.0)

    world.advance(41.0)
    warned = [frame for frame in peer.pushes("notice") if frame["code"] == "token_expiring"]
    assert [frame["after_ms"] for frame in warned] == [60_000]
    world.advance(58.0)
    assert peer.is_open
    world.advance(1.1)

    assert peer.closed == 4301
    assert peer.last["code"] == "token_expired"


def test_a_renewed_token_keeps_the_connection() -> None:
    world = World(ChatSettings(heartbeat_interval_seconds=1e6))
    peer = world.owner("u1", Rights(), expires=world.now + 100.0)

    world.advance(50.0)
    peer.say("auth", token="renewed")
    world.verify(peer, "u1", Rights(), expires=world.now + 1000.0)
    world.advance(200.0)

    assert peer.is_open


def test_an_address_that_connects_too_often_is_told_when_to_come_back() -> None:
    world = World(ChatSettings(ip_connects_per_second=2))
    peers = [world.connect() for _ in range(21)]

    assert [peer.closed for peer in peers] == [None] * 20 + [4110]
    assert peers[-1].last["scope"] == "ip"
    world.advance(peers[-1].last["retry_after_ms"] / 1000)
    assert world.connect().closed is None
    assert world.connect().closed == 4110


def test_unauthenticated_frames_are_limited_by_address_over_all_connections() -> None:
    world = World(ChatSettings(ip_unauthenticated_frames_per_second=1, ip_connects_per_second=None))

    answers = [world.connect().ask("auth", name=".") for _ in range(12)]

    assert [answer["code"] for answer in answers] == ["invalid_name"] * 10 + ["rate_limited"] * 2


def test_a_guest_cannot_escape_the_limit_by_reconnecting_under_another_name() -> None:
    world = World()
    stored = 0
    for attempt in range(20):
        peer = world.guest(f"guest{attempt}", "lobby")
        stored += sum(peer.ask("send", room="lobby", text="spam")["type"] == "ack" for _ in range(6))
        peer.disconnect()

    assert stored == 5


def test_a_guest_who_comes_back_under_another_name_is_shown_under_it() -> None:
    world = World()
    other = world.guest("bob", "lobby")
    ada = world.guest("ada", "lobby")
    world.advance(1.0)
    ada.disconnect()

    world.guest("grace", "lobby", session=ada.session)
    world.advance(1.0)

    assert other.pushes("presence")[-1]["joined"] == [{"id": ada.user, "name": "grace"}]
    assert not any(frame["left"] for frame in other.pushes("presence"))
