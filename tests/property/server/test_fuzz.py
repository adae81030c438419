"""No bytes on one connection affect another connection or the process.

Two people chat in a room of their own while other connections say every kind of nonsense; a third one sits in a room
with those. After each wave the two must have every message of each other, exactly, at once, and nothing else; in the
end nothing of the others is left: no task, session, room, person, timer, waiting token or byte.
"""

import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.chat.identity import Identity, Refusal
from palaver.chat.records import User
from palaver.chat.rights import Rights
from tests.faults.server.chatting import BOUNDS, SETTINGS, ChatServer, Talker, chatting, join
from tests.property.server.mutation import ROOMS, Mutator
from tests.property.server.test_inbound import _streams as websocket_streams
from tests.property.server.test_inbound import frame
from tests.unit.server.serving import until
from tests.unit.server.test_connection import UPGRADE

BOTH_LOOPS = True
WAVE = 10  # connections at a time
_RESET = struct.pack("ii", 1, 0)
_SETTINGS = dataclasses.replace(SETTINGS, malformed_budget=12, leave_grace_seconds=0.0)
_BOUNDS = dataclasses.replace(BOUNDS, linger_seconds=0.01, frame_bytes=65_536)


async def _verify(token: str) -> Identity | Refusal:
    """A moderator, nobody, or a fault, after a turn of the loop."""
    await asyncio.sleep(0)
    if token == "good":
        return Identity(User("u-1", "mod"), Rights(moderate=("*",)), None, None)
    if token == "broken":
        raise OSError("the maker of tokens is away")
    return Refusal("invalid_token", "not good")


class Controls:
    """The people who must not notice anything."""

    def __init__(self, ada: Talker, bob: Talker, among: Talker) -> None:
        self._ada, self._bob, self._among = ada, bob, among
        self._said = 0

    async def chat(self) -> None:
        """One message each way; then look at what the third one got."""
        for speaker in (self._ada, self._bob):
            self._said += 1
            ack = await speaker.ask(type="send", room="control", text=f"message {self._said}")
            assert (ack["type"], ack["seq"], ack["duplicate"]) == ("ack", self._said, False)
        for listener in (self._ada, self._bob):
            assert await listener.messages(self._said) == list(range(1, self._said + 1))
            assert {push["type"] for push in listener.pushes} <= {"message", "presence"}
            assert {push["room"] for push in listener.pushes} == {"control"}
        ack = await self._among.ask(type="ping")
        assert ack["type"] == "ack"

    def check_order(self) -> None:
        """Who sits among the others has each message of each room once, in order, whatever they were made of."""
        for room in ROOMS:
            seqs = [push["seq"] for push in self._among.pushes if push["type"] == "message" and push["room"] == room]
            originals = [seq for index, seq in enumerate(seqs) if seq not in seqs[:index]]  # tombstones come again
            assert originals == list(range(1, len(originals) + 1))


@contextlib.asynccontextmanager
async def under_watch(*, fast: bool = True) -> AsyncIterator[tuple[ChatServer, Controls]]:
    """A server with its controls; in the end, check that it has nothing but them."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    async with (
        chatting(_BOUNDS, _SETTINGS, verify=_verify, fast=fast) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        ada = await join(server, "control ada", "control", stack=stack)
        bob = await join(server, "control bob", "control", stack=stack)
        among = await join(server, "control among", *ROOMS, stack=stack)
        tasks = asyncio.all_tasks()
        controls = Controls(ada, bob, among)
        await controls.chat()
        yield server, controls
        shell, state = server.shell, server.engine.state
        await until(lambda: len(shell.connections) == 3 and not shell.log.statistics.queued_jobs)  # type: ignore[attr-defined]  # a MemoryLog
        await until(lambda: not any(room.changes for room in state.rooms.values()))
        await controls.chat()
        controls.check_order()
        await until(lambda: asyncio.all_tasks() <= tasks)
        assert len(state.people) == len(state.people._names) == len(state.sessions) == 3
        assert set(state.rooms) == {"control", *ROOMS}
        await until(lambda: len(state.timers) <= 3 + 1)  # a heartbeat each, and the sweep
        assert not shell.verification
        assert (server.running.unfinished, shell.stats.authentications, shell.stats.faults) == (0, 0, 0)
        assert not shell.fanout.lagging
        assert not shell.fanout._touched
    assert complaints == []


async def _say(server: ChatServer, chance: random.Random, stream: bytes) -> None:
    """One hostile connection: says everything, in pieces, and ends in one of many ways."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        at = 0
        while at < len(stream) and not writer.transport.is_closing():
            size = chance.choice((1, 7, 100, 5_000, 100_000))
            writer.write(stream[at : at + size])
            at += size
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        end = chance.random()
        if end < 0.6 and not writer.transport.is_closing():
            writer.write_eof()
            await reader.read(-1)
        elif end < 0.8:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            if writer.transport.is_closing():
                return
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
    except OSError:
        pass  # the server had heard enough
    finally:
        writer.close()


async def _fuzz(frames: int, seed: int, *, fast: bool = True) -> None:
    chance = random.Random(seed)
    sent = connections = 0
    async with under_watch(fast=fast) as (server, controls):
        epoch = server.engine.state.epoch
        while sent < frames:
            streams = []
            for _ in range(WAVE):
                count = chance.choice((0, 3, 10, 20, 40))
                connections += 1
                sent += count
                streams.append(Mutator(chance, f"fuzz{connections}", epoch).stream(count))
            async with asyncio.timeout(30):
                await asyncio.gather(*(_say(server, chance, stream) for stream in streams))
            await controls.chat()
        assert server.shell.stats.text_in > frames / 10, "most of what was sent must be looked at"
        assert server.engine.state.counts["errors", "invalid_frame"] > 0


@pytest.mark.parametrize("fast", [True, False])
async def test_five_thousand_mutated_frames_affect_nobody(fast: bool) -> None:
    await _fuzz(5_000, seed=20_261_121, fast=fast)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(10))
async def test_a_hundred_thousand_mutated_frames_affect_nobody(seed: int) -> None:
    """Ten times as many on each event loop."""
    await _fuzz(100_000, seed)


_mutators = st.builds(
    lambda seed, count: Mutator(random.Random(seed), "fuzz").stream(count), st.integers(0), st.integers(0, 8)
)
_streams = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda data: UPGRADE + data),
    websocket_streams.map(lambda data: UPGRADE + data),
    st.lists(st.binary(max_size=80).map(lambda data: frame(1, data)), max_size=20).map(
        lambda said: UPGRADE + b"".join(said)
    ),
    _mutators,
)


async def _one(streams: list[bytes], seed: int) -> None:
    async with under_watch() as (server, controls):
        chance = random.Random(seed)
        async with asyncio.timeout(30):
            await asyncio.gather(*(_say(server, chance, stream) for stream in streams))
        await controls.chat()


@given(streams=st.lists(_streams, min_size=1, max_size=4), seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_no_bytes_at_all_affect_anybody(streams: list[bytes], seed: int) -> None:
    asyncio.run(_one(streams, seed))


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
@given(streams=st.lists(_streams, min_size=1, max_size=8), seed=st.integers(0, 2**32))
@settings(max_examples=20_000)
def test_no_bytes_at_all_affect_anybody_at_length(streams: list[bytes], seed: int) -> None:
    asyncio.run(_one(streams, seed))
