"""Every program in the pages about the breaker is run, and prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.breaker.http.faulty import FaultyServer

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = sorted(path for path in DOCS.glob("*/*breaker*.md") if path.parent.name in ("tutorial", "howto"))
ADDRESS = "127.0.0.1:8000"


def steps(page: Path) -> list[tuple[str, str]]:
    """The programs of a page, each with what it prints."""
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found: list[tuple[str, str]] = []
    for kind, text in blocks:
        found.append((text, "") if kind == "python" else (found.pop()[0], text))
    return found


def test_there_is_a_tutorial_and_a_page_for_each_task() -> None:
    assert [page.stem for page in PAGES] == [
        "breaker-choose-thresholds",
        "breaker-observe",
        "breaker-share-over-redis",
        "breaker-test-your-code",
        "breaker-wrap-a-client",
        "breaker",
    ]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.redis] if "redis" in page.stem else []) for page in PAGES],
    ids=lambda page: page.stem,
)
def test_a_page_runs_from_top_to_bottom_and_prints_what_it_says(
    page: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    redis = request.getfixturevalue("valkey").port if page.stem == "breaker-share-over-redis" else 0
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    session: dict[str, Any] = {"__name__": "__main__"}
    programs = steps(page)
    assert programs
    for program, expected in programs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(program.replace(ADDRESS, server.host).replace("6379", str(redis)), str(page), "exec"), session)
        assert printed.getvalue() == expected, program
