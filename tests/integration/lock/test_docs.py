"""What the pages about the lock say is so: their programs print what they show, and the tests they name exist."""

import contextlib
import io
import re
import sqlite3
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from palaver.lock import DistributedLock
from tests.valkey import Valkey

pytestmark = pytest.mark.redis

DOCS = Path(__file__).resolve().parents[3] / "docs"
RUN = (
    "tutorial/lock.md",
    "howto/lock-choose-a-ttl.md",
    "howto/lock-migrate-from-redis-py.md",
    "howto/lock-test-your-own-lock.md",
)
PAGES = (*RUN, "howto/lock-fence-sql.md", "explanation/lock-race.md", "explanation/lock-guarantees.md")
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", RUN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the pages do not close their clients
def test_the_programs_of_a_page_print_what_it_says(page: str, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert any(language == "python" for language, _ in blocks)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for number, (language, text) in enumerate(blocks):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text.replace("6379", str(valkey.port)), page, "exec"), vars(module))
        shown = blocks[number + 1 : number + 2]
        expected = shown[0][1] if shown and shown[0][0] == "text" else ""
        assert output.getvalue() == expected


class StaleHolder(Exception):  # noqa: N818 - the page's own name
    """What the page about SQL leaves to the reader."""


def test_the_program_of_the_page_about_sql_writes_once_and_stops_a_stale_holder(valkey: Valkey) -> None:
    blocks = BLOCK.findall((DOCS / "howto/lock-fence-sql.md").read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == ["sql", "sql", "python"]
    table, write, program = (text for _, text in blocks)
    with contextlib.closing(sqlite3.connect(":memory:")) as db, valkey.client() as client:
        db.execute(table)
        names: dict[str, Any] = {
            "db": db,
            "WRITE": write,
            "StaleHolder": StaleHolder,
            "lock": DistributedLock(client, "accounts"),
        }
        exec(compile(program, "howto/lock-fence-sql.md", "exec"), names)
        assert db.execute("SELECT id, balance FROM accounts").fetchall() == [("alice", 4)]
        newer = names["lease"].fence + 1_000_000_000
        db.execute("UPDATE accounts SET balance = 5, fence = ?", (newer,))
        with pytest.raises(StaleHolder):
            exec(compile(program, "howto/lock-fence-sql.md", "exec"), names)
        assert db.execute("SELECT balance, fence FROM accounts").fetchall() == [(5, newer)]
        assert not client.exists("accounts"), "it stopped, and gave the lock back"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_exists_and_so_do_the_tests_it_names(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    links = re.findall(r"\[([^\]\n]+)\]\(([^)#]+)\)", text)
    for shown, target in links:
        path = (DOCS / page).parent / target
        assert path.exists(), f"{page} links to {target}"
        if shown.startswith("test_"):
            assert re.search(rf"^(async )?def {shown}\(", path.read_text(encoding="utf-8"), re.MULTILINE), shown
    for named in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (DOCS.parent / named).exists(), named


def test_every_row_of_the_guarantees_names_its_test() -> None:
    text = (DOCS / "explanation" / "lock-guarantees.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| fault", "| ---"))]
    assert len(rows) >= 17
    for row in rows:
        assert "](../../tests/" in row, row


def test_the_page_about_the_race_shows_the_lock_that_the_demonstration_breaks() -> None:
    shown = (DOCS / "explanation" / "lock-race.md").read_text(encoding="utf-8")
    source = (DOCS.parent / "src/palaver/lock/testing/naive.py").read_text(encoding="utf-8")
    for line in (
        "if self.redis.setnx(self.lock_name, self.token):",
        "self.redis.expire(self.lock_name, self.timeout)",
        "if self.redis.get(self.lock_name) == self.token:",
        "self.redis.delete(self.lock_name)",
    ):
        assert line in shown
        assert line in source
