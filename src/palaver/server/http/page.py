"""The built page at `/`: the files of palaver.web, read once at the start and served from memory.

Refuses to do: look at the disk because of a request, so that no path of a URL can lead anywhere. Files with a hash in
their name are cached for ever, the others are asked for again with their ETag.
"""

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from aiohttp import web

SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self'; "
        "connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_HASHED = re.compile(r"[-.][A-Za-z0-9_-]{8,}\.\w+$")
_NOT_BUILT = b"""<!doctype html><meta charset="utf-8"><title>Palaver</title>
<p>Palaver is running. The page was not built into this installation; <code>make web</code> builds it.</p>
"""


class Asset(NamedTuple):
    """One file in memory."""

    body: bytes
    content_type: str
    etag: str
    cache: str


def load_assets(root: Traversable | None = None) -> dict[str, Asset]:
    """Read the built page's files, by their path below `/`. The page itself is under the empty path."""
    root = files("palaver.web") / "static" if root is None else root
    assets = dict(_read(root, "")) if root.is_dir() else {}
    index = assets.get("index.html") or _asset("index.html", _NOT_BUILT)
    return {**assets, "": index}


def _read(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            found += _read(entry, path + "/")
        else:
            found.append((path, _asset(path, entry.read_bytes())))
    return found


def _asset(path: str, body: bytes) -> Asset:
    guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
    kind = {"text/html": "text/html; charset=utf-8", "text/css": "text/css; charset=utf-8"}.get(guessed, guessed)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cache = "public, max-age=31536000, immutable" if path.startswith("assets/") and _HASHED.search(path) else "no-cache"
    return Asset(body, kind, etag, cache)


class Page:
    """Serves the assets."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A file of the page, or 304 where the client has it already."""
        asset = self._assets.get(request.match_info.get("path", ""))
        if asset is None:
            raise web.HTTPNotFound
        headers = {"ETag": asset.etag, "Cache-Control": asset.cache, "Content-Type": asset.content_type, **SECURITY}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
        if asset.etag in known or "*" in known:
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, headers=headers)
