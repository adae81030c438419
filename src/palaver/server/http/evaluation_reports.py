"""Results, statistics and reports of evaluations whose results are out, and the export of all of them.

Refuses to do: compute; palaver.review does, in a thread. Invariant: HTML of a report is sandboxed, because a model
wrote some of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from palaver.review import dataset
from palaver.review.errors import ReviewError
from palaver.review.folder import Folder
from palaver.review.published import encode
from palaver.review.reports.compatible import render as compatible
from palaver.review.results import publish
from palaver.review.shelf import Entry
from palaver.server.http.answers import Refused
from palaver.server.http.callers import identify_operator
from palaver.server.http.evaluations import owner, results_of
from palaver.server.http.page import SECURITY
from palaver.server.http.queries import query

if TYPE_CHECKING:
    from palaver.review.profile import Dossier

journal = structlog.get_logger("palaver.http")

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_TABLES = ("marks", "ranking", "judges")
FORMATS = ("md", "measured", "html", "json", "csv")


async def results(request: web.Request) -> web.StreamResponse:
    """The results in the published form."""
    return _text(encode(publish(await results_of(request))).encode(), "application/json")


async def stats(request: web.Request) -> web.StreamResponse:
    """The measured profile: corrected scores with intervals, agreement, judge sheets, votes beside the jury."""
    from palaver.review.reports import json

    dossier = await owner(request).dossiers.of(await results_of(request))
    return _text(json.render(dossier), "application/json")


async def report(request: web.Request) -> web.StreamResponse:
    """A report: `md` in the published form, `measured` (Markdown), `html`, `json`, or `csv` with its `table`."""
    asked = query(request, ("format", "table"))
    wanted, table = asked.get("format", "md"), asked.get("table", "marks")
    if wanted not in FORMATS or table not in _TABLES:
        text = f"`format` is one of {', '.join(FORMATS)}; `table` is one of {', '.join(_TABLES)}."
        raise Refused("invalid_frame", text, field="format" if wanted not in FORMATS else "table")
    matrix = await results_of(request)
    if wanted == "md":
        return _text(compatible(publish(matrix)).encode(), "text/markdown")
    dossier = await owner(request).dossiers.of(matrix)
    body, kind = _renderers(table)[wanted](dossier)
    return _text(body, kind)


def _renderers(table: str) -> "Mapping[str, Callable[[Dossier], tuple[bytes, str]]]":
    from palaver.review.reports import csv, html, json, markdown

    return MappingProxyType(
        {
            "measured": lambda dossier: (markdown.render(dossier).encode(), "text/markdown"),
            "html": lambda dossier: (html.render(dossier).encode(), "text/html"),
            "json": lambda dossier: (json.render(dossier), "application/json"),
            "csv": lambda dossier: (csv.render(dossier, table).encode(), "text/csv"),  # type: ignore[arg-type]  # checked
        }
    )


async def export(request: web.Request) -> web.StreamResponse:
    """Every evaluation whose results are out, as JSON lines; with `part=datasheet` the page that describes them."""
    await identify_operator(request)
    reviews = owner(request)
    part = query(request, ("part",)).get("part", "data")
    if part not in ("data", "datasheet"):
        raise Refused("invalid_frame", "`part` is data or datasheet.", field="part")
    names = sorted(card.id for card in reviews.cards() if card.told)
    if part == "datasheet":
        return _text(await asyncio.to_thread(_datasheet, reviews.root, names), "text/markdown")
    response = web.StreamResponse(
        status=HTTPStatus.OK,
        headers={"Content-Type": "application/jsonl; charset=utf-8", "Cache-Control": "no-store"},
    )
    await response.prepare(request)
    for name in names:
        await response.write(await asyncio.to_thread(_lines, reviews.root, name))
    await response.write_eof()
    return response


def _text(body: bytes, kind: str) -> web.Response:
    headers = {"Cache-Control": "no-store", **SECURITY, "Content-Security-Policy": _POLICY}
    charset = "" if kind == "application/json" else "; charset=utf-8"
    return web.Response(body=body, headers={**headers, "Content-Type": kind + charset})


def _entry(root: Path, name: str) -> Entry:
    return Entry(root / name, Folder(root / name, "export", lambda: 0).matrix())


def _lines(root: Path, name: str) -> bytes:
    try:
        return "".join(dataset.lines([_entry(root, name)])).encode()
    except ReviewError:
        journal.exception("not_exported", evaluation=name)
        return b""


def _datasheet(root: Path, names: list[str]) -> bytes:
    entries = [_entry(root, name) for name in names]
    return dataset.datasheet(entries, "".join(dataset.lines(entries))).encode()
