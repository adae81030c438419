"""Workers that share an evaluation through leases of a real Valkey, as they would from several machines."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from palaver.review.errors import ClaimLostError
from palaver.review.folder import Folder, create
from palaver.review.records import CONTROLS
from palaver.server.reviews.leases import LeaseClaims
from tests.faults.review.test_killed_workers import (
    CALLS,
    KEYS,
    SCRIPT,
    _billed,
    _evaluation,
    _models,
    _results,
    _wait_for_lines,
    _worker,
)
from tests.unit.review import made, stubs
from tests.valkey import Valkey

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@contextmanager
def _leased(folder: Path, models: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    command: list[str | Path] = [sys.executable, "-m", "palaver", "review", "resume", folder, "--models", models]
    command += ["--in-flight", "5", "--lock", url, "--lease", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_three_leased_workers_of_which_one_is_killed_score_every_cell_once(tmp_path: Path, own_valkey: Valkey) -> None:
    evaluation = made.evaluation(KEYS, controls=CONTROLS)
    alone = tmp_path / "alone"
    alone.mkdir()
    with stubs.running(tmp_path, SCRIPT) as stub:
        undisturbed = _evaluation(alone, evaluation)
        with _worker(undisturbed, _models(tmp_path / "alone.toml", stub), 20) as worker:
            assert worker.wait(90) == 0
    with stubs.running(tmp_path, SCRIPT) as stub:
        folder, models = _evaluation(tmp_path, evaluation), _models(tmp_path / "models.toml", stub)
        with (
            _leased(folder, models, own_valkey.url) as one,
            _leased(folder, models, own_valkey.url) as two,
            _leased(folder, models, own_valkey.url) as three,
        ):
            _wait_for_lines(folder, 30)
            os.kill(two.pid, signal.SIGKILL)
            two.wait(40)
            assert one.wait(90) == three.wait(90) == 0
        assert CALLS <= _billed(stub) <= CALLS + 5, "at most one call more for each claim of the killed one"
    matrix = Folder(folder, "reader", lambda: 1).matrix()
    assert (matrix.state, len(matrix.scored)) == ("final", 90)
    assert _results(folder) == _results(undisturbed), "equal bytes"


async def test_a_write_with_an_old_fence_is_refused(tmp_path: Path, valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as client:
        old = await LeaseClaims(client, "EVAL-1", 30).claim("answer/ada/0/")
        assert old is not None
        assert await LeaseClaims(client, "EVAL-1", 30).claim("answer/ada/0/") is None
        assert await LeaseClaims(client, "EVAL-2", 30).claim("answer/ada/0/") is not None, "another evaluation's"
        await client.delete(old._lease.name)  # as if its lease had run out while this worker stood still
        new = await LeaseClaims(client, "EVAL-1", 30).claim("answer/ada/0/")
        assert new is not None
        assert new.fence > old.fence

        folder = create(tmp_path, made.evaluation(KEYS), "here", lambda: 1)
        with pytest.raises(ClaimLostError):
            await folder.append(made.part("m0", "late"), old)
        await folder.append(made.part("m0", "in time"), new)
        assert folder.matrix().answers["m0"].text == "in time"
        await new.release()
        await new.release()
        await old.release()
        folder.close()


async def test_without_the_locks_server_nothing_is_claimed_and_nothing_written(own_valkey: Valkey) -> None:
    async with Redis.from_url(own_valkey.url) as client:
        claim = await LeaseClaims(client, "EVAL-1", 30).claim("t")
        assert claim is not None
        own_valkey.kill()
        assert await LeaseClaims(client, "EVAL-1", 30).claim("u") is None
        assert not await claim.held()
        await claim.release()
