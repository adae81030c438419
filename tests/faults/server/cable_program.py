"""A server and a client in two networks joined by one cable, which is cut. To be run by `unshare -rn`, see test_cable.

Checks as it goes and ends with 0 when all was as it should be: the peer behind the cable is gone within interval +
timeout, with 4102 and without any FIN; a peer that only reads stays; the others see one `left`, once.
"""

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from palaver.server.app import Address
from tests.faults.server.chatting import BOUNDS, SETTINGS, Talker, chatting, join
from tests.unit.server.serving import until

HERE, THERE = "10.231.7.1", "10.231.7.2"
INTERVAL_SECONDS, TIMEOUT_SECONDS = 0.4, 3.0
_PEER = Path(__file__).parent / "frozen_peer.py"


def ip(*arguments: str, inside: int | None = None) -> None:
    """Run `ip`, in another process's network where one is given."""
    enter = () if inside is None else ("nsenter", "-t", str(inside), "-n")
    subprocess.run([*enter, "ip", *arguments], check=True)


async def main() -> None:
    """Lay the cable, connect, cut it."""
    ip("link", "set", "lo", "up")
    peer = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "bash", "-c", 'read port; exec "$0" "$1" "$port" far r "$2"'),
        *(sys.executable, str(_PEER), HERE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        await until(lambda: _network(peer.pid) != _network("self"))
        ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(peer.pid))
        ip("addr", "add", f"{HERE}/24", "dev", "here")
        ip("link", "set", "here", "up")
        ip("addr", "add", f"{THERE}/24", "dev", "there", inside=peer.pid)
        ip("link", "set", "there", "up", inside=peer.pid)
        await _cut(peer)
    finally:
        peer.kill()
        await peer.wait()


def _network(pid: int | str) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


async def _cut(peer: asyncio.subprocess.Process) -> None:
    quick = dataclasses.replace(
        SETTINGS,
        heartbeat_interval_seconds=INTERVAL_SECONDS,
        heartbeat_timeout_seconds=TIMEOUT_SECONDS,
        leave_grace_seconds=0,
    )
    bounds = dataclasses.replace(BOUNDS, linger_seconds=0.1)
    async with chatting(bounds, quick) as server, contextlib.AsyncExitStack() as stack:
        reader = await join(server, "reader", "r", stack=stack)
        await server.running.listen(Address(host=HERE, port=0))
        (port,) = [port for host, port in server.running.addresses if host == HERE]
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(f"{port}\n".encode())
        assert (await asyncio.wait_for(peer.stdout.readline(), 30)).startswith(b"joined")
        await until(lambda: not server.engine.state.rooms["r"].changes)
        counts = server.engine.state.counts
        await read(reader, lambda: counts["heartbeats", "answered"] >= 6)  # to and fro, also over the cable
        assert len(server.shell.connections) == 2
        ip("link", "set", "there", "down", inside=peer.pid)
        began = time.monotonic()
        await read(reader, lambda: counts["closes", "4102"] == 1)
        assert time.monotonic() - began < INTERVAL_SECONDS + TIMEOUT_SECONDS + 10  # for a busy machine
        await until(lambda: len(server.shell.connections) == 1)
        await until(lambda: not server.engine.state.rooms["r"].changes)
        answered = counts["heartbeats", "answered"]
        await read(reader, lambda: counts["heartbeats", "answered"] >= answered + 3)
        assert (await reader.ask(type="ping"))["type"] == "ack", "it only read, and is still here"
        left = [user["name"] for push in reader.pushes if push["type"] == "presence" for user in push["left"]]
        assert left == ["far"]


async def read(reader: Talker, condition: Callable[[], bool]) -> None:
    """Do nothing but read, which is what keeps it: its library answers pings of RFC 6455 as long as it does."""
    while not condition():
        reader.pushes.append(await reader.hear())


if __name__ == "__main__":
    asyncio.run(main())
