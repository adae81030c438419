"""Each bug put into our own lock is caught: the explorer and the checkers are worth what they catch."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import redis

from palaver.lock import DistributedLock, StaleFenceError, core, fenced, scripts
from palaver.lock.lease import LeaseRecord
from palaver.lock.scripts import Script
from palaver.lock.testing import Hold, Rule, Scenario, check_fences, check_fifo, explore
from palaver.lock.testing.adapters import KEY, TTL_SECONDS, Ours
from palaver.lock.testing.history import check_applied_fences
from tests.valkey import Valkey


@dataclass(frozen=True)
class Bug:
    """A line of a script that somebody might have written otherwise."""

    name: str
    script: str
    right: str
    wrong: str

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        text: str = getattr(core, self.script).text
        assert text.count(self.right) == 1, "the script changed; the bug must too"
        patch.setattr(core, self.script, Script.of(text.replace(self.right, self.wrong)))


EXPLORED = [
    (
        Bug("takes a lock that is held", "ACQUIRE", "'EXISTS', KEYS[1], KEYS[3]", "'EXISTS', KEYS[3]"),
        Scenario("", Rule.ONE_HOLDER, KEY, TTL_SECONDS),
    ),
    (
        Bug("sets no time to live", "ACQUIRE", "TOKEN, 'PX', TTL_MS)", "TOKEN)"),
        Scenario("", Rule.ALWAYS_ENDS, KEY, TTL_SECONDS, crashes=1),
    ),
    (
        Bug("releases without comparing", "RELEASE", "if holder == TOKEN and call", "if call"),
        Scenario("", Rule.OWN_LOCK_ONLY, KEY, TTL_SECONDS, passes=1),
    ),
    (
        Bug("compares with something else", "RELEASE", "if holder == TOKEN and call", "if holder == nil and call"),
        Scenario("", Rule.RELEASE_WORKS, KEY, TTL_SECONDS),
    ),
]


@pytest.mark.parametrize(("bug", "scenario"), EXPLORED, ids=lambda value: getattr(value, "name", None) or None)
def test_the_explorer_catches(bug: Bug, scenario: Scenario, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug.name == "compares with something else":
        # Its second comparison would still work.
        text = scripts.RELEASE.text.replace("if holder == TOKEN then", "if holder == nil then")
        monkeypatch.setattr(core, "RELEASE", Script.of(text))
    bug.plant(monkeypatch)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    assert explored.violation is not None
    assert explored.violation.rule is scenario.rule


def test_the_explorer_catches_a_lease_that_does_not_look_at_the_clock(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeaseRecord, "lost", property(lambda _: None))
    scenario = Scenario("", Rule.ONE_HOLDER, KEY, TTL_SECONDS, passes=1)
    assert explore(Ours, scenario, host=valkey.host, port=valkey.port).violation is not None


def two_holds(client: redis.Redis, between: Callable[[], object]) -> list[Hold]:
    holds = []
    for worker in "ab":
        asked = time.monotonic()
        lease = DistributedLock(client, "name").acquire(timeout=30)
        acquired = time.monotonic()
        lease.release()
        holds.append(Hold(worker, lease.fence, asked, acquired, acquired))
        between()
    return holds


def test_the_fence_checker_catches_a_fence_that_only_counts(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = Bug("counts from one", "ACQUIRE", "time[1] * 1000000 + time[2]", "1")
    with valkey.client() as client:
        assert check_fences(two_holds(client, client.flushall)) == []
        bug.plant(monkeypatch)
        assert check_fences(two_holds(client, client.flushall)) != []


def test_the_fence_checker_catches_a_fence_that_forgets_the_last(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey.client() as client:
        client.set("palaver:{name}:fence", 4_000_000_000_000_000)  # given out before the clock was set back
        before = two_holds(client, lambda: None)
        assert check_fences(before) == []
        Bug("only asks the clock", "ACQUIRE", "if last and last + 0 >= fence then", "if false then").plant(monkeypatch)
        assert check_fences([*before, *two_holds(client, lambda: None)]) != []


@pytest.mark.parametrize(
    "bug",
    [
        None,
        Bug(
            "the last comes first",
            "RELEASE",
            "redis.call('ZRANGE', QUEUE, 0, 0)[1]",
            "redis.call('ZRANGE', QUEUE, -1, -1)[1]",
        ),
    ],
    ids=str,
)
def test_the_order_checker_catches_a_queue_where(
    bug: Bug | None, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bug is not None:
        bug.plant(monkeypatch)
    granted: list[str] = []
    with valkey.client() as client:
        lock = DistributedLock(client, "name")
        lease = lock.acquire()

        def wait(name: str) -> None:
            with lock:
                granted.append(name)

        threads = []
        for name in "abc":
            threads.append(threading.Thread(target=wait, args=(name,)))
            threads[-1].start()
            deadline = time.monotonic() + 40
            while client.zcard("palaver:{name}:queue") < len(threads):
                assert time.monotonic() < deadline
                time.sleep(0.001)
        lease.release()
        for thread in threads:
            thread.join()
    assert bool(check_fifo("abc", granted)) is (bug is not None)


@pytest.mark.parametrize("planted", [False, True])
def test_the_storage_checker_catches_a_write_that_is_not_compared(
    planted: bool, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planted:
        right, text = "if newest > FENCE then", scripts.fenced_eval("").text
        assert right in text
        original = scripts.fenced_eval
        monkeypatch.setattr(
            fenced, "fenced_eval", lambda body: Script.of(original(body).text.replace(right, "if false then"))
        )
    append = "return redis.call('RPUSH', KEYS[1], ARGV[1])"
    with valkey.client() as client:
        for fence in (1, 3, 2):
            writer = fenced.FencedWriter(client, fence)
            try:
                writer.eval(append, "log", fence)
            except StaleFenceError:
                assert not planted
        log = [int(word) for word in client.lrange("log", 0, -1)]
    assert bool(check_applied_fences(log)) is planted
