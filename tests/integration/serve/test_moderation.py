"""A moderator at work over the socket of a real server, which is killed afterwards: what was decided stands."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.serve.process import Server, serving
from tests.integration.serve.test_ways_in import ask, socket_url, token


async def enter(server: Server, room: str = "lobby", **who: str) -> tuple[ClientConnection, Any, Any]:
    """A connection with the answers to its `auth` and its `join`."""
    client = await connect(socket_url(server), proxy=None)
    known = await ask(client, type="auth", id="1", **who)
    return client, known, await ask(client, type="join", id="2", room=room)


async def pushed(client: ClientConnection, kind: str) -> Any:
    """The next push of a kind."""
    async with asyncio.timeout(30):
        while True:
            frame = json.loads(await client.recv())
            if frame["type"] == kind:
                return frame


async def closed(client: ClientConnection) -> tuple[list[str], int | None]:
    """The codes of what is said before the end, and the close code."""
    codes = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(30):
            while True:
                frame = json.loads(await client.recv())
                codes += [frame["code"]] if "code" in frame else []
    return codes, client.close_code


async def test_what_a_moderator_decides_takes_effect_at_once_and_outlives_a_kill(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        moderator, _, _ = await enter(server, token=token("--room", "lobby=join,send,moderate", cwd=tmp_path))
        bob, known, _ = await enter(server, name="bob")
        who = known["user"]["id"]
        for text in ("one", "two", "three"):
            assert (await ask(bob, type="send", id="3", room="lobby", text=text))["type"] == "ack"

        assert (await ask(moderator, type="delete", id="4", room="lobby", seq=2))["type"] == "ack"
        assert (await pushed(bob, "deleted"))["seq"] == 2
        assert (await ask(bob, type="delete", id="5", room="attic", seq=1))["code"] == "forbidden"
        assert (await ask(moderator, type="kick", id="6", room="attic", user=who))["code"] == "forbidden"

        assert (await ask(moderator, type="mute", id="7", room="lobby", user=who, reason="loud"))["type"] == "ack"
        assert (await ask(bob, type="send", id="8", room="lobby", text="x"))["code"] == "forbidden"
        assert (await ask(moderator, type="unmute", id="9", room="lobby", user=who))["type"] == "ack"

        assert (await ask(moderator, type="slow", id="10", room="lobby", seconds=60))["type"] == "ack"
        assert (await ask(bob, type="send", id="11", room="lobby", text="four"))["seq"] == 4
        refused = await ask(bob, type="send", id="11", room="lobby", text="x")
        assert (refused["code"], refused["scope"]) == ("rate_limited", "room")
        assert 50_000 < refused["retry_after_ms"] <= 60_000
        for seq in (5, 6):  # moderators are free
            assert (await ask(moderator, type="send", id="12", room="lobby", text="mod"))["seq"] == seq

        assert (await ask(moderator, type="kick", id="13", room="lobby", user=who, reason="out"))["type"] == "ack"
        codes, code = await closed(bob)
        assert (codes[-2:], code) == (["kicked", "forbidden"], 4001)
        bob, _, joined = await enter(server, name="bob", session=known["session"])
        assert joined["type"] == "ack", "who was kicked may come back"
        assert (await ask(moderator, type="ban", id="14", room="lobby", user=who))["type"] == "ack"
        assert await closed(bob) == (["banned", "forbidden"], 4001)
        await asyncio.to_thread(server.end, signal.SIGKILL)
        await moderator.close()

    with serving(cwd=tmp_path) as server:
        bob, _, refused = await enter(server, name="bob", session=known["session"])
        assert refused["code"] == "forbidden", "the ban stands"
        assert (await ask(bob, type="history", id="3", room="lobby"))["code"] == "forbidden"
        eve, _, joined = await enter(server, name="eve")
        kept = [(message["seq"], message["text"], message.get("deleted", False)) for message in joined["messages"]]
        assert kept[:4] == [(1, "one", False), (2, "", True), (3, "three", False), (4, "four", False)]
        assert (await ask(eve, type="send", id="3", room="lobby", text="seven"))["seq"] == 7
        again = await ask(eve, type="send", id="4", room="lobby", text="eight")
        assert (again["code"], again["scope"]) == ("rate_limited", "room"), "slow mode stands"
        for client in (bob, eve):
            await client.close()
