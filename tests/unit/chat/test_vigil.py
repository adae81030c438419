"""Which connections still live, on virtual time."""

import pytest

from palaver.chat.settings import ChatSettings
from tests.sim.world import World


def test_a_silent_connection_is_pinged_after_the_interval_and_closed_after_the_timeout() -> None:
    world = World()
    ada = world.guest("ada")

    world.advance(24.9)
    assert not ada.pushes("ping")
    world.advance(0.2)
    assert ada.pushes("ping") == [{"type": "ping"}]
    world.advance(9.8)
    assert ada.is_open
    world.advance(0.2)

    assert ada.closed == 4102


@pytest.mark.parametrize("answer", [b'{"type":"pong"}', b'{"type":"ping","id":"1"}', b"not even JSON"])
def test_any_frame_is_an_answer(answer: bytes) -> None:
    world = World()
    ada = world.guest("ada")
    for _ in range(5):
        world.advance(26.0)
        ada.send_raw(answer)

    assert ada.is_open


def test_a_pong_of_the_websocket_layer_is_an_answer_so_a_peer_that_only_reads_stays() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    for _ in range(20):
        world.advance(25.0)
        world.engine.heard(ada, world.now)

    assert ada.is_open
    assert len(ada.pushes("ping")) == 20


def test_a_peer_that_vanished_from_a_busy_room_is_gone_in_time() -> None:
    world = World()
    gone, busy = world.guest("gone", "lobby"), world.guest("busy", "lobby")
    vanished_at = world.now
    while gone.is_open and world.now < vanished_at + 60.0:
        world.advance(0.5)
        busy.ask("send", room="lobby", text="chatter")

    assert gone.closed == 4102
    assert world.now - vanished_at <= 35.5


def test_one_that_is_still_taking_what_it_was_sent_is_alive_however_slow_its_line_is() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    for _ in range(8):
        world.advance(30.0)
        assert world.engine.catching_up(ada, world.now) == []
    assert ada.is_open
    world.advance(34.9)
    assert ada.is_open
    world.advance(0.2)
    assert ada.closed == 4102, "it took the last of it, and said nothing since"


def test_one_that_is_not_listened_to_while_the_log_reads_for_it_is_not_silent() -> None:
    world = World()
    ada = world.guest("ada")
    ada.say("history", room="elsewhere")  # and the log does not answer
    world.advance(120.0)
    assert ada.is_open
    world.commit()
    world.engine.heard(ada, world.now)  # what it had said meanwhile
    world.advance(20.0)
    assert ada.is_open
    world.advance(15.1)
    assert ada.closed == 4102


def test_to_take_what_it_is_sent_is_no_auth() -> None:
    world = World()
    ada = world.connect()
    world.advance(9.0)
    world.engine.catching_up(ada, world.now)
    world.advance(1.1)
    assert ada.closed == 4003


def test_a_client_that_only_talks_is_still_pinged_so_that_it_knows_the_server_lives() -> None:
    world = World(ChatSettings(heartbeat_interval_seconds=5.0))
    ada = world.guest("ada")
    for _ in range(20):
        world.advance(1.0)
        ada.send_raw(b'{"type":"pong"}')

    assert len(ada.pushes("ping")) >= 3


def test_a_stall_of_the_server_itself_kills_nobody() -> None:
    world = World()
    ada = world.guest("ada")
    world.advance(25.0)
    assert ada.pushes("ping")

    world.now += 300.0  # the process was stopped; the pong waits in the kernel's buffer
    world.engine.stalled(300.0)
    world.perform(world.engine.tick(world.now))
    assert ada.is_open
    for _ in range(10):
        ada.send_raw(b'{"type":"pong"}')
        world.advance(5.0)

    assert ada.is_open


def test_after_a_stall_a_dead_peer_still_dies() -> None:
    world = World()
    ada = world.guest("ada")
    world.advance(25.0)
    world.now += 300.0
    world.engine.stalled(300.0)

    world.advance(10.1)

    assert ada.closed == 4102


def test_a_stall_is_also_added_to_the_time_for_auth() -> None:
    world = World()
    peer = world.connect()
    world.now += 60.0
    world.engine.stalled(60.0)
    world.perform(world.engine.tick(world.now))
    assert peer.is_open

    peer.auth("ada")

    assert peer.is_open


def test_who_signs_in_has_one_timer_and_leaves_no_dead_one() -> None:
    world = World()
    for number in range(5):
        world.guest(f"guest{number}")
    timers = world.engine.state.timers

    assert len(timers) == len(timers._heap) == 5
