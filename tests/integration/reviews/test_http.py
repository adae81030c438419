"""Evaluations over HTTP: the same rights and errors as everywhere, blind until the results are out."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_schema_validator import OAS31Validator

from palaver.review.check import check
from palaver.server.http import evaluation_events
from palaver.server.http.openapi import openapi
from palaver.server.http.routes import ROUTES
from tests.integration.reviews.rooms import KEYS, ROOM, guest, models_file, script, site
from tests.unit.review import stubs
from tests.unit.server.http.site import Site, body, serving

pytestmark = pytest.mark.slow

ASKED = {"question": "What is a lease?"}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path_factory.mktemp("stub"), script()) as running:
        yield running


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path_factory.mktemp("slow"), script(latency_seconds=0.3)) as running:
        yield running


async def events(response: aiohttp.ClientResponse) -> list[dict[str, str]]:
    """The events of a stream, until it ends."""
    assert response.status == 200, await response.text()
    found, event = list[dict[str, str]](), dict[str, str]()
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            event[name] = value
        elif event:
            found.append(event)
            event = {}
    return found


async def finished(running: Site, caller: aiohttp.ClientSession, **asked: object) -> str:
    """Ask, wait for the results, return the id."""
    created = await body(await caller.post("/api/evaluations", json=ASKED | asked), 201)
    async with caller.get(f"/api/evaluations/{created['id']}/events") as response:
        assert (await events(response))[-1] == {"event": "end", "data": "{}"}
    return str(created["id"])


async def test_what_is_answered_is_what_the_document_says(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running:
        ada = await running.caller()
        document = await body(await ada.get("/api/openapi.json"), 200)

        def checked(path: str, method: str, status: int, found: Any) -> Any:
            answer = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
            OAS31Validator({**answer, "components": document["components"]}).validate(found)
            return found

        root, one = "/api/evaluations", "/api/evaluations/{evaluation}"
        created = checked(root, "post", 201, await body(await ada.post(root, json=ASKED), 201))
        assert (created["state"], created["revealed"], created["winner"]) == ("answering", False, None)
        url = f"{root}/{created['id']}"
        async with ada.get(f"{url}/events") as response:
            await events(response)
        seen = checked(one, "get", 200, await body(await ada.get(url), 200))
        assert (seen["state"], seen["revealed"], seen["n"]) == ("final", True, None)
        winner = next(member for member in seen["members"] if member["letter"] == seen["winner"])
        assert winner["name"] == "Cyd One"
        checked(root, "get", 200, await body(await ada.get(root), 200))
        matrix = checked(f"{one}/matrix", "get", 200, await body(await ada.get(f"{url}/matrix"), 200))
        assert [sum(score is not None for score in row) for row in matrix["scores"]] == [2, 2, 2]
        cells = checked(f"{one}/cells", "get", 200, await body(await ada.get(f"{url}/cells"), 200))
        assert sum(cell["raw"] is not None for cell in cells["cells"]) == 6, "the asker may read raw replies"
        voted = await body(await ada.post(f"{url}/votes", json={"marks": {"A": 7}}), 200)
        assert checked(f"{one}/votes", "post", 200, voted)["your_votes"] == {"A": 7}
        checked(one, "delete", 200, await body(await ada.delete(url), 200))


async def test_results_reports_and_statistics_are_there_once_the_ranking_is(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running:
        ada = await running.caller()
        url = f"/api/evaluations/{await finished(running, ada)}"
        async with ada.get(f"{url}/results") as response:
            published = await response.text()
        assert check(published, "results") == []
        stats = await body(await ada.get(f"{url}/stats"), 200)
        described = openapi(ROUTES)["paths"]["/api/evaluations/{evaluation}/report"]["get"]["responses"]["200"]
        assert [line["name"] for line in stats["measured"]["lines"]] == ["Cyd One", "Bob One", "Ada One"]
        for wanted, kind, part in (
            ("md", "text/markdown", "Cyd One"),
            ("measured", "text/markdown", "measured report"),
            ("html", "text/html", "<table"),
            ("json", "application/json", '"measured"'),
            ("csv", "text/csv", "judge,respondent"),
        ):
            assert kind in described["content"]
            async with ada.get(f"{url}/report", params={"format": wanted}) as response:
                assert response.content_type == kind
                assert part in await response.text()
                assert "sandbox" in response.headers["Content-Security-Policy"]
        assert (await body(await ada.get(f"{url}/report?format=pdf"), 400))["error"]["field"] == "format"


async def test_nothing_says_who_is_who_while_the_evaluation_runs(tmp_path: Path, slow: stubs.Stub) -> None:
    async with site(tmp_path, slow, evaluation_calls="1") as running, guest(running.url) as ada:
        caller = await running.caller("ada")
        created = await body(await caller.post("/api/evaluations", json=ASKED | {"room": ROOM}), 201)
        url = f"/api/evaluations/{created['id']}"
        await ada.until(lambda frame: frame["type"] == "evaluation" and frame.get("score") is not None)
        said = ""
        for path in ("", "/matrix", "/cells"):
            async with caller.get(url + path) as response:
                assert response.status == 200
                said += (await response.text()).lower()
        assert running.services.reviews is not None
        assert not running.services.reviews.revealed(created["id"]), "it was still blind"
        for path in ("/results", "/stats", "/report"):
            refused = await body(await caller.get(url + path), 503)
            assert (refused["error"]["code"], refused["error"]["retryable"]) == ("unavailable", True)
        told = said.replace("stub", "")
        assert not [name for key in KEYS for name in (f'"{key}"', f"{key} one") if name in told]
        assert '"raw":null' in said
        assert '"raw":"' not in said
        opening = await ada.until(lambda frame: frame["type"] == "message")
        assert opening["text"].startswith("> What is a lease?"), "asked over HTTP, the room still sees the question"
        await ada.ranking()


async def test_events_go_on_after_the_last_one_that_was_seen(tmp_path: Path, slow: stubs.Stub) -> None:
    async with site(tmp_path, slow) as running:
        ada = await running.caller()
        created = await body(await ada.post("/api/evaluations", json=ASKED), 201)
        url = f"/api/evaluations/{created['id']}/events"
        async with ada.get(url) as response:
            first = [await response.content.readline() for _ in range(3)]
            while b"answer" not in (line := await response.content.readline()):
                first.append(line)
            seen = [line.decode().strip().removeprefix("id: ") for line in first if line.startswith(b"id: ")]
        async with ada.get(url, headers={"Last-Event-ID": seen[-1]}) as response:
            rest = await events(response)
        assert all(event.get("event") != "state" for event in rest), "what was missed was kept"
        numbers = [int(event["id"].partition(".")[2]) for event in rest if "id" in event]
        assert numbers == list(range(int(seen[-1].partition(".")[2]) + 1, numbers[-1] + 1))
        assert json.loads(rest[-2]["data"])["event"] == "revealed"
        async with ada.get(url, headers={"Last-Event-ID": "other.1"}) as response:
            assert [event["event"] for event in await events(response)] == ["state", "end"]


async def test_streams_are_bounded(tmp_path: Path, slow: stubs.Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_events, "STREAMS", 1)
    async with site(tmp_path, slow) as running:
        ada = await running.caller()
        created = await body(await ada.post("/api/evaluations", json=ASKED), 201)
        url = f"/api/evaluations/{created['id']}/events"
        async with ada.get(url) as response:
            await response.content.readline()
            assert (await body(await ada.get(url), 503))["error"]["retryable"]
            await events(response)
        async with ada.get(url) as response:
            assert response.status == 200


async def test_who_may_not_be_in_the_room_does_not_find_its_evaluations(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running:
        ada, eve, boss = (
            await running.caller("ada"),
            await running.caller("eve", rooms=["attic"]),
            await running.caller("boss", rooms=["attic"], roles=["operator"]),
        )
        name = await finished(running, ada, room=ROOM)
        own = await finished(running, ada)
        for wanted in (name, own):
            assert (await body(await eve.get(f"/api/evaluations/{wanted}"), 404))["error"]["code"] == "not_found"
            assert (await body(await boss.get(f"/api/evaluations/{wanted}"), 200))["id"] == wanted
        assert (await body(await eve.get("/api/evaluations"), 200))["evaluations"] == []
        assert (await body(await eve.post("/api/evaluations", json=ASKED), 403))["error"]["code"] == "forbidden"
        assert await body(await eve.post("/api/evaluations", json=ASKED | {"room": ROOM}), 403)
        page = await body(await ada.get("/api/evaluations?limit=1"), 200)
        assert ([card["id"] for card in page["evaluations"]], page["complete"]) == ([own], False)
        page = await body(await ada.get(f"/api/evaluations?limit=1&before={own}"), 200)
        assert ([card["id"] for card in page["evaluations"]], page["complete"]) == ([name], True)
        for field, wrong in (("room", "x" * 65), ("before", "yesterday"), ("limit", "0")):
            refused = await body(await ada.get("/api/evaluations", params={field: wrong}), 400)
            assert refused["error"]["field"] == field
        assert (await eve.get("/dashboard/export")).status == 403
        async with boss.get("/dashboard/export") as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        assert {line["evaluation"] for line in lines} == {name, own}
        async with boss.get("/dashboard/export?part=datasheet") as response:
            assert "Evaluations: 2" in await response.text()


async def test_a_guest_reads_asks_and_votes_with_the_session_of_the_socket(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada:
        await ada.say("/ask What is a lease?")
        name = (await ada.ranking())["cid"].partition(":")[0]
        nobody = await running.caller(None)
        auth = {"Authorization": f"Bearer {ada.session}"}
        seen = await body(await nobody.get(f"/api/evaluations/{name}", headers=auth), 200)
        assert seen["room"] == ROOM
        voted = await body(await nobody.post(f"/api/evaluations/{name}/votes", json={"best": "B"}, headers=auth), 200)
        assert voted["your_votes"] == {"A": 0, "B": 10, "C": 0}
        forged = {"Authorization": f"Bearer {ada.session[:-1]}0"}
        if forged != auth:
            assert (await nobody.get(f"/api/evaluations/{name}", headers=forged)).status == 401
        asked = await body(await nobody.post("/api/evaluations", json=ASKED, headers=auth), 201)
        async with nobody.get(f"/api/evaluations/{asked['id']}/events", headers=auth) as response:
            await events(response)
        assert (await nobody.get(f"/api/evaluations/{asked['id']}")).status == 404, "it is in no room"
        assert (await nobody.get(f"/api/evaluations/{name}")).status == 200, "who may read the room may read this"
        assert (await nobody.post(f"/api/evaluations/{name}/votes", json={"best": "B"})).status == 401
        assert (await nobody.post(f"/api/evaluations/{name}/votes", json={"best": "Z"}, headers=auth)).status == 400
        assert (await nobody.post(f"/api/evaluations/{name}/votes", json={}, headers=auth)).status == 400


async def test_the_same_key_asks_once_and_bad_bodies_name_the_field(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running:
        ada = await running.caller()
        key = {"Idempotency-Key": "k1"}
        first = await body(await ada.post("/api/evaluations", json=ASKED, headers=key), 201)
        again = await body(await ada.post("/api/evaluations", json=ASKED, headers=key), 200)
        assert first["id"] == again["id"]
        for wrong in ({}, {"question": ""}, {"question": "x", "more": 1}, {"question": "x", "models": ["eve", "ada"]}):
            assert (await ada.post("/api/evaluations", json=wrong)).status == 400
        async with asyncio.timeout(30), ada.get(f"/api/evaluations/{first['id']}/events") as response:
            await events(response)


async def test_votes_are_limited_for_each_user_and_an_unchanged_one_is_not_kept(
    tmp_path: Path, stub: stubs.Stub
) -> None:
    async with site(tmp_path, stub) as running:
        ada, bob = await running.caller("ada"), await running.caller("bob")
        name = await finished(running, ada, room=ROOM)
        url = f"/api/evaluations/{name}/votes"
        statuses = [(await ada.post(url, json={"best": "A"})).status for _ in range(12)]
        assert statuses[:10] == [200] * 10
        assert statuses[-1] == 429
        assert (await bob.post(url, json={"best": "B"})).status == 200
        journal = next((tmp_path / "data" / "evaluations" / name / "journal").glob("*-votes.log"))
        assert journal.read_text().count('"person":"u-ada"') == 3, "one for each answer"


async def test_metrics_count_what_ran_and_what_it_cost(tmp_path: Path, stub: stubs.Stub) -> None:
    models = models_file(tmp_path, stub, price=1.0)
    async with site(tmp_path, stub, models=models) as running:
        ada = await running.caller()
        name = await finished(running, ada)
        seen = await body(await ada.get(f"/api/evaluations/{name}"), 200)
        async with ada.get("/metrics") as response:
            page = await response.text()
    assert 'palaver_evaluations_ended_total{state="final"} 1.0' in page
    assert 'palaver_evaluations_ended_total{state="fault"} 0.0' in page
    assert 'palaver_evaluations{what="working"} 0.0' in page
    spent = next(line for line in page.splitlines() if line.startswith("palaver_evaluations_spent_dollars_total"))
    assert float(spent.split()[1]) == pytest.approx(seen["spent_nanodollars"] / 1e9)
    assert seen["spent_nanodollars"] > 0


async def test_without_models_every_route_says_what_is_missing(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        ada = await running.caller()
        for path in ("/api/evaluations", "/api/evaluations/EVAL-20260101-000000"):
            assert "--models" in (await body(await ada.get(path), 403))["error"]["message"]
