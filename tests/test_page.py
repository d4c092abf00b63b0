"""The page comes whole, is cached by its content, and may load nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub.transports.page import Page
from tests.conftest import StartHub

WEB: Final = Path(__file__).parents[1] / "web"
FILES: Final = [
    ("/", "index.html", "text/html"),
    ("/page.css", "page.css", "text/css"),
    ("/page.js", "page.js", "text/javascript"),
]


@pytest.mark.parametrize(("path", "name", "content_type"), FILES)
async def test_a_file_comes_whole_with_headers_that_keep_it_safe(
    path: str, name: str, content_type: str, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    async with client.get(path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == f"{content_type}; charset=utf-8"
        assert await response.read() == (WEB / name).read_bytes()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-cache"
        tag = response.headers["ETag"]
    async with client.head(path) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == (WEB / name).stat().st_size
    async with client.get(path, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with client.get(path, headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


async def test_its_policy_lets_nothing_in_but_its_own_files(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.get("/") as response:
        policy = response.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives.pop("default-src") == "'none'"
    assert {"script-src", "style-src", "connect-src", "frame-ancestors"} <= set(directives)
    assert set(directives.values()) <= {"'self'", "'none'"}


class _Tags(HTMLParser):
    """The tags of a page with their attributes, and what its scripts and styles hold."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.inline.append(data.strip())


def test_the_page_keeps_to_its_own_policy_and_to_relative_addresses() -> None:
    """So that it works under any prefix; what the policy forbids would silently not work."""
    parser = _Tags()
    parser.feed((WEB / "index.html").read_text("utf-8"))
    served = {name for _, name, _ in FILES}
    for _, attributes in parser.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert attributes.get(name) in {None, *served}
    assert not [text for text in parser.inline if text]
    script = (WEB / "page.js").read_text("utf-8")
    assert "innerHTML" not in script
    assert not re.search(r"""["'`]/v1|https?://""", script)


async def test_a_page_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    app = web.Application()
    app.add_routes(Page(tmp_path).routes())
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "path", ["/index.html", "/page.css/", "/../config.toml", "/%2e%2e/config.toml", "/page.ts"]
)
async def test_no_other_file_can_be_had(path: str, start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.get(path) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "http_404"
