"""The query of a URL, checked. Raises Refused for what is unknown, doubled or out of range."""

from aiohttp import web

from palaver.server.http.answers import Refused


def query(request: web.Request, names: tuple[str, ...]) -> dict[str, str]:
    """The query, which may have these fields, each once. Raises Refused."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in names or name in found:
            raise Refused("invalid_frame", f"The query may have {', '.join(names)}, each once.", field=name[:64])
        found[name] = value
    return found


def number(text: str, name: str, low: int, high: int) -> int:
    """A whole number of the query or the path. Raises Refused."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise Refused("invalid_frame", f"`{name}` must be a whole number from {low} to {high}.", field=name)
    return int(text)
