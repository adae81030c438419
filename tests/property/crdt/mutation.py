"""Makes a second copy of the package with one place of its source changed, beside the real one."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Mutant(NamedTuple):
    """One change: the `nth` occurrence of `old` in the module becomes `new`."""

    name: str
    module: str
    old: str
    new: str
    nth: int = 0


class _Changed(Loader):
    def __init__(self, path: str, mutant: Mutant) -> None:
        self._path, self._mutant = path, mutant

    def exec_module(self, module: ModuleType) -> None:
        parts = Path(self._path).read_text(encoding="utf-8").split(self._mutant.old)
        cut = self._mutant.nth + 1
        assert len(parts) > cut, f"{self._mutant.name}: its place in {self._mutant.module} is gone; find it again"
        source = self._mutant.old.join(parts[:cut]) + self._mutant.new + self._mutant.old.join(parts[cut:])
        exec(compile(source, self._path, "exec"), module.__dict__)  # our own source, changed in one place


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "palaver.crdt._joining":
            # What it was compiled from is joining.py, which may be what is changed.
            raise ModuleNotFoundError(fullname)
        if fullname != f"palaver.crdt.{self._mutant.module}":
            return None
        found = PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin is not None
        return spec_from_loader(fullname, _Changed(found.origin, self._mutant))


def _is_copied(name: str) -> bool:
    return f"{name}.".startswith(("proofs.", "palaver.crdt."))


@contextmanager
def mutated(mutant: Mutant) -> Iterator[ModuleType]:
    """Give the changed package; inside, importing it or the proofs gives the changed ones. Then all is as before."""
    real = {name: module for name, module in sys.modules.items() if _is_copied(name)}
    for name in real:
        del sys.modules[name]
    parent, package = importlib.import_module("palaver"), real["palaver.crdt"]
    finder = _Finder(mutant)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("palaver.crdt")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_copied(name)]:
            del sys.modules[name]
        sys.modules.update(real)
        vars(parent)["crdt"] = package
