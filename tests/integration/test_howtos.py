"""The how-to pages about running a server are followed: their commands are run, in their order, against a real one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palaver.client import Refused, connect
from palaver.server.settings import load
from tests.integration.serve.process import palaver, serving

PAGES = Path(__file__).resolve().parents[2] / "docs" / "howto"
ADDRESS = "http://127.0.0.1:8000"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


def arguments(page: str, command: str) -> list[str]:
    """The arguments of the one line of a page that begins like this."""
    (line,) = re.findall(rf"(?:^    |\$\()palaver ({command}\b[^\n)]*)", (PAGES / page).read_text(), re.MULTILINE)
    return [word.strip('"') for word in line.split()]


def shell(script: str, cwd: Path, **environ: str) -> str:
    """Run lines of a page as a shell would; each must succeed."""
    ended = subprocess.run(
        ["bash", "-euc", script], cwd=cwd, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} on this machine")


async def test_the_page_about_moderation_moderates(tmp_path: Path) -> None:
    needs("curl")
    with serving(cwd=tmp_path) as server:
        token = palaver(*arguments("moderate.md", "token"), cwd=tmp_path).stdout.strip()
        async with connect(server.url, name="bob") as bob:
            room = await bob.join("lobby").joined()
            await room.send("something that should not have been said")
            answers = []
            for script in blocks("moderate.md", "shell"):
                for line in script.splitlines():
                    said = shell(line.replace(ADDRESS, server.url), tmp_path, TOKEN=token, USER_ID=bob.user.id)
                    answers.append(json.loads(said))
        assert [answer.get("error") for answer in answers] == [None] * len(answers)
        assert [user["name"] for user in answers[0]["members"]] == ["bob"]
        assert [one["kind"] for answer in answers for one in answer.get("sanctions", [])] == ["ban", "slow"]
        assert server.log.count('"event": "decision"') == 5
        assert server.log.count('"event": "message_deleted"') == 1


async def test_the_page_about_tokens_signs_people_in(tmp_path: Path) -> None:
    needs("openssl")
    for script in blocks("sign-in-with-tokens.md", "shell"):
        shell(script, tmp_path)
    (program,) = blocks("sign-in-with-tokens.md", "python")
    (tmp_path / "make.py").write_text(program)
    made = shell(f"{sys.executable} make.py", tmp_path).strip()
    by_hand = palaver(*arguments("sign-in-with-tokens.md", "token --token-key"), cwd=tmp_path).stdout.strip()
    with serving(*arguments("sign-in-with-tokens.md", "serve --auth token --token-key")[1:], cwd=tmp_path) as server:
        for token, moderates in ((made, False), (by_hand, True)):
            async with connect(server.url, token=token) as ada:
                assert (ada.user.id, ada.user.name) == ("42", "ada")
                await ada.join("team-7").joined()
                await ada.send("team-7", "hello")
                with pytest.raises(Refused, match="lobby"):
                    await ada.join("lobby").joined()
            said = shell(f"curl -s -X PUT -H 'Authorization: Bearer {token}' -d '{{\"seconds\": 1}}' "
                         f"{server.url}/api/rooms/team-7/slow", tmp_path)  # fmt: skip
            assert ("error" in json.loads(said)) is not moderates


def test_the_settings_for_production_are_what_they_say(tmp_path: Path) -> None:
    (config,) = blocks("run-in-production.md", "toml")
    (tmp_path / "palaver.toml").write_text(config)
    settings = load(config=tmp_path / "palaver.toml")
    assert (settings.chat.auth, settings.operation.metrics, settings.operation.log_format) == (
        "token",
        "operator",
        "json",
    )
    checked = palaver("serve", "--config", "palaver.toml", "--check", cwd=tmp_path)
    assert checked.returncode == 0
    assert 'auth = "token"                               # palaver.toml' in checked.stdout
