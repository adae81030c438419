"""One connection over a real socket: messages, errors of the protocol, floods, closing."""

import asyncio
import socket
import struct

import pytest
from websockets.exceptions import ConnectionClosed

from palaver.chat.effects import Send
from palaver.server.bounds import Bounds
from tests.property.server.test_inbound import frame
from tests.unit.server.readers import unframe
from tests.unit.server.serving import Served, ask, hear, serving, until

BOTH_LOOPS = True

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
REQUEST = b'{"type":"nothing","id":"1"}'


class Raw:
    """A client that can say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, served: Served) -> "Raw":
        raw = cls(*await asyncio.open_connection("127.0.0.1", served.port))
        raw.writer.write(UPGRADE)
        await raw.reader.readuntil(b"\r\n\r\n")
        assert b'"hello"' in await raw.frame()
        return raw

    async def frame(self) -> bytes:
        """The next frame as it came, at most 125 bytes."""
        head = await asyncio.wait_for(self.reader.readexactly(2), 30)
        return head + await asyncio.wait_for(self.reader.readexactly(head[1]), 30)

    async def close_code(self) -> int:
        """Read on until a close frame and the end of the stream."""
        code = 1006
        while True:
            try:
                got = await self.frame()
            except asyncio.IncompleteReadError:
                return code
            if got[0] == 0x88:
                code = struct.unpack("!H", got[2:4])[0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xed\xa0\x80"), 1007),
        (frame(1, b"\xe2", fin=False) + frame(0, b"\x82"), 1007),
        (frame(1, b"x" * 65_537), 1009),
        (frame(1, b"x" * 40_000, fin=False) + frame(0, b"x" * 40_000), 1009),
        (frame(1, b"", masked=False), 1002),
        (frame(0, b""), 1002),
        (frame(3, b""), 1002),
        (frame(1, b"", rsv=4), 1002),
        (frame(9, b"", fin=False), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(1, b"", fin=False) + frame(1, b""), 1002),
        (frame(8, b"x"), 1002),
        (frame(8, struct.pack("!H", 1000)), 1000),
        (frame(8, struct.pack("!H", 4999) + b"bye"), 4999),
    ],
)
async def test_a_violation_ends_the_connection_with_its_code(data: bytes, code: int) -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.write(data if code in (1000, 4999) else data + b"\x00" * 100_000)
        assert await raw.close_code() == code
        raw.writer.close()
        await until(lambda: not served.shell.connections)
        assert served.shell.stats.closed == {code: 1}


async def test_a_fragmented_message_arrives_whole_with_pings_in_between() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.write(frame(1, REQUEST[:5], fin=False) + frame(9, b"?") + frame(0, REQUEST[5:]))
        assert await raw.frame() == b"\x8a\x01?"
        assert b'"ack"' in await raw.frame()
        assert len(served.engine.heard_from) == 1
        raw.writer.close()


async def test_a_binary_message_is_told_to_the_engine_and_does_no_harm() -> None:
    async with serving() as served, served.connect() as client:
        await hear(client)
        await client.send(b"\x00\xff")
        await client.send([b"\x00", b"\xff"])
        assert (await ask(client, type="nothing"))["type"] == "ack"
        assert served.engine.binaries == 2


async def test_the_first_frame_is_in_the_write_that_ends_the_handshake() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        assert served.shell.stats.writes == 1
        raw.writer.close()


async def test_replies_and_broadcasts_of_one_turn_are_one_write() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.write(frame(1, b'{"type":"join","id":"1","room":"r"}'))
        await raw.frame()
        before = served.shell.stats.writes
        shout = b'{"type":"shout","id":"2","room":"r","text":"hi"}'
        raw.writer.write(frame(1, shout) * 10)
        got = [unframe(await raw.frame())[0] for _ in range(20)]
        assert got == [b'{"type":"ack","re":"2"}', b"hi"] * 10
        assert served.shell.stats.writes == before + 1
        raw.writer.close()


async def test_the_engine_closes_with_a_code_after_what_was_queued() -> None:
    async with serving() as served, served.connect() as client:
        await hear(client)
        assert (await ask(client, type="close", code=4008))["type"] == "ack"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4008
        assert client.close_reason == "asked for"


async def test_a_close_frame_that_nobody_answers_does_not_hang() -> None:
    async with serving(Bounds(linger_seconds=0.05)) as served:
        raw = await Raw.to(served)
        raw.writer.write(frame(1, b'{"type":"close","id":"1","code":4102}'))
        await until(lambda: not served.shell.connections)
        assert served.shell.stats.closed == {4102: 1}
        raw.writer.close()


async def test_after_a_close_has_begun_requests_are_not_served() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.write(frame(1, b'{"type":"close","id":"1","code":4102}') + frame(1, REQUEST) + frame(8, b""))
        assert b'"ack"' in await raw.frame()
        assert await raw.close_code() == 4102
        assert served.shell.stats.text_in == 1
        raw.writer.close()


async def test_a_flood_of_frames_leaves_turns_for_others() -> None:
    bounds = Bounds(frames_per_turn=8, frames_per_second=None)
    async with serving(bounds) as served, served.connect() as quiet:
        await hear(quiet)
        flood = await Raw.to(served)
        flood.writer.write(frame(9, b"") * 20_000)
        await until(lambda: served.shell.stats.control_in > 0)
        assert (await ask(quiet, type="nothing"))["type"] == "ack"
        assert served.shell.stats.control_in < 20_000
        flood.writer.close()


async def test_a_flood_of_frames_is_slowed_down_and_loses_nothing() -> None:
    async with serving(Bounds(frames_per_second=1_000.0)) as served:
        flood = await Raw.to(served)
        flood.writer.write(frame(1, REQUEST) * 1_200)
        began = asyncio.get_running_loop().time()
        for _ in range(1_200):
            assert b'"ack"' in await flood.frame()
        assert asyncio.get_running_loop().time() - began > 0.15
        assert served.shell.stats.slowed_down > 0
        flood.writer.close()


async def test_a_flood_of_empty_fragments_keeps_nothing() -> None:
    async with serving(Bounds(frames_per_second=None)) as served:
        flood = await Raw.to(served)
        flood.writer.write(frame(1, b"", fin=False) + frame(0, b"", fin=False) * 5_000 + frame(0, REQUEST))
        assert b'"ack"' in await flood.frame()
        (connection,) = served.shell.connections
        assert connection._message is None
        assert connection._library is None
        flood.writer.close()


async def test_reading_stops_while_the_peer_does_not_read() -> None:
    async with serving(Bounds(write_high_bytes=1_000, waiting_bytes=10**9)) as served:
        raw = await Raw.to(served)
        (connection,) = served.shell.connections
        raw.writer.write(frame(1, b'{"type":"big","id":"1","bytes":60000}') * 300)
        await until(lambda: connection.congested)
        taken = served.shell.stats.text_in
        raw.writer.write(frame(1, REQUEST))
        for _ in range(20):
            await asyncio.sleep(0)
        assert served.shell.stats.text_in == taken < 300
        while served.shell.stats.text_in < 301:
            await asyncio.wait_for(raw.reader.read(1 << 20), 30)
        raw.writer.close()


async def test_a_reset_connection_is_gone_at_once() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.writer.transport.abort()
        await until(lambda: not served.engine.connections)
        assert served.shell.stats.closed == {1006: 1}


async def test_a_half_closed_connection_ends() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        raw.writer.write_eof()
        await until(lambda: not served.engine.connections)
        raw.writer.close()


async def test_the_json_ping_has_an_rfc_ping_beside_it() -> None:
    async with serving() as served:
        raw = await Raw.to(served)
        (connection,) = served.shell.connections
        served.shell.perform([Send(connection, b'{"type":"ping"}')])
        assert await raw.frame() == b"\x89\x00"
        assert unframe(await raw.frame()) == [b'{"type":"ping"}']
        raw.writer.write(frame(10, b""))
        await until(lambda: served.engine.heard_from == [connection])
        raw.writer.close()
