"""What runs in a worker process; see `lock_workers`."""

import json
import signal
import sys
import time
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from palaver.lock import DistributedLock, FencedWriter, LockError, StaleFenceError
from palaver.lock.sync import Lease


class _Rounds:
    def __init__(self, name: str, port: int, file: Path, options: dict[str, float]) -> None:
        self._name = name
        self._host = str(options.pop("host", "127.0.0.1"))
        self._work = options.pop("work", 0.001)
        self._client = redis.Redis(
            host=self._host, port=port, socket_timeout=1.0, retry=Retry(ConstantBackoff(0.02), retries=100)
        )
        self._lock = DistributedLock(self._client, "name", **options)  # type: ignore[arg-type]  # from the test
        self._file = file.open("a", encoding="utf-8")
        self._going = True
        signal.signal(signal.SIGTERM, self._stop)

    def run(self) -> None:
        while self._going:
            try:
                lease = self._lock.acquire(timeout=5)
            except (LockError, redis.RedisError) as error:
                self._write(kind="not acquired", error=type(error).__name__)
                continue
            acquired = time.monotonic()
            self._use(lease)
            ended = min(time.monotonic(), lease.deadline)
            asked = acquired if lease.deadline < acquired else lease._granted
            self._write(kind="held", fence=lease.fence, asked=asked, acquired=acquired, ended=max(ended, acquired))
            try:
                lease.release()
            except LockError as error:
                self._write(kind="lost", error=type(error).__name__, fence=lease.fence)

    def _use(self, lease: Lease) -> None:
        """Read, work, write: the update is lost if anybody else writes in between and nobody refuses ours."""
        writer = FencedWriter(self._client, lease.fence, lock_name="name")
        try:
            read = int(self._client.get("count") or 0)
            end = time.monotonic() + self._work
            while time.monotonic() < end:
                time.sleep(self._work / 4)
            # Not through the lease: its own check would often refuse a stale write before the server has to.
            writer.eval(
                "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[1] .. ':log', ARGV[2])",
                "count",
                read + 1,
                lease.fence,
            )
        except StaleFenceError:
            self._write(kind="refused", fence=lease.fence)
        except redis.RedisError:
            self._write(kind="unheard", fence=lease.fence)
        else:
            self._write(kind="wrote", fence=lease.fence)

    def _stop(self, *_: object) -> None:
        self._going = False

    def _write(self, **record: object) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


if __name__ == "__main__":
    _Rounds(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])).run()
