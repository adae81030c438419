"""Verdicts, one for each token; none for who has gone."""

import asyncio
from collections.abc import Awaitable

from palaver.chat.effects import Connection
from palaver.chat.identity import Refusal
from palaver.server.stats import Stats
from palaver.server.verification import Verdict, Verification, Verify
from tests.unit.server.serving import until

NO = Refusal("invalid_token", "No.")


class Peer:
    """Stands for a connection."""


def verification(verify: Verify, limit: int = 2) -> tuple[Verification, list[tuple[Connection, str, Verdict]], Stats]:
    heard: list[tuple[Connection, str, Verdict]] = []
    stats = Stats()
    made = Verification(verify, lambda *verdict: heard.append(verdict), limit=limit, stats=stats, clock=lambda: 0.0)
    return made, heard, stats


async def test_a_verdict_that_is_known_is_told_at_once() -> None:
    made, heard, _stats = verification(lambda token: NO)
    peer = Peer()
    made.begin(peer, "a1", "token")
    assert heard == [(peer, "a1", NO)]
    assert len(made) == 0


async def test_what_raises_is_unavailable_at_once_and_later() -> None:
    async def fail() -> Verdict:
        raise RuntimeError("broken")

    def later(token: str) -> Awaitable[Verdict]:
        if token == "now":
            raise RuntimeError("broken")
        return fail()

    made, heard, stats = verification(later)
    made.begin(Peer(), "a1", "now")
    made.begin(Peer(), "a2", "later")
    await until(lambda: len(heard) == 2 and not len(made))
    assert [(re, verdict.code) for _peer, re, verdict in heard if isinstance(verdict, Refusal)] == [
        ("a1", "unavailable"),
        ("a2", "unavailable"),
    ]
    assert (len(made), stats.authentications) == (0, 0)


async def test_one_more_than_the_limit_is_refused_and_the_others_are_told() -> None:
    known: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    made, heard, stats = verification(lambda token: asyncio.shield(known))
    for number in range(3):
        made.begin(Peer(), f"a{number}", "token")
    assert [re for _peer, re, _verdict in heard] == ["a2"]
    assert (len(made), stats.authentications) == (2, 2)
    known.set_result(NO)
    await until(lambda: not len(made))
    assert [(re, verdict) for _peer, re, verdict in heard[1:]] == [("a0", NO), ("a1", NO)]
    assert stats.authentications == 0


async def test_who_is_forgotten_hears_nothing_and_the_others_do() -> None:
    known: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    made, heard, _stats = verification(lambda token: asyncio.shield(known))
    gone, stays = Peer(), Peer()
    made.begin(gone, "a1", "token")
    made.begin(stays, "a2", "token")
    made.forget(gone)
    await asyncio.sleep(0)
    known.set_result(NO)
    await until(lambda: not len(made))
    assert [re for _peer, re, _verdict in heard] == ["a2"]


async def test_closing_ends_every_task_and_tells_nobody() -> None:
    made, heard, stats = verification(lambda token: asyncio.get_running_loop().create_future())
    made.begin(Peer(), "a1", "token")
    await made.close()
    await asyncio.sleep(0)
    assert (heard, len(made), stats.authentications) == ([], 0, 0)
