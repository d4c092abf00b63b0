"""`/docs`: readable, whole, and nothing in it comes from elsewhere or runs."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

import hub as streamhub
from hub.config.schema import Config
from hub.docs import files
from hub.docs.html import Markup, el, prose
from hub.docs.recipes import page as recipes_page
from tests.conftest import StartHub

PAGES = ["/docs", "/docs/recipes"]
FILES = {
    "/docs/openapi.json": "application/json",
    "/docs/asyncapi.json": "application/json",
    "/docs/docs.css": "text/css",
}
VOID = {"meta", "link", "br", "wbr", "hr", "img"}


class Reader(HTMLParser):
    """A page's elements; it complains of one that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name != "style"
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
async def client(start_hub: StartHub) -> TestClient[Any, Any]:
    return (await start_hub()).client


async def read(client: TestClient[Any, Any], path: str) -> Reader:
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Reader(await answer.text())


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_runs_and_nothing_comes_from_elsewhere(
    client: TestClient[Any, Any], path: str
) -> None:
    page = await read(client, path)
    assert not {"script", "iframe", "object", "style", "base"} & set(page.names)
    answer = await client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert [link for link in page.links if re.match(r"(?i)[a-z]+:|//", link)] == []


@pytest.mark.parametrize("path", PAGES)
async def test_every_link_leads_somewhere(client: TestClient[Any, Any], path: str) -> None:
    page = await read(client, path)
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    for link in set(page.links):
        place, _, anchor = link.partition("#")
        if place:
            found = await client.get(str(client.make_url(path).join(URL(place)).path))
            assert found.status in (200, 503), link  # the page itself may not be built
        else:
            assert anchor in page.ids


async def test_everything_that_is_described_is_shown(client: TestClient[Any, Any]) -> None:
    page = await read(client, "/docs")
    openapi, asyncapi = json.loads(files.openapi()), json.loads(files.asyncapi())
    for path, methods in openapi["paths"].items():
        for method, one in methods.items():
            place = re.sub(r"[^a-z0-9]+", "-", f"{method} {path}".lower()).strip("-")
            assert place in page.ids
            assert one["summary"].replace("`", "") in page.text.replace("`", "")
            for parameter in one.get("parameters", ()):
                assert parameter["name"] in page.text
    for name, operation in asyncapi["operations"].items():
        if operation["action"] == "receive":
            assert f"command-{name}" in page.ids
    for one in asyncapi["operations"]["hear"]["messages"]:
        assert f"frame-{one['$ref'].rpartition('/')[2]}" in page.ids
    for code in openapi["components"]["schemas"]["Error"]["properties"]["error"]["properties"][
        "code"
    ]["anyOf"][0]["enum"]:
        assert f"code-{code}" in page.ids or code == "page_not_built"


@pytest.mark.parametrize("path", FILES)
async def test_the_files(client: TestClient[Any, Any], path: str) -> None:
    answer = await client.get(path)
    assert (answer.status, answer.content_type) == (200, FILES[path])
    if answer.content_type == "application/json":
        assert path.split("/")[-1].removesuffix(".json") in await answer.json()


@pytest.mark.parametrize("path", [*PAGES, *FILES])
async def test_what_is_known_is_not_sent_again(client: TestClient[Any, Any], path: str) -> None:
    tag = (await client.get(path)).headers["ETag"]
    again = await client.get(path, headers={"If-None-Match": tag})
    assert (again.status, await again.read()) == (304, b"")
    assert (await client.get(path, headers={"If-None-Match": 'W/"other"'})).status == 200
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


async def test_under_a_prefix() -> None:
    app = web.Application()
    streamhub.setup(app, prefix="/hub", config=Config.model_validate({"store": {"url": "memory:"}}))
    async with TestClient(TestServer(app)) as client:
        for path in PAGES:
            page = await read(client, f"/hub{path}")
            for link in {link for link in page.links if not link.startswith("#")}:
                place = client.make_url(f"/hub{path}").join(URL(link)).path
                assert place.startswith("/hub/"), link
                assert (await client.get(place)).status in (200, 503)


def test_what_is_written_is_shown_as_text() -> None:
    assert el("p", "<b>&", title='"') == '<p title="&quot;">&lt;b&gt;&amp;</p>'
    assert prose("a `<b>` c") == "a <code>&lt;b&gt;</code> c"
    assert el("p", Markup("<b>")) == "<p><b></p>"
    shown = recipes_page("# T\n\n## A `b`\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))")
    assert "<script" not in shown
    assert 'href="javascript' not in shown
    assert 'id="a-b"' in shown
