"""One real Chromium per module, a fresh window per user, and a screenshot of each window when a test fails.

Playwright's synchronous face keeps an event loop running in this thread, so it must be over before the next module:
kept for the session, it would break every asynchronous test that the same worker runs later.
"""

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

FLAGS = [  # no outside connection is ever attempted; root has no sandbox
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = Path(__file__).resolve().parent.parent.parent / "build" / "screenshots"

OpenTab = Callable[[str], Page]
PATIENCE_MS = 60_000  # for what must come, on a machine that is busy; nothing waits so long unless it fails
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take a picture of every open tab of a test that failed."""
    report = yield
    if report.when == "call" and report.failed:
        tabs: list[Page] = item.stash.get(_TABS, [])
        for number, tab in enumerate(tabs):
            if not tab.is_closed():
                SCREENSHOTS.mkdir(parents=True, exist_ok=True)
                tab.screenshot(path=SCREENSHOTS / f"{item.name}-{number}.png")
    return report


_TABS: pytest.StashKey[list[Page]] = pytest.StashKey()


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """One window: its tabs share what is remembered for the site, but not what belongs to a tab."""
    context = browser.new_context(viewport={"width": 1100, "height": 700})
    yield context
    context.close()


@pytest.fixture
def open_tab(window: BrowserContext, request: pytest.FixtureRequest) -> OpenTab:
    """Open an address in a new tab; whatever goes wrong in its scripts fails the test."""
    tabs: list[Page] = []
    request.node.stash[_TABS] = tabs

    def opened(url: str) -> Page:
        tab = window.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("pageerror", lambda error: pytest.fail(f"the page's script failed: {error}"))
        tabs.append(tab)
        tab.goto(url)
        return tab

    return opened
