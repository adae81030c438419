"""Peers that attack with much of what is allowed: floods, creeping requests, bytes that never end.

Each attack goes on while two others chat, with the real engine, and it ends with nothing of it left.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from tests.faults.server.chatting import ChatServer, chatting, join
from tests.property.server.test_inbound import frame
from tests.unit.server.serving import until
from tests.unit.server.test_connection import UPGRADE

BOTH_LOOPS = True
AUTH = frame(1, b'{"type":"auth","id":"a","name":"mallory"}')
JOIN = frame(1, b'{"type":"join","id":"j","room":"r"}')
PING = frame(1, b'{"type":"ping","id":"p"}')
Attack = Callable[[ChatServer], Coroutine[None, None, None]]
# As a server is by default, but for what would end the test's own peers.
_SETTINGS = ChatSettings(messages=None, ip_connects_per_second=None, leave_grace_seconds=0.0)
_BOUNDS = Bounds(unfinished_handshakes=50, frames_per_second=400.0)


async def say(server: ChatServer, data: bytes, *, read: bool = True) -> bytes:
    """Say so much on a connection of its own; returns what was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = b""
    try:
        writer.write(data)
        if read:
            writer.write_eof()
            answer = await reader.read(-1)
        else:
            await writer.drain()
    except OSError:
        pass  # the server had heard enough
    finally:
        writer.transport.abort()
    return answer


def close_code(answer: bytes) -> int:
    """The code of the close frame at the end."""
    at = answer.rindex(b"\x88")
    return int.from_bytes(answer[at + 2 : at + 4], "big")


async def a_flood_of_malformed_frames(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + frame(1, b"{") * 5_000)
    assert answer.count(b'"invalid_json"') == 10
    assert close_code(answer) == 4008


async def a_flood_of_binary_frames(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + AUTH + frame(2, b"\0" * 1_000) * 1_000)
    assert answer.count(b'"invalid_frame"') == 10
    assert close_code(answer) == 4008


async def a_flood_of_requests(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + AUTH + JOIN + PING * 300)
    assert answer.count(b'"rate_limited"') > 100, "each over the limit is told, none is served"


async def a_flood_of_rfc_pings(server: ChatServer) -> None:
    await say(server, UPGRADE + AUTH + frame(9, b"?" * 125) * 20_000, read=False)


async def a_flood_of_rfc_pings_that_nobody_reads_the_answers_of(server: ChatServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads too
    writer.write(UPGRADE + AUTH + frame(9, b"?" * 125) * 80_000)
    await until(lambda: any(connection.congested for connection in server.shell.connections))
    before = server.shell.stats.control_in
    await asyncio.sleep(0.2)
    assert server.shell.stats.control_in - before <= _BOUNDS.frames_per_turn, "what it says is not taken any more"
    for connection in server.shell.connections:
        assert connection.buffered <= 2 * _BOUNDS.write_high_bytes
    writer.transport.abort()
    assert reader is not None


async def a_flood_of_fragments(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + AUTH + frame(1, b"x", fin=False) + frame(0, b"y" * 600, fin=False) * 300)
    assert close_code(answer) == 1009


async def a_flood_of_empty_fragments(server: ChatServer) -> None:
    await say(server, UPGRADE + frame(1, b"", fin=False) + frame(0, b"", fin=False) * 20_000, read=False)


async def a_frame_that_says_it_is_enormous(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + b"\x81\xff" + b"\x7f" * 8 + b"\x00" * 100)
    assert close_code(answer) == 1009


async def a_frame_that_never_ends(server: ChatServer) -> None:
    await say(server, UPGRADE + frame(1, b"x" * 60_000)[:-1], read=False)


async def deep_nesting(server: ChatServer) -> None:
    answer = await say(server, UPGRADE + AUTH + frame(1, b"[" * 65_000) + frame(1, b'{"a":' * 12_000))
    assert answer.count(b"nested deeper than 16") == 2


async def compression_that_was_not_agreed_to(server: ChatServer) -> None:
    offer = UPGRADE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    answer = await say(server, offer + frame(1, b"\x00" * 100, rsv=4))
    assert b"permessage-deflate" not in answer
    assert close_code(answer) == 1002


async def handshakes_that_creep(server: ChatServer) -> None:
    creeping = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(120)]
    for byte in UPGRADE[:20]:
        for _, writer in creeping:
            if not writer.transport.is_closing():
                writer.write(bytes([byte]))
        await asyncio.sleep(0.01)
    assert server.running.unfinished <= 50
    await until(lambda: server.running.unfinished == 0)
    refused = server.shell.stats.refused
    assert refused["crowded"] > 0
    assert refused["too_slow"] > 0
    assert refused["crowded"] + refused["too_slow"] == 120
    for _, writer in creeping:
        writer.transport.abort()


async def bytes_that_are_no_http(server: ChatServer) -> None:
    for garbage in (b"\0" * 20_000, b"\r\n" * 9_000, b"\x16\x03\x01\x02\x00" * 5_000, b"GET " + b"/" * 30_000):
        await say(server, garbage)
    assert server.shell.stats.refused["head_too_large"] >= 1


async def a_crowd_that_only_connects(server: ChatServer) -> None:
    crowd = []
    for _ in range(150):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE)
        crowd.append(writer)
    await until(lambda: len(server.shell.connections) == 152)
    for writer in crowd:
        writer.transport.abort()


ATTACKS: list[Attack] = [
    a_flood_of_malformed_frames,
    a_flood_of_binary_frames,
    a_flood_of_requests,
    a_flood_of_rfc_pings,
    a_flood_of_rfc_pings_that_nobody_reads_the_answers_of,
    a_flood_of_fragments,
    a_flood_of_empty_fragments,
    a_frame_that_says_it_is_enormous,
    a_frame_that_never_ends,
    deep_nesting,
    compression_that_was_not_agreed_to,
    handshakes_that_creep,
    bytes_that_are_no_http,
    a_crowd_that_only_connects,
]


_BOUNDS_FOR: dict[Attack, dict[str, Any]] = {
    a_flood_of_rfc_pings_that_nobody_reads_the_answers_of: {"frames_per_second": None},
    handshakes_that_creep: {"head_seconds": 1.0},
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_leaves_the_others_in_peace_and_nothing_behind(attack: Attack) -> None:
    bounds = dataclasses.replace(_BOUNDS, **_BOUNDS_FOR.get(attack, {}))
    async with chatting(bounds, _SETTINGS) as server, contextlib.AsyncExitStack() as stack:
        ada = await join(server, "ada", "r", stack=stack)
        bob = await join(server, "bob", "r", stack=stack)
        attacking = asyncio.create_task(attack(server))
        said = 0
        while not attacking.done() or said < 10:
            said += 1
            assert (await ada.ask(type="send", room="r", text=f"message {said}"))["seq"] == said
            assert (await bob.messages(said))[-1] == said
            await asyncio.sleep(0.025)  # no faster than one person may: this is not the flood
        await attacking
        await until(lambda: len(server.shell.connections) == 2)
        await until(lambda: server.running.unfinished == 0)
        assert set(server.engine.state.rooms) == {"r"}
        assert len(server.engine.state.people) == 2
        assert await bob.messages(said) == list(range(1, said + 1))
