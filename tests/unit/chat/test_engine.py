"""The face of the core: one answer per request, budgets, draining."""

from palaver.chat.errors import CLOSE_RANGES, CLOSES, ERRORS
from palaver.chat.settings import ChatSettings
from tests.sim.world import World


def test_each_malformed_frame_is_answered_and_costs_from_a_budget() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    for number in range(10):
        assert ada.is_open, number
        ada.send_raw(b'{"type":"dance","id":"1"}')

    assert [frame["code"] for frame in ada.inbox[-10:]] == ["unknown_type"] * 10
    assert ada.closed == 4008
    assert bob.is_open


def test_without_a_budget_the_first_malformed_frame_is_the_last() -> None:
    world = World(ChatSettings(malformed_budget=0))
    ada = world.guest("ada")

    ada.send_raw(b"{")

    assert ada.last["code"] == "invalid_json"
    assert ada.closed == 4008


def test_the_budget_grows_back() -> None:
    world = World(ChatSettings(heartbeat_interval_seconds=1e6))
    ada = world.guest("ada")
    for _ in range(30):
        ada.send_raw(b"{")
        world.advance(7.0)

    assert ada.is_open


def test_a_binary_frame_is_malformed() -> None:
    world = World()
    ada = world.guest("ada")

    world.perform(world.engine.receive_binary(ada, world.now))

    assert ada.last["code"] == "invalid_frame"


def test_a_closed_connection_is_deaf() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    world.perform(world.engine.too_slow(ada, world.now))

    ada.send_raw(b'{"type":"ping","id":"1"}')
    ada.disconnect()

    assert ada.closed == 4108
    assert not world.engine.state.sessions


def test_draining_gives_each_connection_a_slot_of_its_own_and_still_serves() -> None:
    world = World()
    peers = [world.guest(f"guest{number}", "lobby") for number in range(5)]

    world.perform(world.engine.drain(10.0, world.now))
    slots = [peer.last["after_ms"] for peer in peers]
    assert slots == [2000, 4000, 6000, 8000, 10_000]
    assert peers[0].ask("send", room="lobby", text="last words")["type"] == "ack"
    world.perform(world.engine.close_all(world.now))

    assert [peer.closed for peer in peers] == [4201] * 5


def test_one_who_comes_when_the_shutdown_has_begun_is_sent_away_with_a_reason() -> None:
    world = World()
    world.perform(world.engine.drain(5.0, world.now))

    late = world.connect()

    assert [frame["type"] for frame in late.inbox] == ["hello", "notice"]
    assert (late.inbox[1]["code"], late.inbox[1]["after_ms"], late.closed) == ("shutdown", 5_000, 4201)
    assert not world.engine.state.sessions


def test_catching_up_gives_what_was_missed_or_says_that_it_is_gone() -> None:
    world = World(ChatSettings(history=3, messages=None))
    ada = world.guest("ada", "lobby")
    for text in "abcd":
        ada.ask("send", room="lobby", text=text)

    missed = world.engine.catch_up(ada, "lobby", 2, world.now)
    assert missed is not None
    assert [b'"seq":3' in missed[0], b'"seq":4' in missed[1]] == [True, True]
    assert world.engine.catch_up(ada, "lobby", 4, world.now) == []
    assert world.engine.catch_up(ada, "lobby", 0, world.now) is None
    assert world.engine.last_seq("lobby") == 4


def test_every_close_code_is_in_a_range_that_tells_the_client_what_to_do() -> None:
    for code in CLOSES:
        assert sum(one.first <= code <= one.last for one in CLOSE_RANGES) == 1


def test_every_error_says_when_and_what_to_do() -> None:
    for code, row in ERRORS.items():
        assert code == code.lower()
        assert row.when.endswith(".")
        assert row.remedy
