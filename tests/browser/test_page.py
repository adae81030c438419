"""The page in a real browser against the real server, which is killed and restarted under it."""

import asyncio
import signal
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from palaver.client import connect
from tests.browser.conftest import OpenTab
from tests.integration.serve.process import Server, palaver, serving
from tests.ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server, or start it again on the same port and data."""
    with ExitStack() as stack:

        def start(*options: str, port: str | None = None) -> Server:
            fixed = ("--port", port or str(free_port()), "--drain-window", "0.5", "--history", "20")
            return stack.enter_context(serving(*fixed, *options, cwd=tmp_path))

        yield start


def port_of(server: Server) -> str:
    return server.url.rpartition(":")[2]


def enter(tab: Page, name: str) -> None:
    tab.get_by_label("Your name").fill(name)
    tab.keyboard.press("Enter")
    ready(tab)


def ready(tab: Page) -> None:
    expect(tab.get_by_role("status")).to_have_attribute("data-state", "ready")


def say(tab: Page, text: str) -> None:
    box = tab.get_by_label("Message to ")
    box.fill(text)
    box.press("Enter")


def shown(tab: Page, *texts: str) -> None:
    """Exactly these messages stand in the log, in this order, and nothing is still on its way."""
    expect(tab.locator(".log article:not(.pending) > p")).to_have_text(list(texts))
    expect(tab.locator(".log .pending")).to_have_count(0)


def from_elsewhere(url: str, texts: list[str]) -> None:
    """Somebody without a browser says this in the lobby."""

    async def talk() -> None:
        async with connect(url, name="Carl") as carl:
            room = await carl.join("lobby").joined()
            for text in texts:
                await room.send(text)
            room.leave()

    with ThreadPoolExecutor(1) as elsewhere:  # this thread's event loop is the browser's
        elsewhere.submit(asyncio.run, talk()).result()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_two_tabs_chat_over_a_restart_and_nothing_is_lost_or_doubled(
    serve: Serve, open_tab: OpenTab, number: int
) -> None:
    server = serve()
    ada, bob = open_tab(server.url), open_tab(server.url)
    enter(ada, "Ada")
    enter(bob, "Bob")
    expect(ada.get_by_label("Members").get_by_role("listitem")).to_have_text(["Ada (you)", "Bob"])
    say(ada, "before")
    shown(bob, "before")
    server.end(number)
    expect(bob.get_by_role("status")).to_contain_text("Connection lost")
    say(bob, "while it was away")
    expect(bob.locator(".log .pending")).to_contain_text("Sending…")
    serve(port=port_of(server))
    ready(ada)
    ready(bob)
    say(ada, "after")
    for tab in (ada, bob):
        expect(tab.locator(".log")).to_contain_text("after")
        expect(tab.locator(".log article:not(.pending)")).to_have_count(3)
    texts = ada.locator(".log article > p").all_inner_texts()
    assert sorted(texts) == ["after", "before", "while it was away"]
    assert bob.locator(".log article > p").all_inner_texts() == texts, "both read the same order"


def test_the_largest_picture_of_a_room_is_shown(serve: Serve, open_tab: OpenTab) -> None:
    server = serve("--history", "100", "--messages-per-second", "off", "--frames-per-second", "off")
    from_elsewhere(server.url, ["\U0001f9d1" * 4_000] * 100)
    ada = open_tab(server.url)
    enter(ada, "Ada")
    expect(ada.locator(".log article:not(.pending)")).to_have_count(100)


def test_a_reload_keeps_the_name_the_rooms_and_the_messages(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    ada = open_tab(server.url)
    enter(ada, "Ada")
    ada.get_by_label("Join a room").fill("garden")
    ada.get_by_label("Join a room").press("Enter")
    expect(ada.get_by_role("heading", name="garden")).to_be_visible()
    say(ada, "roses")
    shown(ada, "roses")
    ada.reload()
    ready(ada)
    shown(ada, "roses")
    expect(ada.locator(".you .name")).to_have_text("Ada")
    expect(ada.get_by_label("Rooms").get_by_role("link")).to_have_text(["lobby", "garden"])
    expect(ada.get_by_label("Members").get_by_role("listitem")).to_have_text(["Ada (you)"])


def test_messages_that_are_gone_for_good_are_marked_where_they_were(serve: Serve, open_tab: OpenTab) -> None:
    server = serve("--messages-per-second", "off")
    bob = open_tab(server.url)
    enter(bob, "Bob")
    from_elsewhere(server.url, ["seen"])
    shown(bob, "seen")
    bob.context.set_offline(True)
    server.end(signal.SIGKILL)
    expect(bob.get_by_role("status")).to_have_attribute("data-state", "waiting")
    again = serve("--messages-per-second", "off", port=port_of(server))
    from_elsewhere(again.url, [f"missed {number}" for number in range(30)])
    bob.context.set_offline(False)
    ready(bob)
    expect(bob.get_by_role("note")).to_have_text("10 messages not available")
    shown(bob, "seen", *(f"missed {number}" for number in range(10, 30)))
    lines = bob.locator(".log > *")
    expect(lines.nth(1)).to_have_text("10 messages not available")
    expect(bob.get_by_role("status")).to_contain_text("Connected again")


def test_a_taken_name_is_said_and_asked_for_again(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    ada, other = open_tab(server.url), open_tab(server.url)
    enter(ada, "Ada")
    other.get_by_label("Your name").fill("ada")
    other.keyboard.press("Enter")
    expect(other.get_by_role("alert")).not_to_be_empty()
    enter(other, "Bea")
    expect(other.locator(".you .name")).to_have_text("Bea")


def test_where_there_are_no_guests_a_token_lets_in_and_stays_in_its_tab(
    serve: Serve, open_tab: OpenTab, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s" * 48)
    made = palaver("token", "--name", "Ada", "--room", "team", "--token-key", "secret", cwd=tmp_path)
    server = serve("--auth", "token", "--token-key", "secret")
    tab = open_tab(f"{server.url}/#team")
    tab.get_by_label("Your name").fill("Ada")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("Guests are not allowed")
    tab.get_by_label("Your token").fill("nonsense")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("malformed")
    tab.get_by_label("Your token").fill(made.stdout)
    tab.keyboard.press("Enter")
    ready(tab)
    expect(tab.locator(".you .name")).to_have_text("Ada")
    say(tab, "with a token")
    shown(tab, "with a token")
    tab.reload()
    ready(tab)
    shown(tab, "with a token")
    expect(tab.get_by_label("Rooms", exact=True).get_by_role("listitem")).to_have_count(1)  # not in the lobby, too
    assert made.stdout.strip() not in tab.url
    assert tab.evaluate("Object.values(localStorage).some((kept) => kept.includes('.'))") is False
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_label("Your token")).to_be_visible()
    assert tab.evaluate("sessionStorage.length") == 0
    tab.get_by_role("button", name="Enter as a guest").click()
    expect(tab.get_by_label("Your name")).to_be_focused()


def test_the_page_can_be_used_by_keyboard_alone_and_says_what_it_is(serve: Serve, open_tab: OpenTab) -> None:
    server = serve()
    tab = open_tab(server.url)
    expect(tab.get_by_label("Your name")).to_be_focused()
    tab.keyboard.type("Ada")
    tab.keyboard.press("Enter")
    expect(tab.get_by_label("Message to lobby")).to_be_focused()
    tab.keyboard.type("two lines")
    tab.keyboard.press("Shift+Enter")
    tab.keyboard.type("<b>not bold</b>")
    tab.keyboard.press("Enter")
    shown(tab, "two lines\n<b>not bold</b>")
    expect(tab.get_by_role("log", name="Messages in lobby")).to_be_visible()
    tab.keyboard.press("Shift+Tab")
    expect(tab.get_by_role("log")).to_be_focused()


def test_the_page_is_served_with_a_policy_that_forbids_inline_scripts(serve: Serve) -> None:
    with urllib.request.urlopen(serve().url) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
