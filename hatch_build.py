"""Builds what Palaver has in C while a wheel or an editable install is made, if it can; nothing fails if it cannot.

`palaver.crdt._joining` is built against the stable ABI, so one wheel serves CPython 3.11 and every later version on its
platform. `palaver.server.fastpath._fastpath` reads our own objects where they lie, which no stable ABI allows: it is
for the version of Python that builds it, and another one finds it missing and does without.

Both need a C compiler that is called like those of Unix, and Python.h. With PALAVER_PURE=1, on free-threaded Pythons
and on others than CPython the wheel is pure.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parent / "src"


class Extension(NamedTuple):
    """A compiled module: the folder of its sources, its file, how hard it is optimised, and what there is without."""

    folder: str
    name: str
    level: str
    without: str

    def sources(self) -> list[Path]:
        """Its C files."""
        return sorted((SOURCES / self.folder).glob("*.c"))


# The stable ABI has this suffix, whatever the version's own is.
JOINING = Extension("palaver/crdt", "_joining.abi3.so", "-O2", "Sets are joined in Python")
FAST_PATH = Extension(
    "palaver/server/fastpath",
    f"_fastpath{sysconfig.get_config_var('EXT_SUFFIX')}",
    "-O3",
    "The server has no fast path",
)


def command(sources: Sequence[Path], target: Path, level: str = "-O2") -> list[str]:
    """Return how this Python's compiler makes an extension of some files."""
    compiler, linking = (shlex.split(sysconfig.get_config_var(name) or "") for name in ("CC", "LDSHARED"))
    return [
        *(linking or [*compiler, "-shared"]),
        *(level, "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror=implicit-function-declaration"),
        f"-I{sysconfig.get_path('include')}",
        *map(str, sources),
        *("-lm", "-o", str(target)),
    ]


def build(sources: Sequence[Path], target: Path, level: str = "-O2") -> str:
    """Compile and return why not, or nothing."""
    if os.environ.get("PALAVER_PURE") == "1":
        return "PALAVER_PURE=1"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or os.name != "posix":
        return "this Python is not one that it is written for"
    # Beside it and then in its place: another process may have it loaded.
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        made = subprocess.run(command(sources, unfinished, level), capture_output=True, text=True, check=False)  # noqa: S603  # the compiler's
        if made.returncode:
            return made.stderr.strip().partition("\n")[0] or "the compiler failed"
        unfinished.replace(target)
    except OSError as error:
        return f"{error}"
    finally:
        unfinished.unlink(missing_ok=True)
    return ""


class Hook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter says nothing here
    """What hatchling calls."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build beside the sources for an editable install, elsewhere for a wheel, and put it in."""
        editable = version == "editable"
        self._folder = Path(tempfile.mkdtemp())
        for extension in (JOINING, FAST_PATH):
            target = (SOURCES / extension.folder if editable else self._folder) / extension.name
            if editable:
                target.unlink(missing_ok=True)
            why_not = build(extension.sources(), target, extension.level)
            if why_not:
                self.app.display_warning(f"{extension.without}: {why_not}")
            elif not editable:
                platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
                build_data["force_include"][str(target)] = f"{extension.folder}/{extension.name}"
                build_data["pure_python"] = False
                build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel by now."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder)
