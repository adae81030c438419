"""Ten thousand connections that come and go in every way there is leave nothing behind."""

import asyncio
import dataclasses
import gc
import random
import socket
import struct
import sys

import pytest

from palaver.chat.engine import Engine
from palaver.chat.rooms import Room
from palaver.chat.session import Session
from palaver.server.connection import Connection
from palaver.server.door import Door, Doorstep
from tests.faults.server.chatting import SETTINGS, assert_nothing_left, make_shell
from tests.property.server.test_inbound import frame
from tests.unit.server.serving import until
from tests.unit.server.test_connection import UPGRADE

BOTH_LOOPS = True
BATCH = 100
_RESET = struct.pack("ii", 1, 0)


def _requests(chance: random.Random, name: str) -> bytes:
    """What one client says, from the handshake on; it may stop anywhere."""
    rooms = [f"room{chance.randrange(20)}" for _ in range(chance.randrange(4))]
    said = [UPGRADE, frame(1, b'{"type":"auth","id":"a","name":"%s"}' % name.encode())]
    for room in rooms:
        said.append(frame(1, b'{"type":"join","id":"j","room":"%s"}' % room.encode()))
        said.append(frame(1, b'{"type":"send","id":"s","room":"%s","text":"hello"}' % room.encode()))
    said.append(chance.choice([b"", frame(9, b"?"), frame(8, b""), frame(1, b"\xff"), frame(1, b"{"), b"\x81"]))
    data = b"".join(said)
    return data if chance.random() < 0.7 else data[: chance.randrange(len(data))]


async def _come_and_go(loop: asyncio.AbstractEventLoop, door: Door, chance: random.Random, name: str) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.setblocking(False)
    await loop.connect_accepted_socket(door, ours)
    theirs.send(_requests(chance, name))
    for _ in range(chance.randrange(6)):
        await asyncio.sleep(0)
    if chance.random() < 0.3:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    if chance.random() < 0.3:
        theirs.shutdown(chance.choice([socket.SHUT_WR, socket.SHUT_RD]))
        await asyncio.sleep(0)
    theirs.close()


# The limits are on and never reached: what they remember of each address and user must go too.
_SETTINGS = dataclasses.replace(
    SETTINGS, history=3, messages=5, ip_connects_per_second=100_000, ip_unauthenticated_frames_per_second=100_000
)
_WARM = 40  # batches after which each room has as many messages as are kept


def _ours() -> list[object]:
    """What is made for each connection and lives; servers of other tests may be kept by a cache of aiohttp's."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Connection | Doorstep | Session | Room)]


def _allocated() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.slow
async def test_ten_thousand_random_connections_leave_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    chance = random.Random(20_261_120)
    shell = make_shell(settings=_SETTINGS)
    shell.start()
    engine = shell.engine
    assert isinstance(engine, Engine)
    state = engine.state
    door = Door(shell, lambda: asyncio.Protocol())
    before, earlier, blocks = asyncio.all_tasks(), _ours(), 0

    async def quiet() -> None:
        """Wait until everybody is gone, and until what limits and cancelled timers remember is due to be forgotten."""
        await until(lambda: not shell.connections and not len(door))
        await until(lambda: not state.rooms and not len(state.people) and not shell.stats.log_jobs)
        later = shell.clock() + 3_600.0
        state.sweep(later)
        engine.tick(later)

    for batch in range(10_000 // BATCH):
        await asyncio.gather(*(_come_and_go(loop, door, chance, f"guest{batch * BATCH + one}") for one in range(BATCH)))
        if batch == _WARM:
            await quiet()
            blocks = _allocated()
    await quiet()
    assert shell.stats.opened > 5_000
    assert_nothing_left(shell)
    assert asyncio.all_tasks() == before
    assert _allocated() - blocks < 2_000, "more than every third connection left a block of memory behind"
    assert (len(state.people._names), len(state.ip_connects), len(state.ip_frames)) == (0, 0, 0)
    assert state.windows is not None
    assert (len(state.windows), len(state.timers)) == (0, 0)
    await shell.stop()
    assert [one for one in _ours() if all(one is not other for other in earlier)] == []
    timers = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert timers == []
