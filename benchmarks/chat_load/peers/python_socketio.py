"""python-socketio on uvicorn with uvloop, with its own rooms."""

import sys
import time
from collections import Counter
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])
seqs: Counter[str] = Counter()


@server.event  # type: ignore[untyped-decorator]  # the library publishes no types
async def join(sid: str, room: str) -> None:
    """Enter a room and say so."""
    await server.enter_room(sid, room)
    await server.emit("joined", room, to=sid)


@server.event  # type: ignore[untyped-decorator]  # the library publishes no types
async def message(_sid: str, data: dict[str, Any]) -> None:
    """Relay to the room."""
    room = data["room"]
    seqs[room] += 1
    stamped = {"room": room, "seq": seqs[room], "id": data["id"], "time": time.time_ns() // 1_000_000}
    await server.emit("message", stamped | {"text": data["text"]}, room=room)


if __name__ == "__main__":
    uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", loop="uvloop")
