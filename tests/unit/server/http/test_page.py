from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from palaver.server.http.page import Page, load_assets


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "assets" / "app-1a2B3c4D.js").write_text("start()")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    return tmp_path


def site(root: Path) -> TestClient[web.Request, web.Application]:
    page, app = Page(load_assets(root)), web.Application()
    app.router.add_get("/", page.serve)
    app.router.add_get("/{path:.+}", page.serve)
    return TestClient(TestServer(app))


async def test_the_page_is_served_with_its_type_and_a_policy(built: Path) -> None:
    async with site(built) as client:
        response = await client.get("/")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "title" in await response.text()


async def test_what_the_client_has_is_not_sent_again(built: Path) -> None:
    async with site(built) as client:
        etag = (await client.get("/")).headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await client.get("/", headers={"If-None-Match": known})
            assert (again.status, await again.read()) == (304, b"")
        assert (await client.get("/", headers={"If-None-Match": '"other"'})).status == 200


async def test_files_named_by_their_content_are_kept_for_ever_and_others_are_asked_for_again(built: Path) -> None:
    async with site(built) as client:
        assert "immutable" in (await client.get("/assets/app-1a2B3c4D.js")).headers["Cache-Control"]
        assert (await client.get("/favicon.svg")).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/nothing", "/assets", "/assets/../../secret", "/%2e%2e/secret", "/assets/%00"])
async def test_no_path_leads_out_of_the_page(built: Path, path: str) -> None:
    (built.parent / "secret").write_text("hush")
    async with site(built) as client:
        assert (await client.get(path)).status == 404


async def test_a_page_that_was_not_built_says_so(tmp_path: Path) -> None:
    async with site(tmp_path / "none") as client:
        assert "make web" in await (await client.get("/")).text()
