"""An evaluation as server-sent events: where it stands, then every push as it comes, until the results are out.

The events are the room's pushes (palaver.server.reviews.live), with ids; whoever comes back with Last-Event-ID gets
what it missed, or the whole state once more where that is not kept. A follower has no queue: a slow one reads the
kept pushes at its own pace. `end` is the last event; a stream that ends without it is to be opened again.

Invariant: at most `STREAMS` are open; one more is refused.
"""

import asyncio

import msgspec
from aiohttp import web

from palaver.chat.identity import Identity
from palaver.server.http.answers import Refused
from palaver.server.http.evaluations import owner, seen, shown
from palaver.server.reviews.live import Live

STREAMS = 256
QUIET_SECONDS = 15.0
_RETRY_MS = 2_000

OPEN: web.AppKey[set[int]] = web.AppKey("open_event_streams", set)


async def events(request: web.Request) -> web.StreamResponse:
    """Follow one evaluation."""
    identity, card = await seen(request)
    streams = request.app[OPEN]
    if len(streams) >= STREAMS:
        raise Refused("unavailable", f"{STREAMS} streams of events are open already.", retry_after_ms=_RETRY_MS)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
    )
    streams.add(id(response))
    try:
        await response.prepare(request)
        await _follow(request, response, identity, card.id)
        await response.write_eof()
    except ConnectionError:
        pass  # the follower went away, which is how most streams end
    finally:
        streams.discard(id(response))
    return response


async def _follow(request: web.Request, response: web.StreamResponse, identity: Identity, name: str) -> None:
    reviews = owner(request)
    run = reviews.run(name)
    if run is None:
        await _state(request, response, identity, name, "")
    else:
        token, _, text = request.headers.get("Last-Event-ID", "").partition(".")
        live = run.live
        at = int(text) if token == live.token and text.isascii() and text.isdigit() and len(text) < 12 else None
        while not await _caught_up(request, response, identity, name, live, at):
            at = None
    if reviews.revealed(name):
        await response.write(b"event: end\ndata: {}\n\n")


async def _caught_up(
    request: web.Request, response: web.StreamResponse, identity: Identity, name: str, live: Live, at: int | None
) -> bool:
    """Write pushes from `at` on until the run has ended; False when some were missed and the state is due."""
    if at is None or live.since(at) is None:
        at = live.count
        await _state(request, response, identity, name, f"id: {live.token}.{at}\n")
    while True:
        arrived = live.arrived
        missed = live.since(at)
        if missed is None:
            return False
        for number, frame in missed:
            await response.write(f"id: {live.token}.{number}\ndata: ".encode() + frame + b"\n\n")
            at = number
        if not missed:
            if live.closed:
                return True
            await _wait(response, arrived)


async def _wait(response: web.StreamResponse, arrived: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            await arrived.wait()
    except TimeoutError:
        await response.write(b": quiet\n\n")


async def _state(request: web.Request, response: web.StreamResponse, identity: Identity, name: str, head: str) -> None:
    data = msgspec.json.encode(shown(owner(request), name, identity))
    await response.write(f"{head}event: state\ndata: ".encode() + data + b"\n\n")
