"""The fast path by itself: what it takes, what it leaves, what becomes of faults in it, and that it keeps nothing."""

import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from palaver.chat.engine import Engine
from palaver.chat.settings import ChatSettings
from palaver.server import fastpath
from palaver.server.bounds import Bounds
from palaver.server.connection import Connection
from palaver.server.fanout import Fanout
from palaver.server.fanout_room import FanoutRoom
from palaver.server.fastpath.ordinary import OrdinaryPath
from palaver.server.shell import Shell
from tests.failing import failing_once
from tests.property.server.test_inbound import frame
from tests.property.server.twins import Clock, Side, encode
from tests.unit.server.readers import unframe
from tests.unit.server.serving import refuse_all, until

BOTH_LOOPS = True
needs_it = pytest.mark.skipif(not fastpath.COMPILED, reason="there is no C compiler or no Python.h here")
SETTINGS = ChatSettings(messages=None, room_messages_per_second=None, frames_per_second=None, text_chars=100)
BOUNDS = Bounds(frames_per_second=None)
TEXT = 1


def said(side: Side, who: int = 0) -> list[Any]:
    """What a connection was sent since the last time."""
    wire = side.wires[who]
    frames, wire.done = b"".join(part for part in wire.done if isinstance(part, bytes)), []
    return [msgspec.json.decode(payload) for payload in unframe(frames)]


async def settle(side: Side) -> None:
    """Until nothing more comes of what was said."""
    for _ in range(3):
        await asyncio.sleep(0)
        side.log.answer(1_000, fails=False)
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    """A server with two guests in a room, who have spoken before."""
    side = Side(SETTINGS, BOUNDS, Clock(), fast=True)
    for who, name in enumerate(("ada", "bob")):
        side.open()
        for request in (
            encode(type="auth", id="a", name=name),
            encode(type="join", id="j", room="r"),
            encode(type="send", id="s", room="r", text="I am here."),
        ):
            side.connections[who].data_received(frame(TEXT, request))
            await settle(side)
        said(side, who)
    said(side)
    assert side.shell.stats.fast_in <= 1, "the first message of a room makes what the fast path looks up"
    side.shell.stats.fast_in = 0
    yield side
    for connection in side.connections:
        connection.connection_lost(None)


PLAIN = {
    "as most are": '{"type":"send","id":"1","room":"r","text":"hello"}',
    "with a cid": '{"type":"send","id":"1","room":"r","text":"hello","cid":"c"}',
    "with no cid": '{"type":"send","id":"1","room":"r","text":"hello","cid":null}',
    "in another order, with spaces": ' {"text" : "hello",\n"room":"r"\t, "id":"1","type":"send"}\r\n',
    "of other letters": '{"type":"send","id":"1","room":"r","text":"grüß dich 👩‍🚀"}',
    "as long as may be": f'{{"type":"send","id":"{"i" * 64}","room":"r","text":"{"t" * 100}"}}',
}
NOT_PLAIN = {
    "another request": ('{"type":"ping","id":"1"}', "ack"),
    "an escape": ('{"type":"send","id":"1","room":"r","text":"hel\\u006co"}', "message"),
    "a line break": ('{"type":"send","id":"1","room":"r","text":"a\\nb"}', "message"),
    "a field twice": ('{"type":"send","id":"1","room":"r","text":"a","text":"b"}', "message"),
    "something that looks like a command": ('{"type":"send","id":"1","room":"r","text":"/shrug"}', "message"),
    "an id of other letters": ('{"type":"send","id":"ü","room":"r","text":"hello"}', "message"),
    "an id that is too long": (f'{{"type":"send","id":"{"i" * 65}","room":"r","text":"hello"}}', "error"),
    "no id": ('{"type":"send","room":"r","text":"hello"}', "error"),
    "a cid that is empty": ('{"type":"send","id":"1","room":"r","text":"hello","cid":""}', "error"),
    "an id that is null": ('{"type":"send","id":null,"room":"r","text":"hello"}', "error"),
    "a field too many": ('{"type":"send","id":"1","room":"r","text":"hello","to":"bob"}', "error"),
    "another room": ('{"type":"send","id":"1","room":"s","text":"hello"}', "error"),
    "no text": ('{"type":"send","id":"1","room":"r","text":""}', "error"),
    "only spaces": ('{"type":"send","id":"1","room":"r","text":"   "}', "error"),
    "a control character": ('{"type":"send","id":"1","room":"r","text":"a\x7f"}', "error"),
    "nothing to be seen": ('{"type":"send","id":"1","room":"r","text":"\u200b"}', "error"),
    "a text that is too long": (f'{{"type":"send","id":"1","room":"r","text":"{"t" * 101}"}}', "error"),
    "a comma too many": ('{"type":"send","id":"1","room":"r","text":"hello",}', "error"),
    "something behind it": ('{"type":"send","id":"1","room":"r","text":"hello"}}', "error"),
    "no end": ('{"type":"send","id":"1","room":"r","text":"hello"', "error"),
    "nothing": ("", "error"),
}


