"""Sentinel and Cluster clients, and SQL storages that compare the fence themselves."""

import asyncio
import functools
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.cluster import RedisCluster
from redis.sentinel import MasterNotFoundError, Sentinel

from palaver.lock import DistributedLock, Durability, StaleFenceError, aio
from tests.valkey import Valkey, ValkeyFactory

pytestmark = pytest.mark.redis

DEADLINE_SECONDS = 40.0
RECIPE = Path(__file__).parents[3] / "docs" / "howto" / "lock-fence-sql.md"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


# Cluster


def is_queued(client: RedisCluster, queue: str) -> bool:
    return bool(client.zcard(queue) == 1)


@pytest.fixture
def cluster(valkey_factory: ValkeyFactory) -> list[Valkey]:
    """Two nodes that share the slots."""
    nodes = [valkey_factory(cluster_enabled="yes", cluster_node_timeout="2000") for _ in range(2)]
    clients = [node.client() for node in nodes]

    def tell(client: redis.Redis, command: str) -> str:
        return str(client.execute_command(*command.split(" ")))  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

    tell(clients[0], "CLUSTER ADDSLOTSRANGE 0 8191")
    tell(clients[1], "CLUSTER ADDSLOTSRANGE 8192 16383")
    tell(clients[0], f"CLUSTER MEET {nodes[1].host} {nodes[1].port}")

    def whole() -> bool:
        return all("cluster_state:ok" in tell(client, "CLUSTER INFO") for client in clients)

    until(whole)
    for client in clients:
        client.close()
    return nodes


@pytest.mark.slow
def test_a_cluster_client_works_on_every_node(cluster: list[Valkey]) -> None:
    with RedisCluster(host=cluster[0].host, port=cluster[0].port) as client:
        for name in ("a", "b", "c", "{tag}:d", "e{tag}"):
            lock = DistributedLock(client, name, ttl=5)
            lease = lock.acquire(timeout=30)
            fences: list[int] = []

            def wait(lock: DistributedLock = lock, fences: list[int] = fences) -> None:
                with lock.acquire(timeout=30) as waited:
                    fences.append(waited.fence)

            thread = threading.Thread(target=wait)
            thread.start()
            queue = f"palaver:{name}:queue" if "{" in name else f"palaver:{{{name}}}:queue"
            until(functools.partial(is_queued, client, queue))
            lease.extend()
            lease.fenced.set("elsewhere", "value")
            lease.release()
            thread.join()
            assert fences[0] > lease.fence


@pytest.mark.slow
async def test_an_asyncio_cluster_client_works_on_every_node(cluster: list[Valkey]) -> None:
    async with AsyncRedisCluster(host=cluster[0].host, port=cluster[0].port) as client:
        for name in ("a", "b", "c"):
            lock = aio.DistributedLock(client, name, ttl=5)
            served: list[int] = []

            async def work(lock: aio.DistributedLock = lock, served: list[int] = served) -> None:
                async with lock as lease:
                    served.append(lease.fence)

            await asyncio.gather(*(work() for _ in range(3)))
            assert served == sorted(set(served))
            durable = aio.DistributedLock(client, name, durability=Durability(replicas=1, timeout=0.05))
            with pytest.raises(TimeoutError):
                await durable.acquire()


# Sentinel


@pytest.fixture
def sentinel(valkey_factory: ValkeyFactory) -> tuple[Valkey, Valkey, Valkey]:
    """A server, its replica, and one sentinel that watches them."""
    master = valkey_factory(repl_diskless_sync_delay="0")
    replica = valkey_factory(replicaof=f"127.0.0.1 {master.port}")
    with replica.client() as client:
        until(lambda: client.info("replication")["master_link_status"] == "up")
    conf = "\n".join(
        [
            f"sentinel monitor main 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds main 60000",  # so that no busy machine looks like a dead server
            "sentinel failover-timeout main 3000",
        ]
    )
    watcher = valkey_factory(sentinel_conf=conf)
    with watcher.client() as client:
        until(lambda: len(client.sentinel_slaves("main")) == 1)
    return master, replica, watcher


