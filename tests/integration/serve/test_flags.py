"""The settings whose names are promised: each can be given in three ways, and each does what it says."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from palaver.cli.main import main
from palaver.server.settings import SETTINGS, effective, gather
from tests.integration.serve.process import Server, serving
from tests.integration.serve.test_ways_in import ask, drained, private_pem, socket_url, token
from tests.ports import free_port

PROMISED: dict[str, str] = {
    "host": "127.0.0.2",
    "port": "8123",
    "data": "elsewhere",
    "store": "memory",
    "auth": "token",
    "token-key": "key.pem",
    "messages-per-second": "7",
    "history": "9",
    "heartbeat-interval": "3",
    "heartbeat-timeout": "4",
    "leave-grace": "5",
    "origin": "https://chat.example.org",
}


@pytest.mark.parametrize(("name", "text"), PROMISED.items(), ids=PROMISED)
def test_a_promised_setting_is_a_flag_a_variable_and_a_key(name: str, text: str, tmp_path: Path) -> None:
    config = tmp_path / "palaver.toml"
    config.write_text(f"{name} = {text if text.isdigit() else json.dumps(text)}\n")
    by_flag = gather({name: text}, {}, None)[name].value
    by_variable = gather({}, {f"PALAVER_{name.upper().replace('-', '_')}": text}, None)[name].value
    by_key = gather({}, {}, config)[name].value
    assert by_flag == by_variable == by_key != SETTINGS[name].default
    assert f"--{name} " in CliRunner().invoke(main, ["serve", "--help"]).output
    shown = tomllib.loads(effective(gather({name: text}, {}, None)))[name]
    assert text in (str(shown), *(shown if isinstance(shown, list) else ()))


async def enter(server: Server, name: str, **join: Any) -> tuple[ClientConnection, Any, Any]:
    """A guest in the lobby, with the server's hello and the answer to the join."""
    client = await connect(socket_url(server), proxy=None)
    hello = json.loads(await client.recv())
    assert (await ask(client, type="auth", id="1", name=name))["type"] == "ack"
    return client, hello, await ask(client, type="join", id="2", room="lobby", **join)


async def test_host_port_and_data_are_where_they_were_put(tmp_path: Path) -> None:
    port = free_port()
    with serving("--host", "127.0.0.2", "--port", str(port), "--data", "some/where", cwd=tmp_path) as server:
        assert server.url == f"http://127.0.0.2:{port}"
        client, _, _ = await enter(server, "ada")
        assert (await ask(client, type="send", id="3", room="lobby", text="x"))["durability"] == "disk"
        await client.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert (tmp_path / "some" / "where" / "palaver.db").exists()
    assert not (tmp_path / "palaver-data").exists()


async def test_the_memory_store_says_so_in_each_ack_and_keeps_as_much_history_as_was_said(tmp_path: Path) -> None:
    with serving("--store", "memory", "--history", "3", "--messages-per-second", "off", cwd=tmp_path) as server:
        ada, hello, _ = await enter(server, "ada")
        assert (hello["limits"]["messages"], hello["limits"]["history"]) == (None, 3)
        for number in range(20):
            sent = await ask(ada, type="send", id=f"s{number}", room="lobby", text=str(number))
            assert sent["durability"] == "memory"
        bob, _, joined = await enter(server, "bob")
        assert [message["text"] for message in joined["messages"]] == ["17", "18", "19"]
        await ada.close()
        await bob.close()
    assert not (tmp_path / "palaver-data" / "palaver.db").exists()


async def test_the_limit_of_messages_is_the_one_that_was_set_and_is_told(tmp_path: Path) -> None:
    limit = ("--messages-per-second", "2", "--messages-window", "60")
    with serving("--store", "memory", *limit, cwd=tmp_path) as server:
        ada, hello, _ = await enter(server, "ada")
        assert (hello["limits"]["messages"], hello["limits"]["per_seconds"]) == (2, 60.0)
        answers = [await ask(ada, type="send", id=str(n), room="lobby", text="x") for n in range(3)]
        assert [answer["type"] for answer in answers] == ["ack", "ack", "error"]
        assert answers[2]["code"] == "rate_limited"
        await ada.close()


async def test_who_is_silent_longer_than_interval_and_timeout_is_gone_and_leaves_after_the_grace(
    tmp_path: Path,
) -> None:
    beats = ("--heartbeat-interval", "0.2", "--heartbeat-timeout", "2", "--leave-grace", "0")
    with serving("--store", "memory", *beats, cwd=tmp_path) as server:
        ada, hello, _ = await enter(server, "ada")
        assert hello["heartbeat"] == {"interval": 0.2, "timeout": 2.0}
        bob, _, _ = await enter(server, "bob")
        # This client answers RFC 6455 pings by itself as long as it reads, so it must stop reading.
        bob.transport.pause_reading()
        left: list[str] = []
        async with asyncio.timeout(30):
            while left != ["bob"]:
                frame = json.loads(await ada.recv())
                left = [user["name"] for user in frame.get("left", [])]
                if frame["type"] == "ping":
                    await ada.send('{"type": "pong"}')
        bob.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await drained(bob)
        assert bob.close_code == 4102
        await ada.close()


async def test_a_key_that_was_named_is_the_one_that_counts(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem())
    (tmp_path / "other.pem").write_text("o" * 48)
    with serving("--store", "memory", "--auth", "token", "--token-key", "key.pem", cwd=tmp_path) as server:
        async with connect(socket_url(server), proxy=None) as client:
            assert json.loads(await client.recv())["auth"] == "token"
            wrong = token("--token-key", "other.pem", cwd=tmp_path)
            assert (await ask(client, type="auth", id="1", token=wrong))["code"] == "invalid_token"
            right = token("--token-key", "key.pem", cwd=tmp_path)
            assert (await ask(client, type="auth", id="2", token=right))["type"] == "ack"


@pytest.mark.parametrize(("flags", "loop"), [((), "uvloop"), (("--uvloop", "off"), "asyncio")])
def test_the_faster_loop_is_used_where_it_is_installed_and_not_turned_off(
    flags: tuple[str, ...], loop: str, tmp_path: Path
) -> None:
    with serving("--store", "memory", *flags, cwd=tmp_path) as server:
        assert server.end() == 0
        (listening,) = [line for line in map(json.loads, server.log.splitlines()) if line["event"] == "listening"]
    assert listening["loop"] == loop
