import asyncio
import contextlib
import json
import signal
import socket
import stat
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.serve.process import palaver, serving


async def ask(client: ClientConnection, **request: Any) -> Any:
    """Send one request and wait for its answer; pushes in between are passed over."""
    await client.send(json.dumps(request))
    while True:
        frame = json.loads(await client.recv())
        if frame.get("re") == request["id"]:
            return frame


async def chat(url: str, name: str) -> ClientConnection:
    client = await connect(url.replace("http", "ws", 1) + "/ws", proxy=None, compression=None)
    assert json.loads(await client.recv())["type"] == "hello"
    assert (await ask(client, type="auth", id="1", name=name))["type"] == "ack"
    return client


async def test_two_guests_chat_and_find_their_messages_after_a_kill(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        ada, bob = await chat(server.url, "ada"), await chat(server.url, "bob")
        for client in (ada, bob):
            await ask(client, type="join", id="2", room="lobby")
        sent = await ask(ada, type="send", id="3", room="lobby", text="hello", cid="c1")
        assert (sent["seq"], sent["durability"]) == (1, "disk")
        frame: dict[str, Any] = {}
        while frame.get("type") != "message":
            frame = json.loads(await bob.recv())
        assert frame["text"] == "hello"
        await asyncio.to_thread(server.end, signal.SIGKILL)
        await ada.close()
        await bob.close()
    with serving(cwd=tmp_path) as server:
        ada = await chat(server.url, "ada")
        joined = await ask(ada, type="join", id="2", room="lobby")
        assert [message["text"] for message in joined["messages"]] == ["hello"]
        await ada.close()


async def test_sigterm_tells_the_clients_and_exits_with_0(tmp_path: Path) -> None:
    with serving("--store", "memory", "--drain-window", "0.1", cwd=tmp_path) as server:
        ada = await chat(server.url, "ada")
        ended = asyncio.create_task(asyncio.to_thread(server.end))
        frames: list[Any] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(json.loads(await ada.recv()))
        assert [(frame["type"], frame["code"]) for frame in frames] == [("notice", "shutdown")]
        assert ada.close_code == 4201
        assert await ended == 0


async def test_a_server_that_is_asked_over_http_whether_it_is_ready_flies_a_canary(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        async with aiohttp.ClientSession(server.url) as session:
            async with session.get("/health/ready") as response:
                body = await response.json()
                assert (response.status, body["ready"]) == (200, True)
            async with session.get("/") as response:
                assert response.status == 200
                assert "Palaver" in await response.text()


async def test_the_operators_token_opens_http_and_the_socket_but_no_log_shows_it(tmp_path: Path) -> None:
    with serving("--log-level", "debug", cwd=tmp_path) as server:
        made = await asyncio.to_thread(palaver, "token", "--name", "root", "--role", "operator", cwd=tmp_path)
        token = made.stdout.strip()
        assert stat.S_IMODE((tmp_path / "palaver-data" / "operator.key").stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(server.url, headers=headers) as session,
            session.post("/api/rooms/lobby/messages", json={"text": "maintenance at noon"}) as response,
        ):
            assert response.status == 201
        client = await connect(server.url.replace("http", "ws", 1) + "/ws", proxy=None)
        await client.recv()
        assert (await ask(client, type="auth", id="1", token=token))["user"]["name"] == "root"
        await client.send('{"type": "auth", "id": "2", "token": "' + token + 'x"}')
        await client.recv()
        await client.close()
        async with (
            aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {token}x"}) as session,
            session.get(f"/api/rooms?token={token}") as response,
        ):
            assert response.status == 401
        assert await asyncio.to_thread(server.end) == 0
        key = (tmp_path / "palaver-data" / "operator.key").read_text().strip()
        assert '"event": "listening"' in server.log
        for secret in (token, token[-40:], key, "maintenance at noon"):
            assert secret not in server.log


def test_settings_that_cannot_be_used_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    ended = palaver("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "--auth token" in ended.stderr
    assert palaver("serve", "--no-such-flag", cwd=tmp_path).returncode == 2
    assert "Did you mean PALAVER_PORT" in palaver("serve", cwd=tmp_path, PALAVER_PRT="1").stderr


def test_a_start_that_fails_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = palaver("serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "Cannot listen on 127.0.0.1:" in ended.stderr
    (tmp_path / "palaver.pem").write_text("short")
    for flags, says in [
        (("--token-key", "palaver.pem"), "at least 32 bytes"),
        (("--token-key", "none.pem"), "No such file"),
        (("--tls-certificate", "palaver.pem", "--tls-key", "palaver.pem"), "palaver.pem is not in PEM form"),
        (("--tls-certificate", "none.pem", "--tls-key", "palaver.pem"), "none.pem: No such file"),
    ]:
        ended = palaver("serve", "--port", "0", *flags, cwd=tmp_path)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
        assert says in ended.stderr


def test_a_second_server_on_the_same_directory_says_so(tmp_path: Path) -> None:
    with serving(cwd=tmp_path):
        ended = palaver("serve", "--port", "0", cwd=tmp_path)
    assert ended.returncode == 1
    assert "in use by process" in ended.stderr


def test_check_prints_the_effective_settings_and_their_sources(tmp_path: Path) -> None:
    (tmp_path / "palaver.toml").write_text('history = 7\norigin = ["https://a.example"]\n')
    ended = palaver("serve", "--check", "--config", "palaver.toml", "--port", "9", cwd=tmp_path, PALAVER_LINGER="2")
    assert ended.returncode == 0
    settings = tomllib.loads(ended.stdout)
    assert (settings["history"], settings["port"], settings["linger"]) == (7, 9, 2)
    assert {"# --port", "# PALAVER_LINGER", "# palaver.toml"} <= {
        line[line.rindex("# ") :] for line in ended.stdout.splitlines() if "# " in line
    }
    assert not (tmp_path / "palaver-data").exists()


@pytest.mark.parametrize("arguments", [(), ("--name", "<b>"), ("--name", "ada", "--room", "=fly")])
def test_a_token_for_nobody_or_nothing_is_a_usage_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert palaver("token", *arguments, cwd=tmp_path).returncode == 2
