"""`palaver serve` on its way out: each signal, with one who talks, one who never reads, and half a request."""

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.chat.clients import guest
from tests.integration.serve.process import serving

FLAGS = ("--drain-window", "2", "--drain-deadline", "1", "--messages-per-second", "off", "--history", "1000")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_time_with_0_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with serving(*FLAGS, cwd=tmp_path) as server:
        ada, deaf = await guest(server.url, "ada", "r"), await guest(server.url, "deaf", "r")
        deaf.socket.transport.pause_reading()
        half = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        half.sendall(b"GET /ws HTTP/1.1\r\nHost:")
        for count in range(1, 21):
            await ada.done("send", room="r", text=f"line {count}", cid=f"c{count}")
        began = time.monotonic()
        server.process.send_signal(number)
        notice = await ada.push("notice")
        assert notice["code"] == "shutdown"
        assert 0 < notice["after_ms"] <= 2_000
        with pytest.raises(OSError, match=r"refused|reset"):
            socket.create_connection(half.getpeername()).recv(1)
        last = await ada.done("send", room="r", text="after the notice")  # what is open is served until 4201
        assert (await ada.end())[0] == 4201
        assert await asyncio.to_thread(server.process.wait, 40) == 0
        assert time.monotonic() - began < 2.0 + 1.0 + 20.0, "the last of it is for a busy machine"
        assert '"event": "drained"' in server.log
        assert "Traceback" not in server.log
        half.close()
        deaf.socket.transport.abort()
    with serving(*FLAGS, cwd=tmp_path) as server:
        bob = await guest(server.url, "bob")
        picture = await bob.done("join", room="r", since={"epoch": last["epoch"], "seq": 0})
        texts = [message["text"] for message in picture["messages"]]
        assert texts == [f"line {count}" for count in range(1, 21)] + ["after the notice"]
        assert [member["name"] for member in picture["members"]] == ["bob"], "nobody is left over from before"
        await bob.socket.close()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving("--store", "memory", "--drain-window", "600", cwd=tmp_path) as server:
        ada = await guest(server.url, "ada", "r")
        server.process.send_signal(signal.SIGTERM)
        await ada.push("notice")
        assert await asyncio.to_thread(server.end) == -signal.SIGTERM, "not after the window of ten minutes"
        ada.socket.transport.abort()
