import asyncio
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from palaver.server.metrics import METRICS
from tests.unit.server.http.site import Site, body, serving


async def numbers(site: Site, caller: aiohttp.ClientSession | None = None) -> dict[tuple[str, str], float]:
    """Every sample of /metrics by name and labels."""
    caller = caller or await site.caller(None)
    async with caller.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(await response.text()))
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_ready_means_that_a_message_just_went_through(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        nobody = await site.caller(None)
        answer = await body(await nobody.get("/health/ready"), 200)
        assert answer["ready"] is True
        assert answer["canary_ms"] > 0
        assert site.services.canary.flights == 1


async def test_many_who_ask_at_once_cost_one_canary(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        nobody = await site.caller(None)
        responses = await asyncio.gather(*(nobody.get("/health/ready") for _ in range(20)))
        assert {response.status for response in responses} == {200}
        assert site.services.canary.flights == 1


async def test_a_log_that_does_not_answer_is_not_ready_but_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as site:
        site.services.canary._timeout_seconds = 0.05
        monkeypatch.setattr(site.services.shell.log, "submit", lambda _jobs: None)
        nobody = await site.caller(None)
        answer = await body(await nobody.get("/health/ready"), 503)
        assert answer["ready"] is False
        assert "no answer" in answer["reason"]
        assert await body(await nobody.get("/health/live"), 200) == {"live": True}
        assert (await numbers(site))["palaver_canary_flights_total", "lost"] == 1


async def test_a_server_that_drains_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.running.ready = False
        nobody = await site.caller(None)
        assert (await body(await nobody.get("/health/ready"), 503))["reason"] == "shutting down"
        assert site.services.canary.flights == 0


async def test_canaries_leave_nothing_but_their_room_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        await site.services.canary.fly()
        await site.services.shell.no_connections()
        assert not site.services.engine.state.sessions
        ada = await site.caller()
        assert await body(await ada.get("/api/rooms"), 200) == {"rooms": [], "complete": True}


async def test_every_metric_of_the_table_is_on_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        await site.services.canary.fly()
        found = {name for name, _ in await numbers(site)}
    suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket"}
    expected = {f"palaver_{row.name}{suffix[row.kind]}" for row in METRICS} - {"palaver_key_fetches_total"}
    assert expected <= found
    assert "process_open_fds" in found


async def test_metrics_count_what_happens(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        ada = await site.caller()
        for _ in range(6):
            await ada.post("/api/rooms/lobby/messages", json={"text": "x"})
        found = await numbers(site)
    assert found["palaver_sends_total", "stored"] == 5
    assert found["palaver_log_stored_total", ""] == 5
    assert found["palaver_rate_limited_total", "user"] == 1
    assert found["palaver_errors_total", "rate_limited"] == 1
    assert found["palaver_errors_total", "internal"] == 0
    assert found["palaver_log_commit_seconds_bucket", "+Inf"] == found["palaver_log_commit_seconds_count", ""] >= 1


async def test_metrics_may_be_for_the_operator_only(tmp_path: Path) -> None:
    async with serving(tmp_path, metrics="operator") as site:
        nobody, ada, root = await site.caller(None), await site.caller(), await site.caller("root", roles=["operator"])
        assert (await nobody.get("/metrics")).status == 401
        assert (await ada.get("/metrics")).status == 403
        assert (await root.get("/metrics")).status == 200