@needs_it
@pytest.mark.parametrize("what", PLAIN)
async def test_a_plain_message_takes_it(side: Side, what: str) -> None:
    side.connections[0].data_received(frame(TEXT, PLAIN[what].encode()))
    await settle(side)

    assert side.shell.stats.fast_in == 1
    sent = msgspec.json.decode(PLAIN[what])
    (shown,) = said(side, 1)
    assert (shown["text"], shown["cid"], shown["seq"]) == (sent["text"], sent.get("cid"), 3)
    shown, ack = said(side)
    assert (ack["type"], ack["re"], ack["seq"], ack["mid"]) == ("ack", sent["id"], 3, shown["mid"])


@needs_it
@pytest.mark.parametrize("what", NOT_PLAIN)
async def test_what_is_not_plain_is_left_to_the_ordinary_way(side: Side, what: str) -> None:
    payload, answer = NOT_PLAIN[what]
    side.connections[0].data_received(frame(TEXT, payload.encode()))
    await settle(side)

    assert side.shell.stats.fast_in == 0
    assert said(side)[0]["type"] == answer


@needs_it
@pytest.mark.parametrize(
    "chunks",
    [
        [frame(TEXT, PLAIN["as most are"].encode())[:30], frame(TEXT, PLAIN["as most are"].encode())[30:]],
        [frame(TEXT, PLAIN["as most are"].encode()) * 2],
        [frame(TEXT, b'{"type":"send",', fin=False) + frame(0, b'"id":"1","room":"r","text":"hello"}')],
        [frame(TEXT, PLAIN["as most are"].encode(), width=8)],
    ],
    ids=["in two pieces", "two at once", "in fragments", "with a length of eight bytes"],
)
async def test_what_does_not_come_as_one_whole_frame_is_left_to_the_ordinary_way(
    side: Side, chunks: list[bytes]
) -> None:
    for chunk in chunks:
        side.connections[0].data_received(chunk)
    await settle(side)

    assert side.shell.stats.fast_in == 0
    assert {shown["text"] for shown in said(side, 1)} == {"hello"}


@needs_it
async def test_a_fault_on_the_way_in_costs_one_request(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "__call__", failing_once(Clock.__call__))
    for _ in range(2):
        side.connections[0].data_received(frame(TEXT, PLAIN["as most are"].encode()))
    await settle(side)

    assert [one.get("code", one["type"]) for one in said(side)] == ["internal", "message", "ack"]
    assert (side.shell.stats.faults, side.shell.stats.fast_in) == (1, 1)


@needs_it
async def test_a_fault_on_the_way_out_costs_one_answer(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fanout, "due", failing_once(Fanout.due))
    for number in range(3):
        request = encode(type="send", id=f"{number}", room="r", text="hello")
        side.connections[0].data_received(frame(TEXT, request))
    await settle(side)

    answers = {one["re"]: one.get("code", one["type"]) for one in said(side) if "re" in one}
    assert answers == {"0": "internal", "1": "ack", "2": "ack"}
    assert (side.shell.stats.faults, side.shell.stats.fast_in) == (1, 3)


