"""The shell around a fake engine: order, faults, tokens, HTTP callers, time, the end."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from palaver.chat.effects import Append, Close, Effect, LogResult, Send, Stored
from palaver.chat.identity import Identity
from palaver.chat.records import User
from palaver.chat.rights import Rights
from palaver.server.bounds import Bounds
from palaver.server.caller import CallerRefused
from palaver.server.drain import drain
from palaver.server.shell import Shell
from tests.unit.server.fake_engine import FakeEngine, FakeLog
from tests.unit.server.serving import ask, hear, refuse_all, serving, until

BOTH_LOOPS = True
ADA = Identity(User("u-ada", "ada"), Rights(), None, None)


async def test_a_message_goes_through_the_log_to_everybody_and_is_acked() -> None:
    async with serving() as served, served.connect() as ada, served.connect() as bob:
        for client in (ada, bob):
            await hear(client)
            await ask(client, type="join", room="r")
        assert await ask(ada, type="send", room="r", text="hello") == {"type": "message", "seq": 1, "text": "hello"}
        assert await hear(ada) == {"type": "ack", "re": "1", "seq": 1}
        assert await hear(bob) == {"type": "message", "seq": 1, "text": "hello"}
        assert served.shell.stats.log_jobs == 0


async def test_a_fault_of_the_engine_ends_one_request_with_its_trace_and_nothing_else() -> None:
    async with serving() as served, served.connect() as client:
        await hear(client)
        answer = await ask(client, type="fault")
        assert (answer["type"], answer["re"], answer["code"]) == ("error", "1", "internal")
        assert len(answer["trace"]) == 16
        assert (await ask(client, type="nothing"))["type"] == "ack"
        assert served.shell.stats.faults == 1


async def test_a_fault_of_the_engine_at_the_very_beginning_ends_the_connection() -> None:
    async with serving() as served:
        connected = served.engine.connected

        def fail(connection: object, ip: str, now: float) -> list[Effect]:
            connected(connection, ip, now)
            raise RuntimeError("a fault of the engine")

        served.engine.connected = fail  # type: ignore[method-assign]  # it fails
        async with served.connect() as client:
            assert (await hear(client))["code"] == "internal"
            await client.wait_closed()
            assert client.close_code == 1011


async def test_a_fault_over_one_answer_of_the_log_costs_the_others_nothing() -> None:
    async with serving() as served, served.connect() as client:
        await hear(client)
        await ask(client, type="join", room="r")
        logged = served.engine.logged

        def fail_at_the_second(results: Iterable[LogResult], now: float) -> list[Effect]:
            for result in results:
                assert isinstance(result, Stored)
                if result.job.text == "b":
                    raise RuntimeError("a fault of the engine")
                served.shell.perform(logged([result], now))
            return []

        served.engine.logged = fail_at_the_second  # type: ignore[method-assign]  # it fails
        jobs = [
            Append(next(iter(served.shell.connections)), text, "r", User("u", "u"), text, None, "m", 0)
            for text in "abc"
        ]
        served.shell.perform(list(jobs))
        frames = [await hear(client) for _ in range(5)]
        assert [frame["re"] for frame in frames if frame["type"] == "ack"] == ["a", "c"]
        assert [(frame["re"], frame["code"]) for frame in frames if frame["type"] == "error"] == [("b", "internal")]
        assert served.shell.stats.faults == 1


async def test_an_effect_that_cannot_be_performed_does_not_stop_the_next() -> None:
    async with serving() as served, served.connect() as client:
        await hear(client)
        (connection,) = served.shell.connections
        served.shell.perform([object(), Send(connection, b'{"type":"after"}')])  # type: ignore[list-item]  # no effect
        assert await hear(client) == {"type": "after"}
        assert served.shell.stats.faults == 1


@pytest.mark.parametrize("slow", [False, True])
async def test_a_verdict_goes_to_the_engine_from_a_plain_and_from_an_async_verifier(slow: bool) -> None:
    async def later(_token: str) -> Identity:
        await asyncio.sleep(0)
        return ADA

    async with serving(verify=later if slow else lambda _: ADA) as served, served.connect() as client:
        await hear(client)
        assert (await ask(client, type="auth", token="t"))["user"] == "u-ada"
        assert served.shell.stats.authentications == 0


@pytest.mark.parametrize("slow", [False, True])
async def test_a_verifier_that_fails_is_unavailable(slow: bool) -> None:
    async def later(_token: str) -> Identity:
        raise OSError("the key server is away")

    def now(_token: str) -> Identity:
        raise OSError("the key server is away")

    async with serving(verify=later if slow else now) as served, served.connect() as client:
        await hear(client)
        assert (await ask(client, type="auth", token="t"))["user"] == "unavailable"


async def test_a_verification_ends_with_its_connection() -> None:
    ended = asyncio.Event()

    async def forever(_token: str) -> Identity:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ADA

    async with serving(verify=forever) as served:
        async with served.connect() as client:
            await hear(client)
            await client.send('{"type":"auth","id":"1","token":"t"}')
            await until(lambda: served.shell.stats.authentications == 1)
        await asyncio.wait_for(ended.wait(), 30)
        await until(lambda: served.shell.stats.authentications == 0)
        assert served.engine.verdicts == []
        assert not served.shell.verification


async def test_too_many_verifications_are_unavailable() -> None:
    async def forever(_token: str) -> Identity:
        await asyncio.Event().wait()
        return ADA

    at_most_one = serving(Bounds(authentications=1), verify=forever)
    async with at_most_one as served, served.connect() as first, served.connect() as second:
        for client in (first, second):
            await hear(client)
        await first.send('{"type":"auth","id":"1","token":"t"}')
        await until(lambda: served.shell.stats.authentications == 1)
        assert (await ask(second, type="auth", token="t"))["user"] == "unavailable"


async def test_a_caller_by_http_gets_its_reply_and_is_forgotten() -> None:
    async with serving() as served:
        reply = await served.shell.ask("192.0.2.1", ADA, b'{"type":"push","id":"h"}', "h")
        assert msgspec.json.decode(reply) == {"type": "ack", "re": "h"}
        assert not served.engine.connections


async def test_a_caller_that_the_engine_refuses_is_told_the_code() -> None:
    async with serving() as served:
        served.engine.receive = lambda connection, data, now: [Close(connection, 4110, "too many")]  # type: ignore[method-assign]
        with pytest.raises(CallerRefused) as refused:
            await served.shell.ask("192.0.2.1", ADA, b"{}", "h")
        assert refused.value.code == 4110
        assert not served.engine.connections


async def test_a_caller_that_gives_up_is_forgotten() -> None:
    async with serving() as served:
        task = asyncio.create_task(served.shell.ask("192.0.2.1", ADA, b'{"type":"nothing","id":"other"}', "h"))
        await until(lambda: len(served.engine.connections) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not served.engine.connections


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _shell(clock: Clock) -> tuple[Shell, FakeEngine, FakeLog]:
    engine, log = FakeEngine(), FakeLog()
    shell = Shell(engine, log, bounds=Bounds(), verify=refuse_all, clock=clock, wall_clock=lambda: 5_000.0)
    shell.start()
    return shell, engine, log


async def test_it_ticks_at_the_engines_deadline_and_at_least_once_a_second() -> None:
    clock = Clock()
    shell, engine, _ = _shell(clock)
    assert shell._due == 101.0
    engine.next_deadline = 100.25
    shell.perform([])
    await asyncio.sleep(0)
    assert shell._due == 100.25
    clock.now = 100.3
    shell._tick()
    assert engine.ticks == [100.3]
    assert shell._due == 101.3
    assert engine.wall == 4_899.7
    assert engine.stalls == []
    await shell.stop()


async def test_a_loop_that_stood_still_gives_its_peers_that_time_back_before_the_tick() -> None:
    clock = Clock()
    shell, engine, _ = _shell(clock)
    clock.now = 131.0
    shell._tick()
    assert engine.stalls == [30.0]
    assert shell.stats.loop_lag_seconds == shell.stats.loop_lag_max_seconds == 30.0
    assert shell.stats.stalls == 1
    await shell.stop()


async def test_a_fault_in_a_tick_does_not_stop_the_clock() -> None:
    clock = Clock()
    shell, engine, _ = _shell(clock)

    def tick(now: float) -> list[object]:
        raise RuntimeError("a fault of the engine")

    engine.tick = tick  # type: ignore[assignment,method-assign]  # it fails
    clock.now = 101.0
    shell._tick()
    assert shell._due == 102.0
    assert shell.stats.faults == 1
    await shell.stop()


async def test_draining_tells_everybody_serves_on_and_then_closes_with_4201() -> None:
    async with serving() as served, served.connect() as client, served.connect() as other:
        await hear(client)
        await hear(other)
        draining = asyncio.create_task(drain(served.running, window_seconds=2, deadline_seconds=30))
        assert await hear(client) == {"type": "notice", "code": "shutdown"}
        assert not served.running.ready
        assert (await ask(client, type="nothing"))["type"] == "ack"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served_port(client))
        await other.close()
        await client.wait_closed()
        assert client.close_code == 4201
        await draining
        assert served.log.closed


def served_port(client: object) -> int:
    address = client.remote_address  # type: ignore[attr-defined]  # a client connection
    return int(address[1])


async def test_draining_ends_early_when_everybody_is_gone() -> None:
    async with serving() as served:
        async with served.connect() as client:
            await hear(client)
            draining = asyncio.create_task(drain(served.running, window_seconds=600, deadline_seconds=60))
            await hear(client)
        async with asyncio.timeout(30):  # not the window of 600 s
            await draining
