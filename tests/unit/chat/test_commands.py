"""Commands: considered before they are stored, obeyed after, and refused without a trace."""

import pytest

from palaver.chat.commands import Objection, is_command
from palaver.chat.identity import Identity, Refusal, identity_from_claims
from palaver.chat.records import User
from palaver.chat.rights import GUEST, Rights
from palaver.chat.settings import ChatSettings
from tests.sim.world import World


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("/ask @a why?", True), ("/ask", True), ("/vote A", True), ("/ask\nwhy?", True), ("/asking", False),
     (" /ask", False), ("/", False), ("/ ask", False), ("ask", False), ("", False), ("/shrug", False)],
)  # fmt: skip
def test_a_command_begins_with_its_word(text: str, is_one: bool) -> None:
    assert is_command(text) is is_one


def test_a_command_is_obeyed_once_it_is_stored_and_shown_like_any_message() -> None:
    world = World()
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")

    re = ada.say("send", room="lobby", text="/ask @a why?", cid="c1")
    assert len(world.considered) == 1
    assert not world.obeyed, "nothing is carried out before it is stored"
    world.commit()

    assert [obey.job.text for obey in world.obeyed] == ["/ask @a why?"]
    assert world.obeyed[0].seq == 1
    assert [push["text"] for push in bob.pushes("message")] == ["/ask @a why?"]
    assert next(frame for frame in ada.inbox if frame.get("re") == re)["mid"] == world.obeyed[0].mid


def test_a_repeated_command_is_told_again_under_the_first_mid() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    for _ in range(2):
        ada.ask("send", room="lobby", text="/ask why?", cid="c1")
    assert len({obey.mid for obey in world.obeyed}) == 1
    assert [obey.duplicate for obey in world.obeyed] == [False, True]


def test_a_command_that_cannot_be_carried_out_is_told_to_its_sender_only_and_costs_nothing() -> None:
    world = World(ChatSettings(messages=1, per_seconds=1000.0))
    ada, bob = world.guest("ada", "lobby"), world.guest("bob", "lobby")
    world.objection = Objection("invalid_text", "There is no model x.")

    error = ada.ask("send", room="lobby", text="/ask @x why?")

    assert (error["code"], error["message"], error["field"]) == ("invalid_text", "There is no model x.", "text")
    assert not bob.pushes("message")
    assert not world.obeyed
    assert ada.ask("send", room="lobby", text="then not")["type"] == "ack", "the refused one did not count"


def test_a_refused_command_does_not_start_the_pause_of_slow_mode() -> None:
    world = World()
    moderator = world.owner("mod", Rights(moderate=("lobby",)), "lobby")
    assert moderator.ask("slow", room="lobby", seconds=60)["type"] == "ack"
    ada = world.guest("ada", "lobby")
    world.objection = Objection("forbidden", "no")
    assert ada.ask("send", room="lobby", text="/ask why?")["code"] == "forbidden"
    assert ada.ask("send", room="lobby", text="hello")["type"] == "ack"


def test_asking_needs_the_right_to_ask_and_voting_does_not() -> None:
    world = World()
    ada = world.owner("u1", Rights(ask=("attic",)), "lobby", "attic")
    assert ada.ask("send", room="lobby", text="/ask why?")["code"] == "forbidden"
    assert ada.ask("send", room="lobby", text="/vote A")["type"] == "ack"
    assert ada.ask("send", room="attic", text="/ask why?")["type"] == "ack"
    assert [(effect.guest, effect.moderates) for effect in world.considered] == [(False, False)] * 2


def test_what_the_servers_own_users_say_is_never_a_command() -> None:
    world = World()
    ada = world.guest("ada", "lobby")
    model = world.connect()
    ours = Identity(User("~answer", "Answer A"), GUEST, None, None)
    world.perform(world.engine.connected_http(model, "", ours, world.now))
    assert model.ask("send", room="lobby", text="/ask again")["type"] == "ack"
    assert not world.considered
    assert [push["text"] for push in ada.pushes("message")] == ["/ask again"]


def test_nobody_can_sign_in_as_a_user_of_the_server() -> None:
    verdict = identity_from_claims({"sub": "~answer", "name": "x", "exp": 10}, now=1.0, wall=0.0)
    assert isinstance(verdict, Refusal)
    world = World()
    assert world.connect().ask("auth", name="Pa1aver")["code"] == "name_taken"
    assert world.connect().ask("auth", name="answer a")["code"] == "name_taken"
