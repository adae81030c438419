"""Flags, environment and TOML file: which of them says what, checked one by one.

Refuses to do: rules between several settings; those are `tree`'s. Invariant: a name that nobody knows is an error
wherever it stands, so that a typing mistake is never silently without effect.

    SettingsError   everything that can be wrong with the settings; the text says where, what, and what to do
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from palaver.server.settings.kinds import Many
from palaver.server.settings.table import SETTINGS, Setting

PREFIX = "PALAVER_"
CONFIG_VARIABLE = "PALAVER_CONFIG"
# Read by this project's own test tools, which may run beside a server.
_NOT_OURS = frozenset({CONFIG_VARIABLE, "PALAVER_REQUIRE_ALL", "PALAVER_TEST_WORKERS"})


class SettingsError(Exception):
    """The settings cannot be used."""


class Value(NamedTuple):
    """A converted value, and where it comes from: "default", a file's path, a variable or a flag."""

    value: object
    source: str


Values = Mapping[str, Value]


def gather(flags: Mapping[str, object], environ: Mapping[str, str], config: Path | None) -> dict[str, Value]:
    """Read every source; flags win over the environment, that over the file, that over the defaults.

    `flags` has the given ones only, by name, with their text. The file is `config`, or what PALAVER_CONFIG names.

    Raises:
        SettingsError: the file cannot be read, a name is not known, or a value is not accepted.
    """
    values = {name: Value(setting.default, "default") for name, setting in SETTINGS.items()}
    if config is None and CONFIG_VARIABLE in environ:
        config = Path(environ[CONFIG_VARIABLE])
    if config is not None:
        for name, raw in _load(config).items():
            values[name] = _read(_known(name, f"{config}: "), raw, str(config), f"{config}: {name}")
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in _NOT_OURS:
            setting = by_variable.get(variable)
            if setting is None:
                raise SettingsError(f"There is no setting {variable}.{_nearest(variable, by_variable)}")
            values[setting.name] = _read(setting, environ[variable], variable, variable)
    for name, raw in flags.items():
        setting = _known(name, "")
        values[name] = _read(setting, raw, setting.flag, setting.flag)
    return values


def _load(config: Path) -> dict[str, object]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"Cannot read the configuration {config}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config} is not TOML: {error}.") from None


def _known(name: str, where: str) -> Setting:
    setting = SETTINGS.get(name)
    if setting is None:
        raise SettingsError(f"{where}There is no setting {name!r}.{_nearest(name, SETTINGS)}")
    return setting


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else " `palaver serve --help` lists them."


def _read(setting: Setting, raw: object, source: str, where: str) -> Value:
    try:
        return Value(setting.kind.read(raw), source)
    except ValueError as error:
        shown = (
            ""
            if isinstance(raw, dict) or isinstance(setting.kind, Many)
            else f", not {str(raw).lower() if isinstance(raw, bool) else repr(raw)}"
        )
        raise SettingsError(f"{where} must be {error}{shown}.") from None