@pytest.mark.slow
def test_a_sentinel_client_follows_the_failover_and_the_fence_rises(
    sentinel: tuple[Valkey, Valkey, Valkey],
) -> None:
    master, replica, watcher = sentinel
    finder = Sentinel([(watcher.host, watcher.port)], socket_timeout=5)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    client = finder.master_for("main", socket_timeout=5)  # type: ignore[no-untyped-call]  # as above
    lock = DistributedLock(client, "name", ttl=30)
    with lock as first:
        first.check()
    with watcher.client() as asked:
        asked.sentinel_set("main", "down-after-milliseconds", 300)
    master.kill()

    def promoted() -> bool:
        try:
            return bool(finder.discover_master("main")[1] == replica.port)  # type: ignore[no-untyped-call]  # as above
        except MasterNotFoundError:
            return False

    until(promoted)
    second = lock.acquire(timeout=30)
    assert second.fence > first.fence
    second.release()
    client.close()


async def test_an_asyncio_sentinel_client_works(sentinel: tuple[Valkey, Valkey, Valkey]) -> None:
    watcher = sentinel[2]
    finder = AsyncSentinel([(watcher.host, watcher.port)], socket_timeout=5)  # type: ignore[no-untyped-call]  # as above
    async with finder.master_for("main", socket_timeout=5) as client:
        lock = aio.DistributedLock(client, "name")
        served: list[int] = []

        async def work() -> None:
            async with lock as lease:
                served.append(lease.fence)

        await asyncio.gather(*(work() for _ in range(3)))
        assert served == sorted(set(served))
    for one in finder.sentinels:
        await one.aclose()


# Fences in SQL: the recipe's own text is run


def recipe() -> tuple[str, str]:
    """The table and the write from the how-to."""
    blocks = re.findall(r"```sql\n(.*?)```", RECIPE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return blocks[0], blocks[1]


def test_the_sqlite_recipe_refuses_a_stale_fence(valkey: Valkey) -> None:
    table, write = recipe()
    with valkey.client() as client:
        lock = DistributedLock(client, "accounts")
        old = lock.acquire()
        client.delete("accounts")
        new = lock.acquire()
    db = sqlite3.connect(":memory:")
    db.execute(table)
    for fence, balance, applied in ((old.fence, 1, 1), (new.fence, 2, 1), (old.fence, 3, 0), (new.fence, 4, 1)):
        cursor = db.execute(write, {"id": "alice", "balance": balance, "fence": fence})
        assert cursor.rowcount == applied
    assert db.execute("SELECT balance, fence FROM accounts").fetchall() == [(4, new.fence)]
    db.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL of this module's own, on a socket in a temporary folder; yields what runs SQL with psql."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    psql = shutil.which("psql")
    if not binaries or psql is None:
        pytest.skip("PostgreSQL is not installed")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        home.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(home, user)
        environment = {"PATH": f"{binaries[-1]}:{os.environ['PATH']}", "LC_ALL": "C"}

        def run(*words: str) -> str:
            return subprocess.run(
                words, user=user, env=environment, check=True, capture_output=True, text=True, cwd=folder
            ).stdout

        run("initdb", "--no-sync", "--auth=trust", "--username=test", "-D", str(home))
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", str(home), "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield lambda sql: run(psql, "-qAt", "-h", folder, "-U", "test", "-d", "postgres", "-c", sql)
        finally:
            run("pg_ctl", "-D", str(home), "-w", "-m", "immediate", "stop")


@pytest.mark.slow
def test_the_postgresql_recipe_refuses_a_stale_fence(postgres: Callable[[str], str], valkey: Valkey) -> None:
    table, write = recipe()
    with valkey.client() as client:
        lock = DistributedLock(client, "accounts")
        old = lock.acquire()
        client.delete("accounts")
        new = lock.acquire()
    postgres(table)
    for fence, balance, applied in ((old.fence, 1, "1"), (new.fence, 2, "1"), (old.fence, 3, "0"), (new.fence, 4, "1")):
        bound = write.replace(":id", "'alice'").replace(":balance", str(balance)).replace(":fence", str(fence))
        counted = postgres(f"WITH written AS ({bound.strip().rstrip(';')} RETURNING 1) SELECT count(*) FROM written")
        assert counted.strip() == applied
    assert postgres("SELECT balance, fence FROM accounts").strip() == f"4|{new.fence}"


def test_a_fenced_write_says_which_fence_was_newer(valkey: Valkey) -> None:
    with valkey.client() as client:
        lock = DistributedLock(client, "name")
        old = lock.acquire()
        client.delete("name")
        new = lock.acquire()
        with pytest.raises(StaleFenceError, match=str(new.fence)):
            old.fenced.set("key", "stale")
