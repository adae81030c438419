"""Every limit on real sockets, with a clock that only a test moves: refused, told how long, then accepted."""

import contextlib
import dataclasses
import random
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest

from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from tests.faults.server.chatting import ChatServer, chatting
from tests.integration.chat.clients import Client, Frame, dial, guest

_SETTINGS = ChatSettings(
    room_messages_per_second=None,
    frames_per_second=None,
    ip_connects_per_second=None,
    ip_unauthenticated_frames_per_second=None,
    heartbeat_interval_seconds=3_600.0,
    auth_timeout_seconds=3_600.0,
    leave_grace_seconds=0.0,
)


class Clock:
    """Monotonic seconds, as many as the test says."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def limited(**changes: Any) -> AsyncIterator[tuple[str, Clock, ChatServer]]:
    clock = Clock()
    settings = dataclasses.replace(_SETTINGS, **changes)
    async with chatting(Bounds(frames_per_second=None), settings, clock=clock) as server:
        yield f"http://127.0.0.1:{server.port}", clock, server


async def send(client: Client, room: str = "r") -> Frame:
    return await client.ask("send", room=room, text="hello")


async def test_the_sixth_message_in_any_rolling_second_is_refused_until_the_time_it_was_told() -> None:
    async with limited() as (url, clock, _):
        ada = await guest(url, "ada", "r", "other")
        phone = await guest(url, "ada", "r", session=ada.me["session"])
        for eighth in range(5):  # over rooms and connections
            clock.now = 1_000.0 + eighth / 8
            ack = await send((ada, phone)[eighth % 2], ("r", "other")[eighth % 2] if not eighth % 2 else "r")
            assert ack["rate"]["remaining"] == 4 - eighth
            assert ack["rate"]["reset_ms"] == 1_000
        clock.now = 1_000.625
        for client in (ada, phone):  # what is refused does not count, however often it is tried
            for _ in range(3):
                refused = await send(client)
                assert (refused["code"], refused["scope"], refused["retryable"]) == ("rate_limited", "user", True)
                assert refused["retry_after_ms"] == 375
        clock.now = 1_000.9995
        assert (await send(phone))["retry_after_ms"] == 1
        clock.now = 1_001.0
        assert (await send(phone))["type"] == "ack", "after `retry_after_ms` it is accepted"
        assert (await send(ada))["retry_after_ms"] == 125, "the second of the five leaves the window at 1,001.125"
        for client in (ada, phone):
            await client.socket.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_at_random_times_the_limit_is_exactly_that_of_a_rolling_second(seed: int) -> None:
    chance = random.Random(seed)
    async with limited() as (url, clock, _):
        ada = await guest(url, "ada", "r")
        accepted: deque[float] = deque()
        for _ in range(300):
            clock.now += chance.choice((0.0, 0.01, 0.1, 0.2, 0.25, 0.7))
            while accepted and accepted[0] + 1.0 <= clock.now:
                accepted.popleft()
            answer = await send(ada)
            assert (answer["type"] == "ack") == (len(accepted) < 5)
            if answer["type"] == "ack":
                accepted.append(clock.now)
            else:
                assert 0 <= answer["retry_after_ms"] / 1000 - (accepted[0] + 1.0 - clock.now) < 0.0011
        await ada.socket.close()


async def test_a_guest_gains_nothing_by_coming_back_or_by_another_name() -> None:
    async with limited() as (url, clock, _):
        accepted, session = 0, None
        for attempt in range(12):
            clock.now += 0.05
            renamed = f"name{attempt}" if attempt % 2 else "ada"
            client = await guest(url, renamed, "r", session=session if attempt % 3 == 0 else None)
            session = client.me["session"]
            accepted += [(await send(client))["type"] for _ in range(3)].count("ack")
            again = await client.ask("auth", name=f"again{attempt}", session=session)  # renamed on the same connection
            assert again["type"] == "ack"
            accepted += [(await send(client))["type"] for _ in range(3)].count("ack")
            await client.socket.close()
        assert accepted == 5


async def test_connects_from_one_address_are_limited_and_the_told_time_is_enough() -> None:
    async with limited(ip_connects_per_second=2) as (url, clock, _):
        clients = [await dial(url) for _ in range(20)]  # a burst of ten times the rate
        refused = await dial(url, greeted=False)
        error = await refused.hear()
        assert (error["code"], error["scope"], error["retry_after_ms"]) == ("rate_limited", "ip", 500)
        assert (await refused.end())[0] == 4110
        clock.now += 0.499
        assert (await (await dial(url, greeted=False)).hear())["retry_after_ms"] == 1
        clock.now += 0.001
        clients.append(await dial(url))
        for client in clients:
            await client.socket.close()


async def test_frames_before_auth_are_limited_by_address_over_all_connections() -> None:
    async with limited(ip_unauthenticated_frames_per_second=1) as (url, clock, _):
        one, two = await dial(url), await dial(url)
        for _ in range(5):
            assert (await one.ask("auth", name="."))["code"] == "invalid_name"
            assert (await two.ask("auth", name="."))["code"] == "invalid_name"
        error = await two.ask("auth", name="ada")
        assert (error["code"], error["scope"], error["retry_after_ms"]) == ("rate_limited", "ip", 1_000)
        clock.now += 1.0
        assert (await two.ask("auth", name="ada"))["type"] == "ack"
        for _ in range(30):
            assert (await two.ask("ping"))["type"] == "ack", "who is known does not count against the address"
        for client in (one, two):
            await client.socket.close()


async def test_frames_of_one_connection_are_limited_and_those_of_another_are_not() -> None:
    async with limited(frames_per_second=8) as (url, clock, _):
        ada, bob = await guest(url, "ada"), await guest(url, "bob")
        for _ in range(15):  # a burst of twice the rate, of which `auth` was one
            assert (await ada.ask("ping"))["type"] == "ack"
        error = await ada.ask("ping")
        assert (error["code"], error["scope"], error["retry_after_ms"]) == ("rate_limited", "connection", 125)
        assert (await bob.ask("ping"))["type"] == "ack"
        clock.now += 0.125
        assert (await ada.ask("ping"))["type"] == "ack"
        for client in (ada, bob):
            await client.socket.close()


async def test_messages_of_one_room_are_limited_and_those_of_another_are_not() -> None:
    async with limited(room_messages_per_second=4, messages=None) as (url, clock, _):
        ada, bob = await guest(url, "ada", "r", "calm"), await guest(url, "bob", "r")
        for client in (ada, bob, ada, bob):
            assert (await send(client))["type"] == "ack"
        error = await send(bob)
        assert (error["code"], error["scope"], error["retry_after_ms"]) == ("rate_limited", "room", 250)
        assert (await send(ada, "calm"))["type"] == "ack"
        clock.now += 0.25
        assert (await send(bob))["type"] == "ack"
        for client in (ada, bob):
            await client.socket.close()


async def test_off_is_off() -> None:
    async with limited(messages=None) as (url, _, _):
        ada = await guest(url, "ada", "r")
        answers = [await send(ada) for _ in range(200)]
        assert {answer["type"] for answer in answers} == {"ack"}
        assert answers[-1]["rate"] is None
        await ada.socket.close()
