"""Faults of our own in the middle of something: everybody who waits is answered, and the next try works."""

import contextlib
from typing import Any

import pytest

from palaver.chat.conversation import Conversation
from palaver.chat.joining import Joining
from palaver.chat.rooms import Ring
from palaver.server.performer import Performer
from tests.failing import failing_once
from tests.faults.server.chatting import chatting, join
from tests.unit.server.serving import until

NAMES = ("ada", "bob", "cyd")


@pytest.mark.parametrize(
    ("where", "at", "joined"),
    [((Ring, "fill"), 1, set()), ((Joining, "_enter"), 1, set()), ((Joining, "_enter"), 2, {"ada"})],
)
async def test_a_fault_while_a_room_is_loaded_leaves_nobody_waiting(
    where: tuple[type, str], at: int, joined: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = where
    monkeypatch.setattr(owner, name, failing_once(getattr(owner, name), at))
    async with chatting(faults=1) as server, contextlib.AsyncExitStack() as stack:
        talkers = [await join(server, called, stack=stack) for called in NAMES]
        tell = Performer.submit
        monkeypatch.setattr(Performer, "submit", lambda _self: None)  # until all three wait
        for talker in talkers:
            await talker.client.send('{"type":"join","id":"j","room":"r"}')
            await talker.client.send('{"type":"ping","id":"p"}')
        rooms = server.engine.state.rooms
        await until(lambda: "r" in rooms and len(rooms["r"].waiting) == len(NAMES))
        monkeypatch.setattr(Performer, "submit", tell)
        server.shell.performer.submit()
        answers = {talker.name: await talker.answer("j") for talker in talkers}
        assert {called for called, answer in answers.items() if answer["type"] == "ack"} == joined
        assert {answer["code"] for answer in answers.values() if answer["type"] == "error"} == {"unavailable"}
        for talker in talkers:
            assert (await talker.answer("p"))["type"] == "ack", "it is listened to again"
            assert (await talker.ask(type="join", room="r"))["type"] == "ack"
        assert (await talkers[0].ask(type="send", room="r", text="hello"))["seq"] == 1
        for talker in talkers:
            assert await talker.messages(1) == [1]


@pytest.mark.parametrize(
    ("where", "request_"),
    [
        ((Conversation, "paged"), {"type": "history", "room": "elsewhere"}),
        ((Joining, "found"), {"type": "join", "room": "elsewhere", "sent": ["c"]}),
    ],
    ids=["a page", "the fates of sends"],
)
async def test_a_fault_over_what_the_log_read_leaves_nobody_held(
    where: tuple[type, str], request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = where
    monkeypatch.setattr(owner, name, failing_once(getattr(owner, name), 1))
    async with chatting(faults=1) as server, contextlib.AsyncExitStack() as stack:
        ada = await join(server, "ada", stack=stack)
        assert (await ada.ask(**request_))["code"] == "unavailable"
        (session,) = server.engine.state.sessions.values()
        assert session.reads == 0, "it is held, and its heartbeat waits, for reads that are under way and no others"
        assert not session.joining
        assert (await ada.ask(**request_))["type"] == "ack"
        assert session.reads == 0
