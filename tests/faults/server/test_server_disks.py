"""What a whole `palaver serve` says and does when its disk is full, fails, is read-only, or holds something else."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.chat.clients import Client, guest
from tests.integration.serve.process import palaver, serving

FLAGS = (
    *("--messages-per-second", "off", "--room-messages-per-second", "off", "--frames-per-second", "off"),
    *("--history", "100000"),
)
TEXT = "x" * 3_900


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def talk_until_refused(ada: Client) -> int:
    """How many messages were stored until the store was unavailable."""
    stored = 0
    while True:
        answer = await ada.ask("send", room="r", text=TEXT, cid=f"c{stored + 1}")
        if answer["type"] == "error":
            assert (answer["code"], answer["retryable"]) == ("unavailable", True)
            assert answer["retry_after_ms"] > 0
            assert "nothing was stored" in answer["message"]
            return stored
        stored += 1
        assert answer["seq"] == stored
        assert stored < 5_000


async def readers_are_served(url: str, stored: int) -> None:
    """Who comes while nothing can be written gets the room and its history, from memory and from the disk."""
    bob = await guest(url, "bob")
    picture = await bob.done("join", room="r")
    assert (picture["seq"], len(picture["messages"])) == (stored, min(stored, 100))
    page = await bob.done("history", room="r", after=0, limit=5)
    assert [message["seq"] for message in page["messages"]] == [1, 2, 3, 4, 5]
    page = await bob.done("history", room="elsewhere")
    assert page["messages"] == []
    assert (await bob.done("join", room="new"))["seq"] == 0
    assert (await bob.ask("send", room="r", text=TEXT))["code"] == "unavailable"
    assert bob.pushes == [push for push in bob.pushes if push["type"] == "presence"], "nobody is shown what was refused"
    await bob.socket.close()


async def recovers(ada: Client, stored: int) -> None:
    """The refused message goes through when it is repeated as the error said, and has the next number."""
    for _ in range(10):
        answer = await ada.ask("send", room="r", text=TEXT, cid=f"c{stored + 1}")
        if answer["type"] == "ack":
            break
        await asyncio.sleep(answer["retry_after_ms"] / 1000)
    assert (answer["seq"], answer["duplicate"]) == (stored + 1, False)
    first = await ada.done("send", room="r", text=TEXT, cid="c1")
    assert (first["seq"], first["duplicate"]) == (1, True)


async def test_a_full_disk_is_unavailable_to_senders_and_heals_by_itself(tmp_path: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 1_000_000)
    with serving(*FLAGS, "--data", str(small_disk / "data"), cwd=tmp_path) as server:
        ada = await guest(server.url, "ada", "r", max_size=None)
        stored = await talk_until_refused(ada)
        assert stored > 20
        await readers_are_served(server.url, stored)
        ballast.unlink()
        await recovers(ada, stored)
        await ada.socket.close()
        assert await asyncio.to_thread(server.end) == 0
        assert "Traceback" not in server.log
    with serving(*FLAGS, "--data", str(small_disk / "data"), cwd=tmp_path) as server:
        ada = await guest(server.url, "ada", max_size=None)
        assert (await ada.done("join", room="r"))["seq"] == stored + 1
        await ada.socket.close()


async def test_a_disk_with_errors_is_unavailable_to_senders_and_heals_by_itself(tmp_path: Path) -> None:
    with serving(*FLAGS, cwd=tmp_path) as server:
        ada = await guest(server.url, "ada", "r", max_size=None)
        for number in range(1, 31):
            await ada.done("send", room="r", text=TEXT, cid=f"c{number}")
        pid = server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_000, before[1]))  # each write to a file fails from here on
        answer = await ada.ask("send", room="r", text=TEXT, cid="c31")
        assert (answer["type"], answer["code"]) == ("error", "unavailable")
        await readers_are_served(server.url, 30)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        await recovers(ada, 30)
        await ada.socket.close()
        assert await asyncio.to_thread(server.end) == 0


def refused(tmp_path: Path, data: Path) -> str:
    """The one line that a server says which cannot start on this directory."""
    ended = palaver("serve", "--port", "0", "--data", str(data), cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_read_only_disk_is_said_at_the_start(tmp_path: Path, small_disk: Path) -> None:
    with serving("--data", str(small_disk), cwd=tmp_path):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    says = refused(tmp_path, small_disk)
    assert "ead-only" in says
    assert str(small_disk) in says


def test_a_full_disk_is_said_at_the_start(tmp_path: Path, small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"\0" * 4_000_000)
    says = refused(tmp_path, small_disk / "data")
    assert "No space left" in says or "the disk is full" in says


@pytest.mark.parametrize("where", [0, 200, 2 * 4_096 - 3_000])
def test_a_damaged_file_is_said_at_the_start_and_left_as_it_is(tmp_path: Path, where: int) -> None:
    data = tmp_path / "data"
    with serving("--data", str(data), cwd=tmp_path) as server:
        server.end()
    database = data / "palaver.db"
    damaged = bytearray(database.read_bytes())
    damaged[where : where + 3_000] = b"\xa5" * 3_000
    database.write_bytes(damaged)
    says = refused(tmp_path, data)
    assert str(database) in says
    assert ("is damaged" in says and "backup" in says) or "is not an SQLite database" in says
    assert database.read_bytes() == damaged


def test_another_programs_database_is_said_at_the_start_and_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with sqlite3.connect(data / "palaver.db") as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    before = (data / "palaver.db").read_bytes()
    says = refused(tmp_path, data)
    assert "is not Palaver's" in says
    assert "recipes" in says
    assert "--data" in says
    assert (data / "palaver.db").read_bytes() == before


async def test_a_second_server_on_the_same_directory_is_refused_and_the_first_one_serves_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving("--data", str(data), cwd=tmp_path) as server:
        ada = await guest(server.url, "ada", "r")
        says = await asyncio.to_thread(refused, tmp_path, data)
        assert f"in use by process {server.process.pid}" in says
        assert (await ada.done("send", room="r", text="still here"))["seq"] == 1
        await ada.socket.close()
