"""The wheel carries everything: built, installed into an empty environment, started, opened in a browser.

The environment holds the wheel and what the wheel's own metadata ask for, nothing else: a package that is needed but
not declared is missing there. Those packages are the pinned ones that the tests run with; no network is needed.
"""

import re
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.integration.serve.process import Server, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


def run(*command: str, cwd: Path) -> str:
    """Run a program that must succeed; returns what it says."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def closure(requirements: list[Requirement]) -> set[str]:
    """The names of the packages that these requirements bring in, with the extras they name."""
    found: set[str] = set()
    waiting = [(requirement.name, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(canonicalize_name(name))
        for text in distribution(name).requires or ():
            further = Requirement(text)
            if further.marker is None or further.marker.evaluate({"extra": extra}):
                waiting += [(further.name, more) for more in ("", *further.extras)]
    return found


def metadata(wheel: Path) -> list[str]:
    """The lines of the wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode().splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the declared build system."""
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), cwd=ROOT)
    (found,) = target.glob("palaver-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it declares; returns the folder of its programs."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    declared = [
        Requirement(line.removeprefix("Requires-Dist: ")) for line in metadata(wheel) if "Requires-Dist" in line
    ]
    needed = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    for name in closure(needed):
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(package.locate_file(top))))
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), cwd=place)
    assert "No broken requirements" in run(*pip, "check", cwd=place)
    assert not {"pytest", "mypy", "redis"} & {path.name for path in site.iterdir()}, "an empty environment"
    return python.parent


@pytest.fixture
def server(installed: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(cwd=tmp_path, program=(str(installed / "palaver"),)) as running:
        yield running


def test_the_wheel_has_the_page_the_types_and_the_licence_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "palaver/web/static/index.html" in names
    assert any(re.fullmatch(r"palaver/web/static/assets/.+\.js", name) for name in names)
    assert "palaver/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"palaver", names[-1].partition("/")[0]}
    assert not any(re.search(r"(^|/)(tests?|node_modules)/.*test_", name) for name in names)
    lines = metadata(wheel)
    assert "Requires-Python: >=3.11" in lines
    assert "License-Expression: Apache-2.0" in lines


def test_the_wheel_has_what_is_in_c_and_serves_every_later_python(wheel: Path, installed: Path, tmp_path: Path) -> None:
    program = "from palaver import crdt; from palaver.server import fastpath; print(crdt.COMPILED, fastpath.COMPILED)"
    said = run(str(installed / "python"), "-c", program, cwd=tmp_path)
    if said == "False False\n":
        pytest.skip("there is no C compiler or no Python.h here")
    assert said == "True True\n"
    assert "-cp311-abi3-" in wheel.name


def test_a_wheel_for_every_platform_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_PURE", "1")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]


def test_it_serves_its_own_page_and_the_readmes_client_chats_with_it(
    server: Server, installed: Path, tmp_path: Path
) -> None:
    where = run(str(installed / "python"), "-c", "import palaver; print(palaver.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent), "not the sources of this repository"
    with urllib.request.urlopen(server.url, timeout=SECONDS) as response:
        page = response.read().decode()
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        with urllib.request.urlopen(server.url + path, timeout=SECONDS) as response:
            assert response.status == 200
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    program = program.replace("http://127.0.0.1:8000", server.url)
    with subprocess.Popen(
        [str(installed / "python"), "-u", "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ada: Hello from Python.\n"
        client.kill()


@pytest.mark.browser
def test_two_tabs_chat_on_the_page_of_the_wheel(server: Server, open_tab: OpenTab) -> None:
    tabs = {name: open_tab(server.url) for name in ("Ada", "Bob")}
    for name, tab in tabs.items():
        tab.get_by_label("Your name").fill(name)
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("status")).to_have_attribute("data-state", "ready")
    tabs["Ada"].get_by_label("Message to ").fill("from the wheel")
    tabs["Ada"].keyboard.press("Enter")
    for tab in tabs.values():
        expect(tab.locator(".log article:not(.pending) > p")).to_have_text(["from the wheel"])
