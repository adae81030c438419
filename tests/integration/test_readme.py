"""Every program that the README and the pages about the client show is run, and prints what they say it prints."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palaver.client import Message, Room, connect
from tests.integration.serve.process import Server, serving

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000"
WAIT_SECONDS = 40.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(cwd=tmp_path) as running:
        yield running


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@contextmanager
def running(*command: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-u", *command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS):
        return (await asyncio.to_thread(process.stdout.readline)).rstrip("\n")


async def test_the_readmes_client_says_hello_and_reads_along(server: Server, tmp_path: Path) -> None:
    (program,) = blocks("README.md", "python")
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) <= 10, "a ten-line client"
    assert ADDRESS in program
    with running("-c", program.replace(ADDRESS, server.url), cwd=tmp_path) as process:
        assert await first_line(process) == "ada: Hello from Python."


def test_the_readmes_commands_are_targets_of_the_makefile() -> None:
    commands = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {"serve", "test"} <= set(commands)
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command


async def test_the_tutorials_programs_print_what_it_says(server: Server, tmp_path: Path) -> None:
    page = "docs/tutorial/first-room.md"
    programs, outputs = blocks(page, "python"), blocks(page, "text")
    assert len(programs) == len(outputs) == 2
    for program, output in zip(programs, outputs, strict=True):
        with running("-c", program.replace(ADDRESS, server.url), cwd=tmp_path) as process:
            assert await first_line(process) == output.rstrip("\n")


def test_the_page_about_bots_shows_the_examples_as_they_are() -> None:
    examples = [(ROOT / "examples" / "client" / name).read_text() for name in ("echo_bot.py", "follow.py")]
    shown = blocks("docs/howto/write-a-bot.md", "python")
    assert len(shown) == 2
    assert shown[0] in examples[0]
    assert all(line.strip() in examples[1] for line in shown[1].splitlines())


async def next_text(room: Room) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        event = await anext(room)
    assert isinstance(event, Message)
    return event.text


async def test_the_echo_bot_answers_and_only_when_it_is_asked(server: Server, tmp_path: Path) -> None:
    async with connect(server.url, name="ada") as ada:
        room = await ada.join("lobby").joined()
        await room.send("!echo too early")
        assert await next_text(room) == "!echo too early"
        with running(str(ROOT / "examples/client/echo_bot.py"), server.url, cwd=tmp_path):
            assert await next_text(room) == "Say !echo and something."
            await room.send("just talking")
            await room.send("!echo hello")
            assert [await next_text(room) for _ in range(3)] == ["just talking", "!echo hello", "hello"]


async def test_the_follower_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    follow = (str(ROOT / "examples/client/follow.py"), "lobby", "place.json", server.url)
    async with connect(server.url, name="ada") as ada:
        room = await ada.join("lobby").joined()
        await room.send("one")
        with running(*follow, cwd=tmp_path) as process:
            assert await first_line(process) == "    1 ada: one"
            await room.send("two")
            assert await first_line(process) == "    2 ada: two"
            async with asyncio.timeout(WAIT_SECONDS):
                while '"seq": 2' not in (tmp_path / "place.json").read_text():  # noqa: ASYNC110 - another process writes
                    await asyncio.sleep(0.01)
        await room.send("three")
        with running(*follow, cwd=tmp_path) as process:
            assert await first_line(process) == "    3 ada: three"
