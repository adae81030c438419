"""The effective settings in print. No setting holds a secret itself, only the names of files that do; a URL is shown
without its query, which may hold one.
"""

from palaver.server.settings.sources import Values
from palaver.server.settings.table import GROUPS


def effective(values: Values) -> str:
    """Every setting with its value and its source, in the form of the TOML file."""
    lines: list[str] = []
    for title, settings in GROUPS:
        lines += ["", f"# {title}"]
        for setting in settings:
            value = values[setting.name]
            text = setting.kind.text(value.value)
            line = f"{setting.name} = {_toml(text, value.value)}" if text or value.value == () else f"# {setting.name}"
            lines.append(f"{line:<44} # {value.source}")
    return "\n".join(lines[1:]) + "\n"


def _toml(text: str, value: object) -> str:
    if isinstance(value, bool | int | float):
        return text
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{part}"' for part in text.split(",") if part) + "]"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
