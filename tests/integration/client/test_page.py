"""The built page: what the server hands out fits the Content-Security-Policy it sends."""

import re

import pytest

from palaver.server.http.page import load_assets


@pytest.fixture
def html() -> str:
    return load_assets()[""].body.decode()


def test_everything_the_page_asks_for_was_built(html: str) -> None:
    wanted = re.findall(r'(?:src|href)="/([^"]+)"', html)
    assert len(wanted) >= 3, "a script, a style sheet and an icon"
    assert set(wanted) <= set(load_assets())


def test_the_page_has_no_inline_script_or_style_and_asks_no_other_server(html: str) -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", html) == []
    assert "//" not in html
