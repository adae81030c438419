"""Builds one of the compiled modules from other sources, beside the one that is in use."""

from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import hatch_build


def built(extension: hatch_build.Extension, sources: Sequence[Path], folder: Path, level: str = "-O2") -> ModuleType:
    """The module that these C files make; its file is left in the folder."""
    target = folder / extension.name
    why_not = hatch_build.build(sources, target, level)
    assert not why_not
    name = f"{extension.folder.replace('/', '.')}.{extension.name.partition('.')[0]}"
    spec = spec_from_loader(name, ExtensionFileLoader(name, str(target)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
