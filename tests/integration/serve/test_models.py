"""What `palaver serve` says about models that it cannot use, and older clients about evaluations."""

import asyncio
from pathlib import Path

import pytest

from palaver.client import Gap, connect
from tests.integration.reviews.rooms import models_file, script
from tests.integration.serve.process import palaver, serving
from tests.unit.review import stubs

GOOD = """
[[provider]]
name = "p"
base_url = "http://127.0.0.1:1/v1"
{key}
[[model]]
key = "m"
provider = "p"
id = "m"
"""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "models.toml cannot be read"),
        ("[[provider]]", "The models file cannot be read"),
        (GOOD.format(key='key = "NO_SUCH_KEY"'), "environment variable NO_SUCH_KEY"),
    ],
)
def test_a_models_file_that_cannot_be_used_is_said_before_it_listens(
    tmp_path: Path, text: str | None, part: str
) -> None:
    if text is not None:
        (tmp_path / "models.toml").write_text(text)
    ended = palaver("serve", "--port", "0", "--models", "models.toml", cwd=tmp_path)
    assert ended.returncode == 1
    assert part in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(GOOD.format(key=""))
    (tmp_path / "file").write_text("")
    ended = palaver("serve", "--port", "0", "--models", "models.toml", "--evaluations", "file", cwd=tmp_path)
    assert ended.returncode == 1
    assert "Cannot keep evaluations in file" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
async def test_a_client_that_knows_nothing_of_evaluations_reads_the_messages(tmp_path: Path) -> None:
    with stubs.running(tmp_path, script()) as stub:
        models = str(models_file(tmp_path, stub))
        with serving("--models", models, "--store", "memory", "--drain-window", "0.1", cwd=tmp_path) as server:
            async with connect(server.url, name="ada") as chat, asyncio.timeout(30):
                room = await chat.join("lobby").joined()
                await room.send("/ask What is a lease?")
                names: list[str] = []
                async for event in room:
                    assert not isinstance(event, Gap)
                    names.append(event.user.name)
                    if "won with" in event.text:
                        break
    assert names[0] == "ada"
    assert sorted(names[1:]) == ["Answer A", "Answer B", "Answer C", "Palaver", "Palaver"]
