"""The `websockets` library with `broadcast`, on uvloop."""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)
seqs: Counter[str] = Counter()


async def handler(connection: ServerConnection) -> None:
    """One connection: in the room its address names, relaying what it says."""
    assert connection.request is not None
    room = parse_qs(urlsplit(connection.request.path).query)["room"][0]
    rooms[room].add(connection)
    try:
        await connection.send('{"type":"ready"}')
        async for data in connection:
            said = json.loads(data)
            seqs[room] += 1
            stamp = {"type": "message", "room": room, "seq": seqs[room], "time": time.time_ns() // 1_000_000}
            broadcast(rooms[room], json.dumps(stamp | {"id": said["id"], "text": said["text"]}))
    finally:
        rooms[room].discard(connection)


async def main() -> None:
    """Serve until killed."""
    async with serve(handler, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
