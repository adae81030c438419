"""The lock is usable alone: importing it brings in what the redis client brings, and nothing else."""

import subprocess
import sys

PROGRAM = """
import sys
import redis, redis.asyncio, redis.asyncio.cluster, redis.cluster
of_the_client = set(sys.modules)
import palaver.lock, palaver.lock.aio, palaver.lock.quorum, palaver.lock.testing
new = set(sys.modules) - of_the_client
print(*sorted({name.partition(".")[0] for name in new} - set(sys.stdlib_module_names)))
print(*sorted(name for name in new if name.startswith("palaver.") and not name.startswith("palaver.lock")))
"""


def test_only_the_redis_client_is_needed() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    packages, other_parts = output.split("\n")[:2]
    assert packages == "palaver"
    assert other_parts == ""