@needs_it
async def test_nothing_is_left_of_what_went_through(side: Side) -> None:
    data = frame(TEXT, PLAIN["of other letters"].encode())

    async def talk(messages: int) -> int:
        for _ in range(messages // 100):
            for _ in range(100):
                side.connections[0].data_received(data)
            await settle(side)
            side.wires[0].done.clear()
            side.wires[1].done.clear()
        gc.collect()
        return sys.getallocatedblocks()

    before = await talk(1_000)
    after = await talk(3_000)

    assert side.shell.stats.fast_in == 4_000
    assert after - before < 500, "one block for each message would be 3,000"


def test_it_is_not_there_for_another_engine_nor_where_it_is_not_wanted() -> None:
    async def run() -> None:
        side = Side(SETTINGS, BOUNDS, Clock(), fast=False)
        assert isinstance(side.shell.fast_path, OrdinaryPath)
        assert isinstance(Side(SETTINGS, Bounds(frames_per_turn=1), Clock(), fast=True).shell.fast_path, OrdinaryPath)

        class Other(Engine):
            """Whatever it does otherwise would not be seen."""

        side.engine.__class__ = Other
        other = Shell(side.engine, side.log, bounds=BOUNDS, verify=refuse_all, clock=Clock(), wall_clock=Clock())
        assert isinstance(other.fast_path, OrdinaryPath)

    asyncio.run(run())


@needs_it
def test_what_it_cannot_read_is_an_error_at_the_start() -> None:
    from palaver.server.fastpath import _fastpath

    with pytest.raises(TypeError, match="argument 1 must be State, not object"):
        _fastpath.FastPath(state=object(), moderated=set())  # type: ignore[arg-type,call-arg]


# ---- writing -------------------------------------------------------------------------------------------------------


class Peer:
    """One end of a real connection whose other end the server writes to."""

    def __init__(self, connection: Connection, end: socket.socket) -> None:
        self.connection = connection
        self._end = end

    async def read(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        async with asyncio.timeout(30):
            while len(data) < size:
                data += await loop.sock_recv(self._end, 65_536)
        return data

    def close(self) -> None:
        self._end.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    side = Side(SETTINGS, BOUNDS, Clock(), fast=True)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    connection = Connection(side.shell, transport, "")
    transport.set_protocol(connection)
    connection.handed = False
    room = FanoutRoom("r")
    connection.rooms = (room,)
    yield Peer(connection, theirs)
    connection.rooms = ()
    transport.abort()
    theirs.close()


@needs_it
async def test_it_writes_to_the_socket_itself(peer: Peer) -> None:
    connection = peer.connection
    connection.write = None  # type: ignore[assignment]  # calling it would fail
    connection.acks = b"ack"
    found = fastpath.writers(wanted=True).write_members({connection: None}, {}, b"chunk")

    assert found == ([], 1, 8)
    assert not connection.acks
    assert await peer.read(8) == b"chunkack"


@needs_it
async def test_what_the_kernel_does_not_take_goes_through_the_transport_and_in_order(peer: Peer) -> None:
    connection = peer.connection
    chunks = [bytes([number]) * 100_000 for number in range(31)]
    for chunk in chunks[:30]:
        fastpath.writers(wanted=True).write_members({connection: None}, {}, chunk)
    assert connection.handed
    assert connection.buffered, "the kernel has no room for so much"
    assert await peer.read(3_000_000) == b"".join(chunks[:30])
    await until(lambda: not connection.buffered)
    fastpath.writers(wanted=True).write_members({connection: None}, {}, chunks[30])
    assert await peer.read(100_000) == chunks[30]
    assert not connection.handed, "nothing waits in the transport, so it is not asked any more"


@needs_it
async def test_a_peer_that_is_gone_is_the_transports_business(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, lost = peer.connection, asyncio.Event()

    def look(_gone: Connection) -> None:
        assert os.fstat(connection.descriptor), "until a connection is lost its socket is nobody else's"
        lost.set()

    monkeypatch.setattr(connection._shell, "lost", look)
    peer.close()
    for _ in range(3):
        assert fastpath.writers(wanted=True).write_members({connection: None}, {}, b"chunk") == ([], 1, 5)
    async with asyncio.timeout(30):
        await lost.wait()


@needs_it
async def test_a_slice_goes_to_the_socket_whatever_else_the_connection_gets(peer: Peer) -> None:
    connection, before = peer.connection, peer.connection.write
    connection.write = None  # type: ignore[assignment]  # calling it would fail
    connection.out, connection.acks = [b"later"], b"later"
    fastpath.writers(wanted=True).write_readers([connection], b"chunk")

    assert await peer.read(5) == b"chunk"
    assert (connection.out, connection.acks) == ([b"later"], b"later")
    connection.out = connection.acks = None
    connection.write = before
    with pytest.raises(TypeError, match="only connections"):
        fastpath.writers(wanted=True).write_readers([object()], b"chunk")  # type: ignore[list-item]


@needs_it
@pytest.mark.parametrize("why", ["it has something else before", "it is in two rooms", "it has a part already"])
async def test_who_gets_something_else_is_left_to_the_fan_out(peer: Peer, why: str) -> None:
    connection, ahead = peer.connection, dict[Any, int]()
    if why == "it has something else before":
        connection.out = [b"before"]
    elif why == "it is in two rooms":
        connection.rooms = (*connection.rooms, FanoutRoom("s"))
    else:
        ahead[connection] = 1

    for wanted in (True, False):
        assert fastpath.writers(wanted=wanted).write_members({connection: None}, ahead, b"chunk") == (
            [connection],
            0,
            0,
        )


@pytest.mark.parametrize("secure", [True, False])
def test_where_there_is_tls_nobody_writes_to_the_socket_itself(secure: bool) -> None:
    class Known(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"socket": plain, "sslcontext": object() if secure else None}.get(name, default)

    async def run() -> int:
        return Connection(Side(SETTINGS, BOUNDS, Clock(), fast=True).shell, Known(), "").descriptor

    with socket.socket() as plain:
        assert asyncio.run(run()) == (-1 if secure else plain.fileno())
