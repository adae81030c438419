"""A client in a process of its own, to be stopped: joins a room, says so, then reads and counts until the end.

Prints a line when it has joined and one with the close code and the last `seq` at the end.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(port: str, name: str, room: str, host: str = "127.0.0.1") -> None:
    """Read until the server closes."""
    seq = 0
    async with connect(f"ws://{host}:{port}/ws", compression=None, proxy=None, ping_interval=None) as client:
        await client.recv()
        await client.send(json.dumps({"type": "auth", "id": "1", "name": name}))
        await client.send(json.dumps({"type": "join", "id": "2", "room": room}))
        try:
            while True:
                frame = json.loads(await client.recv())
                if frame.get("re") == "2":
                    seq = frame["seq"]
                    print("joined", frame["epoch"], flush=True)  # noqa: T201 - read by the test
                elif frame["type"] == "message":
                    if frame["seq"] != seq + 1:
                        print("hole", seq, frame["seq"], flush=True)  # noqa: T201 - read by the test
                    seq = frame["seq"]
                elif frame["type"] == "ping":
                    await client.send('{"type":"pong"}')
        except ConnectionClosed:
            pass
    print("closed", client.close_code, seq, flush=True)  # noqa: T201 - read by the test


asyncio.run(main(*sys.argv[1:]))
