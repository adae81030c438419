"""The built page, as it was packed into the wheel. Knows nothing of HTTP or of the rest of the program.

`asset` never leaves the package: only names that the build produced are found, so no path can climb out. The page's
scripts and styles are files of their own; a Content-Security-Policy without 'unsafe-inline' fits it.
"""

import hashlib
import mimetypes
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

_TYPES = {  # said here, because the machine's own table of types may say otherwise
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class Asset(NamedTuple):
    """One file of the page. `etag` is quoted and strong; `immutable` means that its name changes with its bytes."""

    body: bytes
    content_type: str
    etag: str
    immutable: bool


def asset(path: str) -> Asset | None:
    """The file at this path of the page ("" or "/" is index.html), or None where there is none.

    Also None for everything when the page has not been built: `make web` builds it.
    """
    return _assets().get(path.strip("/") or "index.html")


@cache
def _assets() -> dict[str, Asset]:
    """Every file of the page. It is small (tens of kilobytes), and part of an installed package, so it is read once."""
    root = files(__package__).joinpath("static")
    return dict(_walk(root, "")) if root.is_dir() else {}


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((f"{prefix}{entry.name}", _load(entry, immutable=prefix.startswith("assets/"))))
    return found


def _load(entry: Traversable, *, immutable: bool) -> Asset:
    body = entry.read_bytes()
    ending = "." + entry.name.rpartition(".")[2]
    kind = _TYPES.get(ending) or mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
    return Asset(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"', immutable)
