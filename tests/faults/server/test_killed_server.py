"""kill -9 to a whole `palaver serve` while clients talk: nothing acknowledged is lost, doubled or renumbered.

The clients follow the protocol and keep what they need over each death: their session, their position, and the sends
that were not acknowledged. Any acknowledgement may be what the kill took.
"""

import asyncio
import contextlib
import random
import signal
from itertools import count
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.chat.clients import Client, Frame, guest
from tests.integration.serve.process import serving

FLAGS = (
    *("--messages-per-second", "off", "--room-messages-per-second", "off", "--frames-per-second", "off"),
    *("--ip-connects-per-second", "off", "--history", "100000", "--leave-grace", "0"),
)
IN_FLIGHT = 20
KILLS = 4
MOST_KILLS = 24


class Goal:
    """When to kill, and when enough was said."""

    def __init__(self) -> None:
        self.open = True
        self.acks = 0
        self.kill_at = 0
        self.reached = asyncio.Event()

    def acked(self) -> None:
        self.acks += 1
        if self.acks >= self.kill_at:
            self.reached.set()


class Person:
    """One person over all lives of the server."""

    def __init__(self, name: str, goal: Goal) -> None:
        self.name = name
        self.session: str | None = None
        self.position: Frame | None = None
        self.seen: list[tuple[int, str]] = []  # every message, in the order it came
        self.unacknowledged: dict[str, str] = {}  # cid -> text
        self.acknowledged: dict[str, int] = {}  # text -> seq
        self.told_by_join = 0  # sends that were stored, and whose acknowledgement the kill took
        self._goal = goal
        self._numbers = count()

    async def live(self, url: str) -> None:
        """Talk until the server is gone, or until there is nothing more to say."""
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            client = await guest(url, self.name, session=self.session, max_size=None)
            self.session = client.me["session"]
            async with client.socket:
                await self._join(client)
                await self._talk(client)

    async def _join(self, client: Client) -> None:
        since = {} if self.position is None else {"since": self.position}
        picture = await client.done("join", room="r", sent=list(self.unacknowledged), **since)
        assert picture["recovered"] == ("full" if since else "none")
        if not since:
            self.position = {"epoch": picture["epoch"], "seq": picture["seq"] - len(picture["messages"])}
        for message in picture["messages"]:
            self._take(message)
        assert self.position == {"epoch": picture["epoch"], "seq": picture["seq"]}
        for cid, fate in picture.get("sent", {}).items():
            if fate is not None:
                self.told_by_join += 1
                self._acknowledge(cid, fate["seq"])

    async def _talk(self, client: Client) -> None:
        again, asked = list(self.unacknowledged), dict[str, str]()
        while True:
            while again or (len(self.unacknowledged) < IN_FLIGHT and self._goal.open):
                cid = again.pop() if again else f"{self.name}-{next(self._numbers)}"
                text = self.unacknowledged.setdefault(cid, f"text of {cid}")
                asked[await client.say("send", room="r", text=text, cid=cid)] = cid
            if not self.unacknowledged:
                return
            frame = client.pushes.pop(0) if client.pushes else await client.hear()
            if frame["type"] == "message":
                self._take(frame)
            elif frame["type"] == "ack":
                assert frame["durability"] == "disk"
                self._acknowledge(asked[frame["re"]], frame["seq"])
                self._goal.acked()

    def _take(self, message: Frame) -> None:
        assert self.position is not None
        assert message["seq"] == self.position["seq"] + 1, "every message once, in order, over every death"
        self.seen.append((message["seq"], message["text"]))
        self.position = {"epoch": message["epoch"], "seq": message["seq"]}

    def _acknowledge(self, cid: str, seq: int) -> None:
        text = self.unacknowledged.pop(cid)
        assert self.acknowledged.setdefault(text, seq) == seq


async def everything(url: str) -> list[tuple[int, str]]:
    """All that is kept, page by page."""
    client = await guest(url, "auditor", max_size=None)
    kept: list[tuple[int, str]] = []
    complete = False
    while not complete:
        page = await client.done("history", room="r", after=kept[-1][0] if kept else 0)
        kept += [(message["seq"], message["text"]) for message in page["messages"]]
        complete = page["complete"]
    await client.socket.close()
    return kept


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_doubled_or_renumbered_by_killing_the_server(tmp_path: Path) -> None:
    chance, goal = random.Random(9), Goal()
    people = [Person(name, goal) for name in ("ada", "bob", "cyd")]
    for kill in range(MOST_KILLS):
        if kill >= KILLS and any(person.told_by_join for person in people):
            break  # at least one kill came between the store and an acknowledgement, which is what this is about
        with serving(*FLAGS, cwd=tmp_path) as server:
            goal.reached.clear()
            goal.kill_at = goal.acks + chance.randrange(50, 400)
            lives = [asyncio.create_task(person.live(server.url)) for person in people]
            reached = asyncio.create_task(goal.reached.wait())
            await asyncio.wait((reached, *lives), return_when=asyncio.FIRST_COMPLETED)
            server.process.send_signal(signal.SIGKILL)
            await asyncio.gather(reached, *lives)
    goal.open = False
    with serving(*FLAGS, cwd=tmp_path) as server:
        await asyncio.gather(*(person.live(server.url) for person in people))
        kept = await everything(server.url)
    assert [seq for seq, _ in kept] == list(range(1, len(kept) + 1))
    said = {text: seq for person in people for text, seq in person.acknowledged.items()}
    assert {text: seq for seq, text in kept} == said, "each is stored once, and nothing else is"
    for person in people:
        assert person.seen == kept[kept.index(person.seen[0]) : person.seen[-1][0]]
    assert sum(person.told_by_join for person in people) > 0, "no kill took an acknowledgement: kill elsewhere"


async def test_a_position_is_good_over_a_kill_for_ever_and_for_a_room_without_a_message(tmp_path: Path) -> None:
    with serving(*FLAGS, cwd=tmp_path) as server:
        ada = await guest(server.url, "ada")
        quiet = await ada.done("join", room="quiet")
        await ada.done("join", room="busy")
        first = await ada.done("send", room="busy", text="one", cid="c1")
        server.end(signal.SIGKILL)
    position = {"epoch": first["epoch"], "seq": first["seq"]}
    with serving(*FLAGS, cwd=tmp_path) as server:
        bob = await guest(server.url, "bob", "busy")
        for text in ("two", "three"):
            await bob.done("send", room="busy", text=text)
        for _ in range(2):  # twice in a row, on two connections: a position is not used up
            ada = await guest(server.url, "ada", session=ada.me["session"])
            nothing = await ada.done("join", room="quiet", since={"epoch": quiet["epoch"], "seq": 0})
            assert (nothing["recovered"], nothing["messages"], nothing["seq"]) == ("full", [], 0)
            missed = await ada.done("join", room="busy", since=position, sent=["c1", "c2"])
            assert (missed["recovered"], missed["sent"]) == ("full", {"c1": {"seq": 1}, "c2": None})
            assert [(one["seq"], one["text"]) for one in missed["messages"]] == [(2, "two"), (3, "three")]
            await ada.socket.close()
        again = await guest(server.url, "ada", "busy", session=ada.me["session"])
        repeated = await again.done("send", room="busy", text="one", cid="c1")
        assert (repeated["duplicate"], repeated["seq"], repeated["mid"]) == (True, 1, first["mid"])
        await again.socket.close()
        await bob.socket.close()
