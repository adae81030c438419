"""From `/ask` to the revealed ranking: real Chromium, real server, and a stub of the models in its own process."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.test_page import enter, port_of, ready, say
from tests.integration.reviews.rooms import KEYS, models_file, script
from tests.integration.serve.process import Server, serving
from tests.ports import free_port
from tests.unit.review import stubs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Serve = Callable[..., Server]
CALLS = 3 + 6 + 9  # answers, judgments, hidden controls
NAMES = [f"{key.title()} One" for key in KEYS]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path, script(latency_seconds=0.15)) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path, stub: stubs.Stub) -> Iterator[Serve]:
    """Start a server whose rooms may ask the stub, or start it again on the same port and data."""
    models = str(models_file(tmp_path, stub))
    with ExitStack() as stack:

        def start(*options: str, port: str | None = None) -> Server:
            fixed = ("--port", port or str(free_port()), "--models", models, "--drain-window", "0.5")
            return stack.enter_context(serving(*fixed, *options, cwd=tmp_path))

        yield start


def test_a_question_becomes_a_ranking_before_everyones_eyes(serve: Serve, open_tab: OpenTab) -> None:
    server = serve("--evaluation-calls", "1")  # so that it is blind for long enough to be looked at
    ada, bob = open_tab(server.url), open_tab(server.url)
    enter(ada, "Ada")
    enter(bob, "Bob")
    say(ada, "/ask @ada @bob @cyd What is a *lease*?")

    seen = bob.locator(".evaluation-card")
    expect(seen.get_by_role("table", name="Ranking so far")).to_be_visible()
    expect(seen.locator(".heat td[class^=heat-]").first).to_be_visible()
    assert seen.get_attribute("data-revealed") == "false", "the matrix fills while it is blind"
    blind = bob.locator(".log").inner_text()
    assert not [name for name in NAMES if name in blind]
    expect(bob.locator(".log .name", has_text=re.compile("^Answer [ABC]"))).to_have_count(3)

    seen.get_by_role("button", name="B", exact=True).click()
    expect(seen.get_by_role("button", name="B", exact=True)).to_have_attribute("aria-pressed", "true")
    for tab in (ada, bob):
        shown = tab.locator(".evaluation-card[data-revealed=true]")
        expect(shown.locator(".heat td[class^=heat-]")).to_have_count(6)
        expect(shown.locator(".ranking .winner")).to_contain_text("Cyd One")
        expect(tab.locator(".log")).to_contain_text("Cyd One won with")

    seen.get_by_role("link", name=re.compile("^EVAL-")).click()
    page = bob.locator(".page.evaluation")
    expect(page.get_by_role("heading", name="What is a *lease*?")).to_be_visible()
    expect(page.locator(".ranking .interval")).to_have_count(3)
    expect(page.get_by_role("table", name="Judges").get_by_role("row")).to_have_count(4)
    expect(page.locator(".verdict")).to_contain_text("first after correction")
    expect(page).to_contain_text("1 voted")
    page.locator(".heat td button").first.click()
    expect(page.locator(".judgment")).to_contain_text("correctness")
    page.locator("details.answer summary").first.click()
    expect(page.locator("details.answer .markdown pre").first).to_contain_text("compute(")
    with bob.expect_download() as download:
        page.get_by_role("button", name="results").click()
    assert download.value.suggested_filename.endswith(".json")
    bob.get_by_role("link", name="Evaluations").first.click()
    expect(bob.locator(".evaluation-list")).to_contain_text("Cyd One won")
    bob.reload()
    expect(bob.locator(".evaluation-list")).to_contain_text("Cyd One won")
    bob.locator(".evaluation-list a").first.click()
    bob.reload()
    expect(page.locator(".ranking .interval")).to_have_count(3)


def test_a_server_killed_in_the_middle_goes_on_and_pays_only_for_open_calls(
    serve: Serve, open_tab: OpenTab, stub: stubs.Stub
) -> None:
    server = serve("--evaluation-calls", "2")
    ada = open_tab(server.url)
    enter(ada, "Ada")
    say(ada, "/ask What is a lease?")
    expect(ada.locator(".heat td[class^=heat-]").first).to_be_visible()
    server.end(signal.SIGKILL)
    expect(ada.get_by_role("status")).to_contain_text("Connection lost")
    serve("--evaluation-calls", "2", port=port_of(server))
    ready(ada)
    expect(ada.locator(".evaluation-card[data-revealed=true] .winner")).to_contain_text("Cyd One")
    expect(ada.locator(".evaluation-card")).to_have_count(1)
    expect(ada.locator(".log .name", has_text=re.compile("^Answer [ABC]"))).to_have_count(3)
    billed = sum(int(account["calls"]) for account in stub.bill().values())
    assert CALLS <= billed <= CALLS + 2, "at most the two calls under way were made twice"


def test_a_button_asks_the_models(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    ada = open_tab(server.url)
    enter(ada, "Ada")
    ada.get_by_label("Message to ").fill("What is a lease?")
    ada.get_by_role("button", name="Ask").click()
    expect(ada.locator(".log")).to_contain_text("/ask What is a lease?")
    expect(ada.locator(".evaluation-card[data-revealed=true]")).to_be_visible()


def test_a_command_that_cannot_be_understood_is_answered_under_it(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    ada = open_tab(server.url)
    enter(ada, "Ada")
    say(ada, "/ask @eve why?")
    expect(ada.locator(".log .pending")).to_contain_text("There is no model @eve here")


def test_html_and_addresses_in_a_question_or_an_answer_do_nothing(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    ada = open_tab(server.url)
    called: list[str] = []
    ada.on("request", lambda request: called.append(request.url))
    enter(ada, "Ada")
    hostile = (
        "<img src='/beacon1' onerror='document.title=1'><script>document.title=2</script> ![x](/beacon2) "
        "[click](javascript:document.title=3) <style>body{display:none}</style> <form action=/x><input></form> **bold**"
    )
    asked = ada.evaluate(
        """async (question) => (await fetch("/api/evaluations", {
            method: "POST", headers: { Authorization: "Bearer " + sessionStorage.getItem("session") },
            body: JSON.stringify({ question, room: "lobby" }) })).status""",
        hostile,
    )
    assert asked == 201
    shown = ada.locator(".message.ours .markdown").first
    expect(shown.locator("strong").first).to_have_text("bold")
    expect(shown.get_by_text("click")).not_to_have_attribute("href", re.compile("."))
    assert shown.locator("img, script, style, form, input").count() == 0
    expect(ada.locator(".evaluation-card[data-revealed=true]")).to_be_visible()
    assert not [url for url in called if "beacon" in url]
    assert ada.title() != "1"
