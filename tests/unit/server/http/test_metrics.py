"""Each metric moves when what it counts happens: one whole session, and the page of numbers before and after it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from palaver.server.drain import drain
from palaver.server.metrics import METRICS
from tests.unit.server.http.site import Site, serving
from tests.unit.server.http.test_health import numbers
from tests.unit.server.serving import until

Numbers = dict[tuple[str, str], float]

# What a server has to tell, by the question, and the metrics that answer it.
QUESTIONS = {
    "connections open, accepted, refused by reason": {"connections", "connections_opened", "connections_refused"},
    "handshakes under way, and how long they take": {"handshakes_unfinished", "handshake_seconds"},
    "how long signing in takes": {"authentications", "verify_seconds"},
    "users, rooms, subscriptions": {"users", "guests", "rooms", "members", "subscriptions"},
    "frames and bytes in and out": {"frames_received", "frames_sent", "received_bytes", "sent_bytes", "writes"},
    "requests by type": {"requests"},
    "errors by code, closes by code and side": {"errors", "closes"},
    "sends by what became of them": {"sends"},
    "from send to delivery, and the size of the fan-out": {"delivery_seconds", "broadcasts", "deliveries"},
    "what waits, what was dropped": {"waiting_bytes", "waiting_max_bytes", "lagging", "typing_dropped"},
    "recovery by result, and how much": {"recovered", "replayed"},
    "heartbeats": {"heartbeats", "heartbeat_seconds", "ghosts_reaped"},
    "limits by scope": {"rate_limited"},
    "the canary": {"canary_flights", "canary_seconds", "canary_last_success_seconds"},
    "the store": {
        "log_commit_seconds",
        "log_batch_jobs",
        "log_wal_bytes",
        "log_queued_jobs",
        "log_failed",
        "log_removed",
    },
    "the process": {"loop_lag_seconds", "stalls", "tasks", "faults", "build_info"},
    "shutting down": {"ready", "drain_connections", "drain_seconds"},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_there_is_an_answer_to_each_question(question: str) -> None:
    assert QUESTIONS[question] - {row.name for row in METRICS} == set()


async def ask(client: ClientConnection, **request: Any) -> Any:
    await client.send(json.dumps(request | {"id": "1"}))
    async with asyncio.timeout(30):
        while True:
            frame = json.loads(await client.recv())
            if frame.get("re") == "1":
                return frame


async def session(site: Site) -> None:
    """Somebody signs in, talks too much, makes a mistake and comes back; somebody else reads."""
    url = site.url.replace("http", "ws", 1) + "/ws"
    async with connect(url, proxy=None) as bob, connect(url, proxy=None) as ada:
        await ask(bob, type="auth", name="bob")
        await ask(bob, type="join", room="lobby")
        await ask(ada, type="auth", token=site.token("ada"))
        await ask(ada, type="join", room="lobby")
        for cid in ("c0", "c0", "c1", "c2", "c3", "c4"):
            assert (await ask(ada, type="send", room="lobby", text="hello", cid=cid))["type"] == "ack"
        sixth = await ask(ada, type="send", room="lobby", text="one too many", cid="c9")
        assert sixth["code"] == "rate_limited"
        await ask(ada, type="nonsense")
        await ask(ada, type="leave", room="lobby")
        epoch = (await ask(bob, type="history", room="lobby"))["messages"][0]["epoch"]
        await ask(ada, type="join", room="lobby", since={"epoch": epoch, "seq": 2})
        while json.loads(await bob.recv())["type"] != "ping":
            pass
        await bob.send('{"type": "pong"}')
        await ask(bob, type="typing", room="lobby")


MOVED: dict[tuple[str, str], float] = {
    ("connections_opened_total", ""): 2,
    ("requests_total", "auth"): 2,
    ("requests_total", "join"): 3,
    ("requests_total", "send"): 7,
    ("requests_total", "typing"): 1,
    ("requests_total", "pong"): 1,
    ("sends_total", "stored"): 5,
    ("sends_total", "duplicate"): 1,
    ("rate_limited_total", "user"): 1,
    ("errors_total", "rate_limited"): 1,
    ("errors_total", "unknown_type"): 1,
    ("recovered_total", "none"): 2,
    ("recovered_total", "full"): 1,
    ("replayed_total", "full"): 3,
    ("verify_seconds_count", ""): 1,
    ("log_stored_total", ""): 5,
    ("log_duplicates_total", ""): 1,
    ("closes_total", "1000,client"): 2,
    ("closes_total", "1000,server"): 0,
    ("handshake_seconds_count", ""): 2,
    ("frames_sent_total", "hello"): 2,
    ("frames_sent_total", "message"): 5,
    ("frames_sent_total", "typing"): 1,
    ("frames_sent_total", "error"): 2,
    ("frames_sent_total", "ack"): 2 + 3 + 6 + 1 + 1 + 1,  # auth, join, send, leave, history, typing
    ("frames_sent_total", "notice"): 0,
}
AT_LEAST: dict[tuple[str, str], float] = {
    ("frames_received_total", "text"): 17,
    ("received_bytes_total", ""): 500,
    ("sent_bytes_total", ""): 2_000,
    ("writes_total", ""): 10,
    ("broadcasts_total", ""): 5,
    ("deliveries_total", ""): 10,
    ("delivery_seconds_count", ""): 1,
    ("delivery_seconds_sum", ""): 1e-6,
    ("heartbeats_total", "answered"): 1,
    ("frames_sent_total", "ping"): 1,
    ("frames_sent_total", "presence"): 1,
    ("heartbeat_seconds_total", ""): 1e-6,
    ("log_commit_seconds_count", ""): 5,
    ("log_batch_jobs_count", ""): 5,
}


async def test_a_session_moves_the_metrics_by_what_happened(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat_interval="0.2", messages_window="60") as site:
        before = await numbers(site)
        await session(site)
        await site.services.shell.no_connections()
        after = await numbers(site)

    def moved(name: str, label: str) -> float:
        return after[f"palaver_{name}", label] - before.get((f"palaver_{name}", label), 0.0)

    assert {key: moved(*key) for key in MOVED} == MOVED
    for key, least in AT_LEAST.items():
        assert moved(*key) >= least, key
    for gone in ("connections", "subscriptions", "lagging", "waiting_bytes", "waiting_max_bytes"):
        assert after[f"palaver_{gone}", ""] == 0


async def test_gauges_say_what_is_now(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        url = site.url.replace("http", "ws", 1) + "/ws"
        async with connect(url, proxy=None) as bob:
            await ask(bob, type="auth", name="bob")
            await ask(bob, type="join", room="lobby")
            await ask(bob, type="join", room="attic")
            now = await numbers(site)
    expected = {"connections": 1, "users": 1, "guests": 1, "rooms": 2, "members": 2, "subscriptions": 2, "ready": 1}
    assert {name: now[f"palaver_{name}", ""] for name in expected} == expected
    assert now["palaver_build_info", "0.1.0"] == 1


async def test_closes_are_told_by_who_began_them_and_no_client_can_invent_a_label(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat_interval="0.1", heartbeat_timeout="1") as site:
        url = site.url.replace("http", "ws", 1) + "/ws"
        before = set(await numbers(site))
        for code in (1001, 4001, 4567):
            async with connect(url, proxy=None) as client:
                await client.close(code)
        async with connect(url, proxy=None) as client:
            await client.send(b"\xff", text=True)
            await client.wait_closed()
        async with connect(url, proxy=None) as client:
            client.transport.abort()
        async with connect(url, proxy=None) as ghost:
            await ask(ghost, type="auth", name="ghost")
            ghost.transport.pause_reading()
            await site.services.shell.no_connections()
            after = await numbers(site)
            ghost.transport.resume_reading()
    closes = {labels: count for (name, labels), count in after.items() if name == "palaver_closes_total" and count}
    expected = ("1001,client", "4001,client", "other,client", "1007,server", "1006,client", "4102,server")
    assert closes == dict.fromkeys(expected, 1)
    assert after["palaver_ghosts_reaped_total", ""] == 1
    assert set(after) - before <= {("palaver_canary_seconds", ""), ("palaver_canary_last_success_seconds", "")}


async def test_a_fault_is_among_the_errors_and_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a fault of the engine")

    async with serving(tmp_path) as site:
        async with connect(site.url.replace("http", "ws", 1) + "/ws", proxy=None) as bob:
            monkeypatch.setattr(site.services.engine, "receive", fail)
            assert (await ask(bob, type="ping"))["code"] == "internal"
        now = await numbers(site)
    assert now["palaver_errors_total", "internal"] == now["palaver_frames_sent_total", "error"] == 1


async def test_a_shutdown_tells_how_far_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        url = site.url.replace("http", "ws", 1) + "/ws"
        prometheus = await site.caller(None)

        async def progress() -> tuple[float, float, bool]:
            now = await numbers(site, prometheus)
            gone, left = (now["palaver_drain_connections", state] for state in ("gone", "left"))
            return gone, left, now["palaver_drain_seconds", ""] > 0

        async with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
            assert await progress() == (0, 0, False)
            draining = asyncio.create_task(drain(site.running, window_seconds=60, deadline_seconds=60))
            await until(lambda: not site.running.ready)
            assert await progress() == (0, 2, True)
            await first.close()
            await until(lambda: len(site.services.shell.connections) == 1)
            assert await progress() == (1, 1, True)
            await second.close()
        await draining
