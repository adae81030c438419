"""Rooms, history and recovery on real sockets: what other chat servers were measured to lose, and this one must not.

Each of these was somebody's bug: sessions that recover once, or not after silence, or not in a room without a message;
messages that vanish between a picture and the first push; refused ones that the sender still sees; members that never
leave, or leave with one of two tabs; a server that acknowledges and is "healthy" while nobody gets anything.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from palaver.server.fastpath.ordinary import OrdinaryPath
from palaver.server.log import MemoryLog, Retention, SqliteLog
from tests.faults.server.chatting import ChatServer, chatting, wall_ms
from tests.integration.chat.clients import Client, Frame, guest
from tests.integration.chat.test_limits import Clock
from tests.unit.server.http.site import serving
from tests.unit.server.serving import until

SETTINGS = ChatSettings(
    messages=None,
    room_messages_per_second=None,
    frames_per_second=None,
    ip_connects_per_second=None,
    presence_interval_seconds=0.01,
    leave_grace_seconds=0.2,
)
YEAR_SECONDS = 365 * 86_400.0


@contextlib.asynccontextmanager
async def chat(directory: Path, clock: Clock | None = None, **changes: Any) -> AsyncIterator[tuple[str, ChatServer]]:
    """A server on SQLite in this process; yields its URL and itself."""
    settings = dataclasses.replace(SETTINGS, **changes)
    retention = Retention(settings.history, settings.history_age_seconds)
    log = SqliteLog(directory, retention, now_ms=wall_ms)
    options: Any = {} if clock is None else {"clock": clock}
    async with chatting(Bounds(frames_per_second=None), settings, log=log, **options) as server:
        yield f"http://127.0.0.1:{server.port}", server


def seqs(frames: list[Frame]) -> list[int]:
    return [frame["seq"] for frame in frames]


async def say(client: Client, count: int, room: str = "r") -> None:
    for number in range(count):
        await client.done("send", room=room, text=f"line {number}")


async def test_a_join_among_sends_on_their_way_is_one_picture_without_hole_or_overlap(tmp_path: Path) -> None:
    async with chat(tmp_path, history=1_000) as (url, _):
        ada = await guest(url, "ada", "r", max_size=None)
        joiners = [await guest(url, f"joiner{index}", max_size=None) for index in range(8)]
        for number in range(300):  # pipelined, so that every join falls among commits
            await ada.say("send", room="r", text=f"line {number}")
        pictures = [await joiner.done("join", room="r") for joiner in joiners]
        assert pictures[0]["seq"] < 300, "the first joined while messages were on their way"
        for joiner, picture in zip(joiners, pictures, strict=True):
            got = seqs(picture["messages"])
            while got[-1:] != [300] if got else True:
                got.append((await joiner.push("message"))["seq"])
            assert got == list(range(got[0], 301))
            await joiner.socket.close()
        await ada.socket.close()


async def test_fifty_fast_reconnects_while_others_talk_lose_and_double_nothing(tmp_path: Path) -> None:
    """The old connection sometimes still hangs when the new one is there."""
    async with chat(tmp_path, history=10_000, leave_grace_seconds=60.0) as (url, _):
        bob = await guest(url, "bob", "r", max_size=None)
        ada = await guest(url, "ada", max_size=None)
        session = ada.me["session"]
        picture = await ada.done("join", room="r")
        position = {"epoch": picture["epoch"], "seq": picture["seq"]}
        got: list[int] = []
        talking = asyncio.create_task(say(bob, 200))
        for attempt in range(50):
            for _ in range(attempt % 4):
                with contextlib.suppress(TimeoutError):
                    message = await asyncio.wait_for(ada.push("message"), 0.01)
                    got.append(message["seq"])
                    position["seq"] = message["seq"]
            old, ada = ada, await guest(url, "ada", session=session, max_size=None)
            if attempt % 3:
                old.socket.transport.abort()
            picture = await ada.done("join", room="r", since=position)
            assert picture["recovered"] == "full"
            got += seqs(picture["messages"])
            position["seq"] = picture["seq"]
            if not attempt % 3:
                old.socket.transport.abort()
        await talking
        while position["seq"] < 200:
            position["seq"] = (await ada.push("message"))["seq"]
            got.append(position["seq"])
        assert got == list(range(1, 201))
        left = [push for push in bob.pushes if push["type"] == "presence" and push["left"]]
        assert left == [], "a reconnect within the grace period is no event"
        for client in (ada, bob):
            await client.socket.close()


async def test_a_position_is_good_after_years_of_silence(tmp_path: Path) -> None:
    clock = Clock()
    async with chat(tmp_path, clock, heartbeat_interval_seconds=3_600.0) as (url, server):
        ada = await guest(url, "ada", "r", "quiet")
        first = await ada.done("send", room="r", text="one")
        await ada.done("send", room="r", text="two")
        session = ada.me["session"]
        await ada.socket.close()
        await until(lambda: not server.shell.connections)
        clock.now += 3 * YEAR_SECONDS
        server.shell._tick()
        await until(lambda: not server.engine.state.rooms)
        ada = await guest(url, "ada", session=session)
        position = {"epoch": first["epoch"], "seq": 1}
        missed = await ada.done("join", room="r", since=position)
        assert (missed["recovered"], seqs(missed["messages"])) == ("full", [2])
        nothing = await ada.done("join", room="quiet", since=position | {"seq": 0})
        assert (nothing["recovered"], nothing["messages"]) == ("full", [])
        await ada.socket.close()


@pytest.mark.parametrize("in_memory", [True, False])
async def test_what_is_gone_is_named_exactly_and_what_is_kept_comes(tmp_path: Path, in_memory: bool) -> None:
    """Also when the room has to be read from the disk first."""
    async with chat(tmp_path, history=10, leave_grace_seconds=0.0) as (url, server):
        bob = await guest(url, "bob", "r")
        epoch = (await bob.done("join", room="r"))["epoch"]
        await say(bob, 25)
        if not in_memory:
            await bob.socket.close()
            await until(lambda: not server.engine.state.rooms)
        ada = await guest(url, "ada")
        for since, recovered, gap in [
            (25, "full", None),
            (15, "full", None),
            (14, "gap", {"from": 15, "to": 15, "reason": "retention"}),
            (0, "gap", {"from": 1, "to": 15, "reason": "retention"}),
        ]:
            for _ in range(2):  # a position is not used up
                picture = await ada.done("join", room="r", since={"epoch": epoch, "seq": since})
                assert (picture["recovered"], picture.get("gap")) == (recovered, gap)
                assert seqs(picture["messages"]) == list(range(max(since, 15) + 1, 26))
        other = await ada.done("join", room="r", since={"epoch": "another", "seq": 3})
        assert other["gap"]["reason"] == "epoch"
        for client in (ada, bob):
            await client.socket.close()


async def test_history_comes_in_pages_both_ways_and_says_when_it_is_complete(tmp_path: Path) -> None:
    async with chat(tmp_path, history=250) as (url, _):
        bob = await guest(url, "bob", "r")
        await say(bob, 260)
        back: list[int] = []
        complete = False
        while not complete:
            page = await bob.done("history", room="r", limit=40, **({"before": back[0]} if back else {}))
            assert len(page["messages"]) == 40 or page["complete"]
            back, complete = seqs(page["messages"]) + back, page["complete"]
        assert back == list(range(11, 261))
        forth = await bob.done("history", room="r", after=0, limit=100)
        assert (seqs(forth["messages"]), forth["complete"]) == (list(range(11, 111)), False)
        forth = await bob.done("history", room="r", after=200)
        assert (seqs(forth["messages"]), forth["complete"]) == (list(range(201, 261)), True)
        await bob.socket.close()


async def test_what_was_refused_is_shown_to_nobody_not_even_its_sender(tmp_path: Path) -> None:
    async with chat(tmp_path, messages=2) as (url, _):
        ada, bob = await guest(url, "ada", "r"), await guest(url, "bob", "r")
        answers = [await ada.ask("send", room="r", text=f"text {number}") for number in range(6)]
        assert [answer["type"] for answer in answers] == ["ack", "ack", *["error"] * 4]
        await bob.done("send", room="r", text="the end")
        for client in (ada, bob):
            shown = [(await client.push("message"))["text"] for _ in range(3)]
            assert shown == ["text 0", "text 1", "the end"]
        history = await bob.done("history", room="r")
        assert [message["text"] for message in history["messages"]] == shown
        for client in (ada, bob):
            await client.socket.close()


async def test_one_of_two_tabs_is_no_leave_and_the_last_one_is_one(tmp_path: Path) -> None:
    async with chat(tmp_path, leave_grace_seconds=0.05) as (url, server):
        bob = await guest(url, "bob", "r")
        await until(lambda: not server.engine.state.rooms["r"].changes)
        tab = await guest(url, "ada", "r")
        other = await guest(url, "ada", "r", session=tab.me["session"])
        assert [user["name"] for user in (await bob.push("presence"))["joined"]] in (["bob"], ["ada"])
        picture = await other.done("join", room="r")
        assert sorted(user["name"] for user in picture["members"]) == ["ada", "bob"]
        assert picture["member_count"] == 2
        third = await guest(url, "ada", "r", session=tab.me["session"])
        await third.done("leave", room="r")
        await third.socket.close()
        await until(lambda: len(server.shell.connections) == 3)
        assert len(server.engine.state.rooms["r"].members) == 2, "who leaves in one tab is still there in the others"
        tab.socket.transport.abort()
        await until(lambda: len(server.shell.connections) == 2)
        clock = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > clock + 0.1)  # twice the grace period
        assert len(server.engine.state.rooms["r"].members) == 2
        await bob.done("ping")
        assert not any(push["left"] for push in bob.pushes if push["type"] == "presence")
        other.socket.transport.abort()
        while not (left := (await bob.push("presence"))["left"]):
            pass
        assert [user["name"] for user in left] == ["ada"]
        await bob.socket.close()


async def test_who_goes_and_comes_within_one_batch_is_in_one_list_or_none(tmp_path: Path) -> None:
    async with chat(tmp_path, presence_interval_seconds=1.0) as (url, server):
        bob, ada = await guest(url, "bob", "r"), await guest(url, "ada", "r")
        await until(lambda: not server.engine.state.rooms["r"].changes)
        await ada.done("leave", room="r")
        await ada.done("join", room="r")
        await ada.done("leave", room="r")
        await until(lambda: not server.engine.state.rooms["r"].changes)
        await bob.done("ping")
        presence = [push for push in bob.pushes if push["type"] == "presence"]
        for push in presence:
            assert not {user["id"] for user in push["joined"]} & {user["id"] for user in push["left"]}
        assert sum(len(push["left"]) for push in presence) == 1
        for client in (ada, bob):
            await client.socket.close()


async def test_an_empty_room_costs_nothing_but_its_history_and_its_numbers_go_on(tmp_path: Path) -> None:
    async with chat(tmp_path, leave_grace_seconds=0.0) as (url, server):
        for life in range(3):
            ada = await guest(url, "ada", *(f"r{number}" for number in range(50)))
            assert len(server.engine.state.rooms) == 50
            for number in range(50):
                assert (await ada.done("send", room=f"r{number}", text="x"))["seq"] == life + 1
            await ada.socket.close()
            await until(lambda: not server.engine.state.rooms and server.shell.fanout.rooms == 0)


async def test_a_server_that_acknowledges_and_delivers_nothing_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, aiohttp.ClientSession(site.url) as http:
        async with http.get("/health/ready") as response:
            assert response.status == 200
        site.services.shell.fast_path = OrdinaryPath()  # the one whose parts can be replaced
        site.services.canary.last = None  # it need not wait until its last flight is too old to count
        perform: Any = site.services.shell.performer._perform_one
        broadcast = next(kind for kind in perform if kind.__name__ == "Broadcast")
        deliver, perform[broadcast] = perform[broadcast], lambda _effect: None
        ada = await guest(site.url, "ada", "r")
        assert (await ada.ask("send", room="r", text="hello"))["type"] == "ack"
        async with http.get("/health/ready") as response:
            assert response.status == 503
        async with http.get("/health/live") as response:
            assert response.status == 200
        perform[broadcast] = deliver
        await ada.socket.close()


class StuckDisk(MemoryLog):
    """Commits nothing while it is stuck."""

    stuck = False

    def _flush(self) -> None:
        if not self.stuck:
            super()._flush()


async def test_while_the_disk_hangs_everybody_hears_unavailable_and_nobody_is_cut_off() -> None:
    log = StuckDisk(Retention(100), now_ms=wall_ms)
    beats = dataclasses.replace(SETTINGS, heartbeat_interval_seconds=0.2, heartbeat_timeout_seconds=1.0)
    bounds = Bounds(frames_per_second=None, log_seconds=2.0)  # longer than an answer to a ping may take
    async with chatting(bounds, beats, log=log) as server:
        url = f"http://127.0.0.1:{server.port}"
        ada, bob = await guest(url, "ada", "r"), await guest(url, "bob", "r")
        log.stuck = True
        waiting = await ada.say("send", room="r", text="one", cid="c1")
        error = await bob.ask("join", room="elsewhere")
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        assert error["retry_after_ms"] > 0
        error = await bob.ask("send", room="r", text="two", cid="c2")
        assert error["code"] == "unavailable"
        log.stuck = False
        log._flush()
        assert (await ada.answer(waiting))["seq"] == 1, "it was stored in the end, and that is what its sender hears"
        assert (await bob.done("join", room="elsewhere"))["seq"] == 0
        assert (await bob.done("send", room="r", text="two", cid="c2"))["seq"] == 2
        assert server.shell.stats.closed[4102] == 0
        for client in (ada, bob):
            await client.socket.close()


async def test_a_clients_own_pings_are_answered_and_kill_nothing(tmp_path: Path) -> None:
    async with chat(tmp_path) as (url, _):
        ada = await guest(url, "ada", "r")
        for payload in (b"", b"x" * 125):
            await asyncio.wait_for(await ada.socket.ping(payload), 30)
        answer = await ada.done("ping")
        assert isinstance(answer["time"], int)
        await ada.socket.close()
