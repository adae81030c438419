"""Processes are stopped and killed, servers die and forget, and the checkers look at what was seen.

Each test is a fault; what is checked is the same: no two believed in a valid lease at once, fences rose, no stale
fenced write was applied, no acknowledged write was lost, and everybody got the lock again afterwards.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from palaver.lock import DistributedLock, Durability, LockLostError, LossReason, NotDurableError
from palaver.lock.testing import Proxy, check_fences, check_intervals
from palaver.lock.testing.history import check_applied_fences
from tests.faults.lock_workers import Worker, until
from tests.valkey import Valkey, ValkeyFactory

pytestmark = [pytest.mark.redis, pytest.mark.slow]

TTL = 0.3
"""Seconds; short, so that a stop outlasts it soon."""

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def server(own_valkey: Valkey) -> Valkey:
    return own_valkey


@pytest.fixture
def workers(server: Valkey, tmp_path: Path) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        made = [stack.enter_context(Worker(name, server.port, tmp_path, ttl=TTL, claim=0.2)) for name in NAMES]
        until(lambda: all(worker.records("held") for worker in made), "everybody held it once")
        yield made


def everybody_holds_again(workers: Sequence[Worker], rounds: int = 3) -> None:
    before = {worker.name: len(worker.records("held")) for worker in workers}
    until(
        lambda: all(len(worker.records("held")) >= before[worker.name] + rounds for worker in workers),
        "everybody held it again",
    )


def check(workers: Sequence[Worker], server: Valkey, *, finish: Sequence[Worker], overlaps: bool = False) -> None:
    for worker in finish:
        assert worker.finish() == 0
    holds = [hold for worker in workers for hold in worker.holds()]
    assert len(holds) > 10
    if not overlaps:
        assert check_intervals(holds) == []
    assert check_fences(holds) == []
    with server.client() as client:
        log = [int(fence) for fence in client.lrange("count:log", 0, -1)]
        assert check_applied_fences(log) == []
        if overlaps:
            return  # the server forgot, also what a holder had read before it wrote
        # A client that repeats a write whose reply was lost writes the same again under the same fence.
        assert int(client.get("count") or 0) == len(set(log)), "a write that was applied was overwritten unseen"
        wrote = {int(record["fence"]) for worker in workers for record in worker.records("wrote")}
        assert wrote <= set(log), "a write that was acknowledged is not there"


def test_a_stopped_holder_or_waiter_costs_a_lease_at_most_and_writes_nothing_stale(
    workers: list[Worker], server: Valkey
) -> None:
    for round_number in range(8):
        victim = workers[round_number % len(workers)]
        others = [worker for worker in workers if worker is not victim]
        victim.send(signal.SIGSTOP)
        everybody_holds_again(others)
        victim.send(signal.SIGCONT)
    everybody_holds_again(workers)
    check(workers, server, finish=workers)


def test_killed_workers_stop_nobody(workers: list[Worker], server: Valkey) -> None:
    for victim in workers[:2]:
        victim.kill()
        everybody_holds_again(workers[2:])
    check(workers, server, finish=workers[2:])
    with server.client() as client:
        until(lambda: not client.exists("name"), "no orphan holds the lock")


def test_a_stopped_server_delays_and_overlaps_nothing(workers: list[Worker], server: Valkey) -> None:
    for _ in range(2):
        server.pause()
        time.sleep(TTL * 1.5)  # the fault itself: silence for longer than a lease
        server.resume()
        everybody_holds_again(workers)
    check(workers, server, finish=workers)


def test_script_flush_client_kill_and_client_pause_break_nothing(workers: list[Worker], server: Valkey) -> None:
    with server.client() as client:
        for _ in range(3):
            client.script_flush()
            everybody_holds_again(workers, rounds=1)
            client.client_kill_filter(_type="normal", skipme=True)
            everybody_holds_again(workers, rounds=1)
            client.client_pause(100)
            everybody_holds_again(workers, rounds=1)
    check(workers, server, finish=workers)


def test_flushall_may_overlap_holds_but_fences_rise_and_nothing_stale_is_written(
    workers: list[Worker], server: Valkey
) -> None:
    with server.client() as client:
        for _ in range(5):
            client.delete("count", "count:log", "palaver:{count}:guard")
            client.flushall()
            everybody_holds_again(workers)
    check(workers, server, finish=workers, overlaps=True)


def test_a_killed_server_without_persistence_may_overlap_but_fences_rise(workers: list[Worker], server: Valkey) -> None:
    for _ in range(2):
        server.restart()
        everybody_holds_again(workers)
    check(workers, server, finish=workers, overlaps=True)


def test_a_killed_server_with_an_append_only_file_overlaps_nothing(
    valkey_factory: ValkeyFactory, tmp_path: Path
) -> None:
    server = valkey_factory(appendonly="yes", appendfsync="always")
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, server.port, tmp_path, ttl=TTL, claim=0.2)) for name in NAMES]
        until(lambda: all(worker.records("held") for worker in workers), "everybody held it once")
        for _ in range(2):
            server.restart()
            everybody_holds_again(workers)
        check(workers, server, finish=workers)


def test_waiters_killed_in_the_queue_leave_the_order_of_the_others(server: Valkey, tmp_path: Path) -> None:
    with server.client() as client, ExitStack() as stack:
        lock = DistributedLock(client, "name", ttl=30, claim=0.2)
        lease = lock.acquire()
        queued = []
        for name in NAMES:
            queued.append(stack.enter_context(Worker(name, server.port, tmp_path, ttl=30, claim=0.2, work=0.02)))
            until(lambda: client.zcard("palaver:{name}:queue") == len(queued), "queued")
        queued[0].kill()
        queued[2].send(signal.SIGSTOP)
        released = time.monotonic()
        lease.release()
        alive = [queued[1], queued[3]]
        until(lambda: all(worker.records("held") for worker in alive), "the living held it")
        first = [worker.holds()[0] for worker in alive]
        assert first[0].acquired < first[1].acquired, "in the order they queued"
        assert first[0].acquired - released < 20, "the dead one cost a claim, not its lease of 30 s"
        queued[2].send(signal.SIGCONT)
        everybody_holds_again([*alive, queued[2]], rounds=1)
        assert check_intervals(hold for worker in queued for hold in worker.holds()) == []


# Failover and copies


@pytest.fixture
def cable(server: Valkey) -> Iterator[Proxy]:
    """What lies between the server and its replica."""
    with server.client() as client:
        client.config_set("repl-diskless-sync-delay", "0")
    with Proxy(server.host, server.port) as cable:
        yield cable


@pytest.fixture
def replica(cable: Proxy, valkey_factory: ValkeyFactory) -> Valkey:
    replica = valkey_factory(replicaof=f"127.0.0.1 {cable.port}")
    with replica.client() as client:
        until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
    return replica


def test_a_failover_that_loses_the_grant_still_raises_the_fence(server: Valkey, cable: Proxy, replica: Valkey) -> None:
    with server.client() as client, replica.client() as promoted:
        lock = DistributedLock(client, "name", ttl=30)
        lock.acquire().release()
        assert client.wait(1, 30_000) == 1
        cable.fall_silent()
        old = DistributedLock(client, "name", ttl=30).acquire()
        server.kill()
        promoted.execute_command("REPLICAOF", "NO", "ONE")
        new = DistributedLock(promoted, "name", ttl=30).acquire(timeout=20)
        assert old.held, "two hold it: this is what a failover can do, and why there is a fence"
        assert new.fence > old.fence
        new.release()


def test_durability_refuses_a_grant_that_no_copy_has(server: Valkey, replica: Valkey) -> None:
    with server.client() as client:
        patient = Durability(replicas=1, timeout=30)
        with DistributedLock(client, "name", durability=patient) as lease:
            lease.check()
        lock = DistributedLock(client, "name", durability=Durability(replicas=1, timeout=0.2))
        replica.pause()
        with pytest.raises(NotDurableError) as caught:
            lock.acquire()
        assert (caught.value.acknowledged, caught.value.required) == (0, 1)
        assert not client.exists("name"), "it was given back"
        replica.resume()


def test_durability_can_ask_for_the_disk(valkey_factory: ValkeyFactory) -> None:
    durability = Durability(replicas=0, fsync=True, timeout=30)
    with valkey_factory(appendonly="yes", appendfsync="everysec").client() as client:
        DistributedLock(client, "name", durability=durability).acquire().release()
    with valkey_factory().client() as client:
        lock = DistributedLock(client, "name", durability=durability)
        with pytest.raises(redis.ResponseError, match="appendonly"):
            lock.acquire()
        assert not client.exists("name")


# Memory


def test_eviction_is_noticed_and_the_fence_still_rises(valkey_factory: ValkeyFactory) -> None:
    server = valkey_factory(maxmemory_policy="allkeys-random")
    with server.client() as client:
        lock = DistributedLock(client, "name", ttl=30)
        lease = lock.acquire()
        client.config_set("maxmemory", "3mb")
        filler = 0
        while client.exists("name"):
            client.set(f"filler:{filler}", "x" * 20_000)
            filler += 1
            assert filler < 20_000
        client.config_set("maxmemory", "0")
        with pytest.raises(LockLostError) as caught:
            lease.extend()
        assert caught.value.reason is LossReason.GONE
        assert lock.acquire().fence > lease.fence


# The network


def in_a_namespace() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not in_a_namespace(), reason="network namespaces need root")
def test_a_partition_hands_the_lock_on_and_the_fence_stops_the_cut_off(tmp_path: Path) -> None:
    from tests.faults.lock_network import Network

    with Network() as network, ExitStack() as stack:
        server = stack.enter_context(Valkey(bind=network.outside, protected_mode="no"))
        near = stack.enter_context(Worker("near", server.port, tmp_path, ttl=TTL, claim=0.2, host=network.outside))
        far = stack.enter_context(network.worker("far", server.port, tmp_path, ttl=TTL, claim=0.2))
        workers = [near, far]
        until(lambda: all(worker.records("held") for worker in workers), "everybody held it once")
        for _ in range(3):
            network.cut()
            everybody_holds_again([near])
            network.heal()
            everybody_holds_again(workers, rounds=1)
        check(workers, server, finish=workers)
