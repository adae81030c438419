"""The built page as the server hands it out."""

import re

import pytest

from palaver.web import asset


def test_the_page_is_found_at_the_root() -> None:
    page = asset("/")
    assert page is not None
    assert page == asset("index.html") == asset("")
    assert page.content_type == "text/html; charset=utf-8"
    assert not page.immutable
    assert b'<div id="page">' in page.body


def test_everything_the_page_asks_for_is_there_with_a_type_and_a_tag() -> None:
    page = asset("/")
    assert page is not None
    wanted = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert len(wanted) >= 3
    for path in wanted:
        found = asset(path)
        assert found is not None, path
        assert re.fullmatch(r'"[0-9a-f]{32}"', found.etag)
        assert found.immutable == path.startswith("/assets/")
        assert not found.content_type.startswith("application/octet-stream")


def test_the_page_has_no_inline_script_or_style_and_asks_nobody_else() -> None:
    page = asset("/")
    assert page is not None
    text = page.body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert "<style" not in text
    assert " style=" not in text
    assert " on" not in re.sub(r"[^<>]*(<[^>]*>)[^<>]*", r"\1", text).replace(" content=", " ")
    assert "//" not in re.sub(r"<!doctype[^>]*>", "", text)


@pytest.mark.parametrize("path", ["../__init__.py", "/../../pyproject.toml", "static/index.html", "nothing", "assets"])
def test_nothing_but_the_page_is_found(path: str) -> None:
    assert asset(path) is None
