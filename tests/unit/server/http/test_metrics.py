"""Each metric moves when what it counts happens: one whole session, and the page of numbers before and after it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from palaver.server.metrics import METRICS
from tests.unit.server.http.site import Site, serving
from tests.unit.server.http.test_health import numbers

Numbers = dict[tuple[str, str], float]

# What a server has to tell, by the question, and the metrics that answer it.
QUESTIONS = {
    "connections open, accepted, refused by reason": {"connections", "connections_opened", "connections_refused"},
    "handshakes under way": {"handshakes_unfinished"},
    "how long signing in takes": {"authentications", "verify_seconds"},
    "users, rooms, subscriptions": {"users", "guests", "rooms", "subscriptions"},
    "frames and bytes in and out": {"frames_received", "received_bytes", "sent_bytes", "writes"},
    "requests by type": {"requests"},
    "errors by code, closes by code": {"errors", "closes"},
    "sends by what became of them": {"sends"},
    "from send to delivery, and the size of the fan-out": {"delivery_seconds", "broadcasts", "deliveries"},
    "what waits, what was dropped": {"waiting_bytes", "waiting_max_bytes", "lagging", "typing_dropped"},
    "recovery by result, and how much": {"recovered", "replayed"},
    "heartbeats": {"heartbeats", "heartbeat_seconds"},
    "limits by scope": {"rate_limited"},
    "the canary": {"canary_flights", "canary_seconds", "canary_last_success_seconds"},
    "the store": {"log_commit_seconds", "log_batch_jobs", "log_wal_bytes", "log_queued_jobs", "log_failed"},
    "the process": {"loop_lag_seconds", "stalls", "tasks", "faults", "build_info"},
    "shutting down": {"ready"},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_there_is_an_answer_to_each_question(question: str) -> None:
    assert QUESTIONS[question] - {row.name for row in METRICS} == set()


async def ask(client: ClientConnection, **request: Any) -> Any:
    await client.send(json.dumps(request | {"id": "1"}))
    async with asyncio.timeout(5):
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
    ("closes_total", "1000"): 2,
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
    expected = {"connections": 1, "users": 1, "guests": 1, "rooms": 2, "subscriptions": 2, "ready": 1}
    assert {name: now[f"palaver_{name}", ""] for name in expected} == expected
    assert now["palaver_build_info", "0.1.0"] == 1
