"""One read of the log at a time for each connection: what it asks for at once must not all come at once."""

from palaver.chat.effects import Release, Send
from tests.sim.world import World


def test_a_connection_is_held_while_the_log_reads_a_page_for_it() -> None:
    world = World()
    ada, bob = world.guest("ada"), world.guest("bob")
    ada.say("history", room="r")
    assert world.held == {ada}
    bob.say("history", room="r")
    world.commit(1)
    assert world.held == {bob}
    world.commit()
    assert not world.held


def test_a_page_from_memory_holds_nobody() -> None:
    world = World()
    ada = world.guest("ada", "r")
    ada.say("history", room="r")
    assert not world.held
    assert ada.last["type"] == "ack"


def test_it_is_released_behind_the_answer() -> None:
    world = World()
    ada = world.guest("ada")
    ada.say("history", room="r")
    answer, release = world.engine.logged(world.log.commit(), world.now)
    assert isinstance(answer, Send)
    assert isinstance(release, Release)


def test_who_joins_is_held_until_the_whole_picture_is_there() -> None:
    world = World()
    ada, bob = world.guest("ada"), world.guest("bob")
    ada.say("join", room="r", sent=["c1"])
    bob.say("join", room="r")
    assert world.held == {ada, bob}
    world.commit(1)  # the fate of the send; now ada waits for the room as well
    assert world.held == {ada, bob}
    world.commit(1)
    assert not world.held
    assert [peer.last["type"] for peer in (ada, bob)] == ["ack", "ack"]
    ada.ask("leave", room="r")
    carol = world.guest("carol")
    carol.say("join", room="r")
    assert not world.held, "the room is in memory"


def test_what_cannot_be_read_releases_too() -> None:
    world = World()
    ada, bob, carol = (world.guest(name) for name in ("ada", "bob", "carol"))
    ada.say("history", room="r")
    bob.say("join", room="r")
    carol.say("join", room="r", sent=["c1"])
    assert world.held == {ada, bob, carol}
    world.commit(fail=True)
    assert not world.held
    assert [peer.last["code"] for peer in (ada, bob, carol)] == ["unavailable"] * 3


def test_who_goes_while_held_leaves_nothing() -> None:
    world = World()
    ada, bob = world.guest("ada"), world.guest("bob")
    ada.say("join", room="r", sent=["c1"])
    bob.say("join", room="r")
    ada.disconnect()
    bob.disconnect()
    world.commit()
    assert not world.held
    assert world.guest("carol").ask("join", room="r")["member_count"] == 1
