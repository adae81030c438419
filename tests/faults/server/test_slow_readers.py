"""What waits for a reader that does not read is bounded in bytes, and costs nobody else anything."""

import asyncio
import contextlib
import dataclasses
import socket
from typing import Any

import msgspec
import pytest

from palaver.server.connection import Connection
from tests.faults.server.chatting import BOUNDS, ChatServer, Talker, chatting, join
from tests.integration.chat.test_limits import Clock
from tests.property.server.test_inbound import frame
from tests.unit.server.serving import PATIENCE_SECONDS, until
from tests.unit.server.test_connection import UPGRADE

BOTH_LOOPS = True
LONG = "\U0001f9d1" * 4_000  # 16 KB as UTF-8


def connection_of(server: ChatServer, talker: Talker) -> Connection:
    """The server's end of a client's connection."""
    (person,) = [one for one in server.engine.state.people if one.user.name == talker.name]
    connection = person.sessions[0].connection
    assert isinstance(connection, Connection)
    return connection


async def flood_with_questions(talker: Talker, count: int, **request: Any) -> None:
    """Ask for much, and read nothing."""
    talker.client.transport.pause_reading()
    for number in range(count):
        await talker.client.send(msgspec.json.encode({"id": f"q{number}", "room": "r", **request}).decode())


async def test_answers_that_are_not_read_stop_the_taking_of_questions() -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        writer = await join(server, "writer", "r", stack=stack)
        for _ in range(100):
            await writer.ask(type="send", room="r", text=LONG)
        reader = await join(server, "reader", "r", stack=stack)
        connection = connection_of(server, reader)
        most = 0

        def look(_self: object) -> bool:
            nonlocal most
            most = max(most, connection.buffered + sum(map(len, connection.out or ())))
            return connection.congested

        asked = asyncio.create_task(flood_with_questions(reader, 50, type="history"))
        await until(lambda: look(None))
        await asked
        assert (await writer.ask(type="ping"))["type"] == "ack"
        look(None)
        assert most < 2 * 100 * len(LONG.encode()) + BOUNDS.waiting_bytes, (
            "at most what one answer weighs, and the mark"
        )
        reader.client.transport.resume_reading()
        answers = 0
        while answers < 50:
            answers += (await reader.hear()).get("re", "").startswith("q")
        assert not connection.congested


