"""The log of a whole session at its most talkative, searched for everything that is nobody's business."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.serve.process import palaver, serving
from tests.integration.serve.test_ways_in import ask, socket_url, token

SAID = "the merger is on friday"


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_line_holds_a_token_a_key_a_session_or_a_text(form: str, tmp_path: Path) -> None:
    with serving("--log-level", "debug", "--log-format", form, cwd=tmp_path) as server:
        good = token("--role", "operator", cwd=tmp_path)
        secrets = {good, good.rpartition(".")[2], SAID}
        async with connect(socket_url(server), proxy=None) as guest, connect(socket_url(server), proxy=None) as ada:
            entered = await ask(guest, type="auth", id="1", name="bob")
            secrets |= {entered["session"], entered["session"].rpartition(".")[2]}
            again = await ask(guest, type="auth", id="2", name="bob", session=entered["session"])
            assert again["type"] == "ack"
            await ask(ada, type="auth", id="1", token=good + "x")
            await ask(ada, type="auth", id="2", token=good)
            for client in (guest, ada):
                await ask(client, type="join", id="3", room="lobby")
                await ask(client, type="send", id="4", room="lobby", text=SAID, cid="c")
                await ask(client, type="send", id="5", room="lobby", text=SAID, txet=SAID)
            await ada.send(f'{{"type": "auth", "id": "6", "token": "{good}')
            await ask(ada, type="mute", id="7", room="lobby", user=entered["user"]["id"], reason=SAID)
            await ask(ada, type="delete", id="8", room="lobby", seq=1)
            await ask(ada, type="kick", id="9", room="lobby", user=entered["user"]["id"], reason=SAID)
        with contextlib.suppress(InvalidStatus):
            await connect(f"{socket_url(server)}?token={good}", proxy=None, origin="https://evil.example")  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {good}", "Cookie": f"token={good}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as session:
            for method, path, body in (
                ("POST", "/api/rooms/lobby/messages", {"text": SAID}),
                ("POST", f"/api/rooms/lobby/messages?token={good}", {"text": SAID, "nope": good}),
                ("GET", f"/api/rooms/{good}/messages", None),
                ("GET", f"/{good}", None),
                ("GET", "/metrics", None),
            ):
                async with session.request(method, path, json=body) as response:
                    secrets_in_answer = good in await response.text()
                    assert not secrets_in_answer, path
        assert await asyncio.to_thread(server.end) == 0
        secrets.add((tmp_path / "palaver-data" / "operator.key").read_text().strip())
        log = server.log
        assert [secret for secret in secrets if secret in log] == []
        assert "connection_opened" in log, "it was talkative"


async def test_a_line_about_a_connection_has_its_id_and_one_about_a_room_its_name(tmp_path: Path) -> None:
    with serving("--log-level", "debug", "--store", "memory", cwd=tmp_path) as server:
        for _ in range(2):
            async with connect(socket_url(server), proxy=None) as client:
                await ask(client, type="auth", id="1", name="ada")
                await ask(client, type="join", id="2", room="lobby")
                await ask(client, type="leave", id="3", room="lobby")
        assert await asyncio.to_thread(server.end) == 0
        lines = [json.loads(line) for line in server.log.splitlines()]
    for event in ("connection_opened", "room_entered", "connection_closed"):
        ids = [re.match(r"<Connection (\d+) ", line["connection"]) for line in lines if line["event"] == event]
        assert [found and found[1] for found in ids] == ["1", "2"], event
    assert {line["room"] for line in lines if line["event"] == "room_entered"} == {"lobby"}


def test_the_tokens_command_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    made = palaver("token", "--name", "ada", cwd=tmp_path)
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", made.stdout)
    assert made.stderr == ""
