"""Everything that can be set about the server. `table` is where a setting is added; start there.

`kinds` reads and checks one value, `sources` finds out which source says what, `tree` is what the program uses, `show`
prints it.
"""

from collections.abc import Mapping
from pathlib import Path

from palaver.server.settings.show import effective
from palaver.server.settings.sources import SettingsError, Value, Values, gather
from palaver.server.settings.table import GROUPS, SETTINGS, Setting
from palaver.server.settings.tree import (
    ListenSettings,
    OperationSettings,
    ReviewSettings,
    Settings,
    StoreSettings,
    TokenSettings,
    build,
)

__all__ = [
    "GROUPS",
    "SETTINGS",
    "ListenSettings",
    "OperationSettings",
    "ReviewSettings",
    "Setting",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "TokenSettings",
    "Value",
    "Values",
    "build",
    "effective",
    "gather",
    "load",
]


def load(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, config: Path | None = None
) -> Settings:
    """Gather and build in one step. Raises SettingsError."""
    return build(gather(flags or {}, environ or {}, config))
