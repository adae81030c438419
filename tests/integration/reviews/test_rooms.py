"""`/ask` in a room: a real stub in its own process, a real server, a real socket."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from palaver.review.folder import Folder
from tests.integration.reviews.rooms import KEYS, ROOM, guest, models_file, script, site
from tests.unit.review import stubs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path_factory.mktemp("stub"), script()) as running:
        yield running


async def test_a_question_is_answered_judged_and_ranked_and_names_come_last(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada, guest(running.url, "Bob") as bob:
        ack = await ada.say("/ask @ada @bob @cyd What is a lease?")
        ranking = await ada.ranking()
        await bob.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "revealed")

        assert ack["type"] == "ack"
        first, *rest = bob.messages
        assert (first["text"], first["user"]["name"]) == ("/ask @ada @bob @cyd What is a lease?", "Ada")
        answers = [message for message in rest if message["user"]["name"].startswith("Answer ")]
        assert sorted(message["user"]["name"] for message in answers) == ["Answer A", "Answer B", "Answer C"]
        assert all("stub answer" in message["text"] for message in answers)
        assert ranking["user"] == {"id": "~palaver", "name": "Palaver"}
        assert "Cyd One won with" in ranking["text"]
        assert [message["seq"] for message in bob.messages] == list(range(1, 7)), "every message is in the log"
        before = [frame for frame in bob.frames if frame["type"] != "ack" and frame.get("seq") != ranking["seq"]]
        assert not [frame for frame in before if "One" in str(frame.get("text", "")) and frame["type"] == "message"]


async def test_the_matrix_fills_in_live_under_letters(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada:
        await ada.say("/ask What is a lease?")
        await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "revealed")

        pushes = [frame for frame in ada.frames if frame["type"] == "evaluation"]
        assert [push["n"] for push in pushes] == list(range(1, len(pushes) + 1))
        cells = {(push["judge"], push["answer"]): push for push in ada.events("cell")}
        scored = {pair for pair, push in cells.items() if push["status"] == "scored"}
        assert scored == {(judge, answer) for judge in "ABC" for answer in "ABC" if judge != answer}
        told = str(pushes).lower()
        assert not [key for key in KEYS if f"'{key}'" in told or f"{key} one" in told]


async def test_bad_commands_are_told_to_their_sender_only_and_store_nothing(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada, guest(running.url, "Bob") as bob:
        for text, part in (
            ("/ask", "Write a question"),
            ("/ask @ada @bob", "Write a question"),
            ("/ask @ada @ada why?", "named twice"),
            ("/ask @ada @eve why?", "no model @eve here. There are @ada, @bob, @cyd"),
            ("/ask @ada why?", "at least two"),
            ("/ask stop", "No evaluation is running"),
            ("/ask again", "Nothing was asked"),
            ("/vote", "/vote B"),
            ("/vote A", "Nothing was asked"),
        ):
            error = await ada.say(text)
            assert error["code"] == "invalid_text", text
            assert part in error["message"], text
        await ada.say("then this")
        said = await bob.until(lambda frame: frame["type"] == "message")
        assert (said["text"], said["seq"]) == ("then this", 1)


async def test_without_models_asking_is_refused_with_what_to_do(tmp_path: Path) -> None:
    from tests.unit.server.http.site import serving

    async with serving(tmp_path) as running, guest(running.url) as ada:
        error = await ada.say("/ask why?")
        assert error["code"] == "forbidden"
        assert "--models" in error["message"]


async def test_people_vote_and_the_votes_stay_apart_from_the_jury(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada, guest(running.url, "Bob") as bob:
        await ada.say("/ask What is a lease?")
        ranking = await ada.ranking()
        name = ranking["cid"].partition(":")[0]
        reviews = running.services.reviews
        assert reviews is not None
        jury = reviews.matrix(name).scored

        assert (await ada.say("/vote Z"))["code"] == "invalid_text"
        assert (await ada.say("/vote A"))["type"] == "ack"
        assert (await bob.say("/vote a 3 B 9"))["type"] == "ack"

        def votes() -> int:
            path = reviews.shelf.root / name / "journal"
            return sum(text.read_text().count('"kind":"vote"') for text in path.glob("*-votes.log"))

        async with asyncio.timeout(30):
            while votes() < 5:  # noqa: ASYNC110 - a vote is stored after its message is
                await asyncio.sleep(0.01)
        assert reviews.matrix(name).scored == jury


async def test_asking_again_asks_anew_where_nothing_failed(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada:
        await ada.say("/ask @bob @cyd What is a lease?")
        first = await ada.ranking()
        await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "revealed")
        assert (await ada.say("/ask again"))["type"] == "ack"
        second = await ada.until(
            lambda frame: (
                frame["type"] == "message" and ":ranking-" in (frame["cid"] or "") and frame["seq"] > first["seq"]
            )
        )
        assert second["cid"] != first["cid"]


@pytest.mark.parametrize(("refusals", "scored"), [(5, 6), (100, 4)], ids=["mended", "not mended"])
async def test_asking_again_opens_failed_calls_and_tells_the_ranking_once_more(
    tmp_path: Path, refusals: int, scored: int
) -> None:
    faulty = f'[[model.faults]]\nkind = "status"\nstatus = 400\non = "judgments"\nlast = {1 + refusals}\n'
    text = script(keys=("bob", "cyd")) + f'[[model]]\nid = "ada"\nquality = 4.0\n{faulty}'
    with stubs.running(tmp_path, text) as stub:
        async with site(tmp_path, stub) as running, guest(running.url) as ada:
            await ada.say("/ask What is a lease?")
            name, reviews = (await ada.ranking())["cid"].partition(":")[0], running.services.reviews
            await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "revealed")
            assert reviews is not None
            assert len(reviews.matrix(name).scored) == 4
            billed = sum(int(account["calls"]) for account in stub.bill().values())

            assert (await ada.say("/ask again"))["type"] == "ack"
            await ada.until(lambda frame: frame["type"] == "message" and frame["cid"] == f"{name}:ranking-2")
            assert len(reviews.matrix(name).scored) == scored
            assert sum(int(account["calls"]) for account in stub.bill().values()) == billed + 5


async def test_the_asker_may_stop_and_others_may_not_and_what_there_is_is_ranked(tmp_path: Path) -> None:
    with stubs.running(tmp_path, script(latency_seconds=1.0)) as slow:
        async with site(tmp_path, slow) as running, guest(running.url) as ada, guest(running.url, "Bob") as bob:
            await ada.say("/ask What is a lease?")
            await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "answer")
            assert (await bob.say("/ask and this?"))["code"] == "forbidden", "one at a time"
            assert (await bob.say("/ask stop"))["code"] == "forbidden"
            assert (await ada.say("/ask stop"))["type"] == "ack"
            ranking = await ada.ranking()
            assert "stopped." in ranking["text"]
            assert "Bob One" in ranking["text"], "also who answered and was not judged is named"


async def test_spending_is_capped_for_a_user_before_anything_is_called(tmp_path: Path) -> None:
    with stubs.running(tmp_path, script()) as stub:
        models = models_file(tmp_path, stub, price=1_000.0)
        flags = {"models": models, "spend_evaluation": "100", "spend_user": "2", "spend_room": "off"}
        async with (
            site(tmp_path, stub, **flags) as running,
            guest(running.url) as ada,
            guest(running.url, "Bob") as bob,
        ):
            await ada.say("/ask What is a lease?")
            ranking = await ada.ranking()
            assert "spending cap is reached" in ranking["text"]
            reviews = running.services.reviews
            assert reviews is not None
            spent = next(reviews.shelf.cards()).spent_nanodollars
            assert spent <= 2_000_000_000
            await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "revealed")
            assert (await bob.say("/ask @ada @bob What is a lease?"))["type"] == "ack", "the cap is each user's own"


async def test_guests_may_be_kept_from_asking(tmp_path: Path, stub: stubs.Stub) -> None:
    async with site(tmp_path, stub, asking="token") as running, guest(running.url) as ada:
        assert (await ada.say("/ask why?"))["code"] == "forbidden"
        nobody, guests = await running.caller(None), {"Authorization": f"Bearer {ada.session}"}
        assert (await nobody.post("/api/evaluations", json={"question": "why?"}, headers=guests)).status == 403
        caller = await running.caller("eve")
        answer = await caller.post(f"/api/rooms/{ROOM}/messages", json={"text": "/ask why?"})
        assert answer.status == 201
        await ada.ranking()


async def test_a_stopped_server_goes_on_at_the_next_start_and_says_nothing_twice(tmp_path: Path) -> None:
    with stubs.running(tmp_path, script(latency_seconds=0.1)) as stub:
        async with site(tmp_path, stub, store="sqlite") as running, guest(running.url) as ada:
            await ada.say("/ask What is a lease?")
            await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "cell")
        async with site(tmp_path, stub, store="sqlite") as running, guest(running.url) as ada:
            reviews = running.services.reviews
            assert reviews is not None
            async with asyncio.timeout(30):
                while not any(card.told for card in reviews.shelf.cards()):  # noqa: ASYNC110 - told by the room below
                    await asyncio.sleep(0.01)
            page = await ada.ask("history", room=ROOM)
            assert sorted(message["user"]["name"] for message in page["messages"]) == [
                "Ada", "Answer A", "Answer B", "Answer C", "Palaver", "Palaver",
            ]  # fmt: skip
            assert reviews.matrix(next(reviews.shelf.cards()).id).state == "final"


async def test_more_evaluations_than_may_run_wait_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stubs.running(tmp_path, script(latency_seconds=0.05)) as stub:
        async with site(tmp_path, stub, evaluations_running="1") as running:
            reviews, ada = running.services.reviews, await running.caller()
            assert reviews is not None
            reviews._bounds = replace(reviews._bounds, waiting=1)
            asked = {"question": "What is a lease?"}
            stub.away(True)  # the first cannot end before the others were asked for
            first = await (await ada.post("/api/evaluations", json=asked)).json()
            second = await (await ada.post("/api/evaluations", json=asked)).json()
            refused = await ada.post("/api/evaluations", json=asked)
            assert refused.status == 503
            assert "Retry-After" in refused.headers
            assert first["id"] != second["id"], "asked in one second, they are two all the same"
            publish, made_meanwhile = Folder.publish, list[int]()

            def published(folder: Folder, text: str) -> Path:
                made_meanwhile.append(reviews.matrix(second["id"]).calls)
                return publish(folder, text)

            monkeypatch.setattr(Folder, "publish", published)
            stub.away(False)
            async with ada.get(f"/api/evaluations/{first['id']}/events") as response:
                await response.read()
            assert made_meanwhile[0] == 0, "the second begins when the first has ended, not before"
            async with ada.get(f"/api/evaluations/{second['id']}/events") as response:
                await response.read()
            assert reviews.revealed(second["id"])


async def test_a_provider_that_is_away_is_waited_for_and_the_room_is_told(tmp_path: Path) -> None:
    with stubs.running(tmp_path, script(latency_seconds=0.02)) as stub:
        async with site(tmp_path, stub) as running, guest(running.url) as ada:
            stub.away(True)
            await ada.say("/ask What is a lease?")
            trouble = await ada.until(lambda frame: frame["type"] == "evaluation" and frame["event"] == "trouble")
            assert not [key for key in KEYS if key in str(trouble)]
            stub.away(False)
            ranking = await ada.ranking()
            assert "Cyd One won" in ranking["text"]


async def test_a_fault_in_one_run_is_told_to_its_room_and_can_be_gone_on_with(
    tmp_path: Path, stub: stubs.Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, stub) as running, guest(running.url) as ada:
        publish = Folder.publish
        monkeypatch.setattr(Folder, "publish", lambda *_: 1 / 0)
        await ada.say("/ask What is a lease?")
        told = await ada.until(lambda frame: frame["type"] == "message" and "made a mistake" in frame["text"])
        assert told["user"]["name"] == "Palaver"
        monkeypatch.setattr(Folder, "publish", publish)
        async with asyncio.timeout(30):
            while (await ada.say("/ask again"))["type"] != "ack":  # noqa: ASYNC110 - the faulty run ends just now
                await asyncio.sleep(0.05)
        ranking = await ada.ranking()
        assert "Cyd One won" in ranking["text"]
        assert ranking["cid"].partition(":")[0] in told["text"], "nothing was asked, and paid, once more"
