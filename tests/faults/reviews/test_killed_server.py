"""The server is killed with SIGKILL while a room's evaluation runs, at several moments, and started again."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from palaver.review.folder import Folder
from tests.integration.reviews.rooms import ROOM, Frame, guest, models_file, script
from tests.integration.serve.process import serving
from tests.unit.review import stubs

pytestmark = pytest.mark.slow

CALLS = 3 + 6 + 9  # answers, judgments, hidden controls
IN_FLIGHT = 3


def event(name: str, count: int = 1) -> Callable[[Frame], bool]:
    """Wait for the how-many-th push of a kind."""
    left = [count]

    def wanted(frame: Frame) -> bool:
        left[0] -= frame["type"] == "evaluation" and frame["event"] == name and frame.get("status") != "excluded"
        return left[0] == 0

    return wanted


def said(part: str) -> Callable[[Frame], bool]:
    """Wait for a message of the server."""
    return lambda frame: frame["type"] == "message" and part in (frame["cid"] or "")


MOMENTS = {
    "before the first answer": said(":started"),
    "with an answer": event("answer"),
    "with the first cell": event("cell"),
    "late in judging": event("cell", 5),
    "with the controls open": event("state", 2),
    "as the ranking is said": said(":ranking-"),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed_at_any_moment_it_goes_on_pays_for_open_calls_only_and_says_nothing_twice(
    tmp_path: Path, moment: str
) -> None:
    with stubs.running(tmp_path, script(latency_seconds=0.05)) as stub:
        options = ("--models", str(models_file(tmp_path, stub)), "--evaluation-calls", str(IN_FLIGHT))
        with serving(*options, cwd=tmp_path) as server:
            async with guest(server.url) as ada:
                await ada.say("/ask What is a lease?")
                await ada.until(MOMENTS[moment])
                await asyncio.to_thread(server.end, signal.SIGKILL)
        with serving(*options, cwd=tmp_path) as server:
            async with guest(server.url) as ada, asyncio.timeout(30):
                texts: list[str] = []
                while not any("won with" in text for text in texts):
                    page = await ada.ask("history", room=ROOM)
                    texts = [message["text"] for message in page["messages"]]
                    await asyncio.sleep(0.02)
        names = sorted(message["user"]["name"] for message in page["messages"])
        assert names == ["Ada", "Answer A", "Answer B", "Answer C", "Palaver", "Palaver"]
        assert [message["seq"] for message in page["messages"]] == [1, 2, 3, 4, 5, 6]
        billed = sum(int(account["calls"]) for account in stub.bill().values())
        assert CALLS <= billed <= CALLS + IN_FLIGHT
    folder = next((tmp_path / "palaver-data" / "evaluations").glob("EVAL-*"))
    matrix = Folder(folder, "reader", lambda: 1).matrix()
    assert (matrix.state, len(matrix.scored)) == ("final", 6)
    assert len(list(folder.glob("results-*.json"))) == 1