@pytest.mark.parametrize("kind", ["history", "join"])
async def test_answers_from_the_log_that_are_not_read_stop_the_taking_of_questions(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rooms that nobody is in: each answer comes from the log, later, and is as large as an answer can be."""
    rooms = [f"room{number}" for number in range(8)]
    one_answer = BOUNDS.answer_bytes
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        writer = await join(server, "writer", *rooms, stack=stack)
        for room in rooms:
            for _ in range(100):
                await writer.ask(type="send", room=room, text=LONG)
            await writer.ask(type="leave", room=room)
        assert not server.engine.state.rooms
        reader = await join(server, "reader", stack=stack)
        connection = connection_of(server, reader)
        most = 0

        def look(one: Connection, data: bytes) -> None:
            nonlocal most
            one.transport.write(data)
            most = max(most, connection.buffered)

        monkeypatch.setattr(Connection, "write", look)
        reader.client.transport.pause_reading()
        questions = [{"type": kind, "id": f"q{number}", "room": rooms[number % 8]} for number in range(16)]
        for question in questions:
            await reader.client.send(msgspec.json.encode(question).decode())
        await until(lambda: connection.congested)
        for _ in range(5):
            assert (await writer.ask(type="ping"))["type"] == "ack"
        assert server.shell.stats.log_jobs == 0
        assert BOUNDS.write_high_bytes < most <= one_answer + BOUNDS.write_high_bytes
        reader.client.transport.resume_reading()
        answers: list[str] = []
        while len(answers) < 16:
            frame = await reader.hear()
            if "re" in frame:
                assert len(frame["messages"]) == 100
                answers.append(frame["re"])
        assert answers == [question["id"] for question in questions]
        assert most <= one_answer + BOUNDS.write_high_bytes
        assert not connection.closing


async def freeze(server: ChatServer, writer: Talker, *readers: Talker) -> None:
    """Let these stop reading, and talk until the kernel takes nothing more for any: not now, and not a little later."""
    for reader in readers:
        reader.client.transport.pause_reading()
    in_a_row = 0
    while in_a_row < 20:
        await writer.ask(type="send", room="r", text=LONG)
        in_a_row = in_a_row + 1 if server.shell.stats.lagging >= len(readers) else 0


def kernel_buffers(size: int, *ends: asyncio.BaseTransport) -> None:
    """Give the kernel about so many bytes to buffer; by itself it takes megabytes."""
    for end in ends:
        for which in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, which, size)


async def test_one_large_answer_on_a_slow_line_is_no_slow_reader() -> None:
    """Otherwise who has a slow line could never enter a room with long messages: it would be closed each time."""
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        writer = await join(server, "writer", "r", stack=stack)
        for _ in range(100):
            await writer.ask(type="send", room="r", text=LONG)
        reader = await join(server, "reader", stack=stack)
        connection = connection_of(server, reader)
        ends = (reader.client.transport, connection.transport)
        kernel_buffers(4_096, *ends)
        reader.client.transport.pause_reading()
        await reader.client.send('{"type":"history","id":"h","room":"r"}')
        await until(lambda: connection.congested)
        assert BOUNDS.waiting_bytes < connection.buffered < BOUNDS.answer_bytes + BOUNDS.waiting_bytes
        server.shell.fanout.lagging.check(server.shell.clock())
        assert not connection.closing
        kernel_buffers(1_000_000, *ends)
        reader.client.transport.resume_reading()
        await until(lambda: not connection.congested)


@pytest.mark.parametrize(
    ("rate", "stops_after", "goes"), [(16_384, None, False), (16_384, 500_000, True), (200, None, True)]
)
async def test_a_steady_reader_gets_the_largest_picture_over_a_slow_line_and_one_that_stops_does_not_stay(
    rate: int, stops_after: int | None, goes: bool
) -> None:
    """1.6 MB at 16 KB a second take longer than the interval and the timeout of the heartbeat together."""
    clock = Clock()
    async with chatting(clock=clock) as server, contextlib.AsyncExitStack() as stack:
        writer = await join(server, "writer", "r", stack=stack)
        for _ in range(100):
            await writer.ask(type="send", room="r", text=LONG)
        await writer.client.close()
        line = await SlowLine.to(server, stack)
        taken = 0
        while line.connection.congested and not line.closed:
            clock.now += 1.0
            server.shell._tick()
            if stops_after is None or taken < stops_after:
                taken += await line.read(rate)
            assert clock.now < 2_000.0
        assert line.closed is goes
        if goes:
            assert line.connection.close_code in (4102, 4108)
            assert clock.now - 1_000.0 < 36.0 + (stops_after or 0) / rate + 35.0
        else:
            assert clock.now - 1_000.0 > 90.0


class SlowLine:
    """A guest of "r" whose bytes are read when the test says so, with next to nothing in between."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self.connection = connection
        self._sock = sock

    @classmethod
    async def to(cls, server: ChatServer, stack: contextlib.AsyncExitStack) -> "SlowLine":
        loop, sock = asyncio.get_running_loop(), stack.enter_context(socket.socket())
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        before = set(server.shell.connections)
        await loop.sock_sendall(sock, UPGRADE)
        await until(lambda: bool(server.shell.connections - before))
        (connection,) = server.shell.connections - before
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        await loop.sock_sendall(sock, frame(1, b'{"type":"auth","id":"a","name":"slow"}'))
        await loop.sock_sendall(sock, frame(1, b'{"type":"join","id":"j","room":"r"}'))
        await until(lambda: connection.congested)
        return cls(sock, connection)

    @property
    def closed(self) -> bool:
        return self.connection.closing

    async def read(self, count: int) -> int:
        """Read so many bytes, as they come; fewer where the server has closed or nothing waits for us."""
        left = count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while left and self.connection.congested and not self.closed:
                with contextlib.suppress(BlockingIOError):
                    left -= len(self._sock.recv(left))
                await asyncio.sleep(0)
        return count - left


async def test_what_a_reader_misses_is_typing_dropped_presence_merged_and_every_message() -> None:
    bounds = dataclasses.replace(BOUNDS, waiting_bytes=10**8)
    async with chatting(bounds) as server, contextlib.AsyncExitStack() as stack:
        writer = await join(server, "writer", "r", stack=stack)
        slow = await join(server, "slow", "r", stack=stack)
        await freeze(server, writer, slow)
        for number in range(10):
            guest = await join(server, f"guest{number}", "r", stack=stack)
            assert (await guest.ask(type="typing", room="r"))["type"] == "ack"
            await guest.ask(type="send", room="r", text="hello")
            if number % 2:
                await guest.client.close()
            await until(lambda: not server.engine.state.rooms["r"].changes)
        await until(lambda: len(server.engine.state.rooms["r"].members) == 7)
        await until(lambda: not server.engine.state.rooms["r"].changes)
        assert server.shell.stats.presence_merged == 0
        last = (await writer.ask(type="send", room="r", text="the last"))["seq"]
        slow.client.transport.resume_reading()
        assert await slow.messages(last) == list(range(1, last + 1))
        while (push := await slow.hear())["type"] != "presence":
            pass  # nothing else follows the messages
        assert {user["name"] for user in push["joined"]} == {f"guest{number}" for number in range(0, 10, 2)}
        assert push["member_count"] == 7
        assert [push["type"] for push in slow.pushes].count("typing") == 0
        assert server.shell.stats.typing_dropped >= 10
        assert server.shell.stats.presence_merged > 0


async def test_a_tenth_that_is_frozen_adds_no_work_to_a_message() -> None:
    """Time is for the benchmark; here the work that takes it is counted: writes and bytes, of all of them together."""
    bounds = dataclasses.replace(BOUNDS, waiting_bytes=10**8)
    async with chatting(bounds) as server, contextlib.AsyncExitStack() as stack:
        members = [await join(server, f"member{index}", "r", stack=stack) for index in range(20)]
        writer, *awake, one, two = members
        await until(lambda: not server.engine.state.rooms["r"].changes)
        reading = [asyncio.create_task(listen(member)) for member in awake]
        for _ in range(3):
            assert (await writer.ask(type="ping"))["type"] == "ack"  # the last presence is on its way
        before = await work(server, writer, 50)
        await freeze(server, writer, one, two)
        after = await work(server, writer, 50)
        assert before[0] == 50 * 20
        # Now and then the kernel finds room after all, and takes in one write what has waited.
        assert 50 * 18 <= after[0] <= 50 * 18 + 10
        assert after[1] < before[1]
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)


async def listen(member: Talker) -> None:
    while True:
        member.pushes.append(await member.hear())


async def work(server: ChatServer, writer: Talker, messages: int) -> tuple[int, int]:
    """How many writes and bytes so many messages cost."""
    stats = server.shell.stats
    writes, sent = stats.writes, stats.bytes_out
    for number in range(messages):
        await writer.ask(type="send", room="r", text=f"message {number:05}")
    return stats.writes - writes, stats.bytes_out - sent
