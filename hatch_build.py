"""Builds `palaver.crdt._joining` while a wheel or an editable install is made, if it can; nothing fails if it cannot.

It needs a C compiler that is called like those of Unix, and Python.h. It is built against the stable ABI, so one wheel
serves CPython 3.11 and every later version on its platform. With PALAVER_PURE=1, on free-threaded Pythons, which have
no stable ABI, and on others than CPython the wheel is pure.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path(__file__).parent / "src" / "palaver" / "crdt" / "_joining.c"
# The stable ABI has this suffix, whatever the version's own is.
NAME = "_joining.abi3.so"


def command(source: Path, target: Path) -> list[str]:
    """Return how this Python's compiler makes an extension of one file."""
    compiler, linking = (shlex.split(sysconfig.get_config_var(name) or "") for name in ("CC", "LDSHARED"))
    return [
        *(linking or [*compiler, "-shared"]),
        *("-O2", "-fPIC", "-Wall", "-Wextra", "-Werror=implicit-function-declaration"),
        f"-I{sysconfig.get_path('include')}",
        str(source),
        "-o",
        str(target),
    ]


def build(source: Path, target: Path) -> str:
    """Compile and return why not, or nothing."""
    if os.environ.get("PALAVER_PURE") == "1":
        return "PALAVER_PURE=1"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or os.name != "posix":
        return "this Python has no stable ABI"
    # Beside it and then in its place: another process may have it loaded.
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        made = subprocess.run(command(source, unfinished), capture_output=True, text=True, check=False)  # noqa: S603  # the compiler's
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
        """Build beside the source for an editable install, elsewhere for a wheel, and put it in."""
        editable = version == "editable"
        self._folder = Path(tempfile.mkdtemp())
        target = SOURCE.with_name(NAME) if editable else self._folder / NAME
        if editable:
            target.unlink(missing_ok=True)
        why_not = build(SOURCE, target)
        if why_not:
            self.app.display_warning(f"Sets are joined in Python: {why_not}")
        elif not editable:
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["force_include"][str(target)] = f"palaver/crdt/{NAME}"
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel by now."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder)
