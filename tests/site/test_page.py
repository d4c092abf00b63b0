"""The page comes whole, is cached by its content, and may load nothing from elsewhere."""

from __future__ import annotations

import gzip
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, setup
from tests.conftest import StartHub

ORIGIN: Final = "https://chat.example.org"
FOREVER: Final = "public, max-age=31536000, immutable"
BUILT: Final = {
    "index.html": "<!doctype html><title>page</title>",
    "single.html": "<!doctype html><title>single</title>",
    "theme.js": "theme()",
    "favicon.svg": "<svg/>",
    "client.js": "export const connect = 1;",
    "client-worker.js": "onconnect = 1;",
    "client.d.ts": "export {};",
    "elements.js": "customElements",
    "math.js": "export const markup = 1;",
    "diagram.js": "diagram()",
    "diagram.html": "<!doctype html><title>diagram</title>",
    "assets/page-1a2b.js": "page()" * 100,
    "assets/page-1a2b.css": "a{}",
    "assets/font-1a2b.woff2": "font",
    "licenses/page.md": "# Licences",
}
HTML: Final = "text/html; charset=utf-8"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
SERVED: Final = [
    ("/", "index.html", HTML, "no-cache"),
    ("/single.html", "single.html", HTML, "no-cache"),
    ("/theme.js", "theme.js", JAVASCRIPT, "no-cache"),
    ("/favicon.svg", "favicon.svg", "image/svg+xml; charset=utf-8", "no-cache"),
    ("/client.js", "client.js", JAVASCRIPT, "no-cache"),
    ("/client-worker.js", "client-worker.js", JAVASCRIPT, "no-cache"),
    ("/client.d.ts", "client.d.ts", "application/typescript; charset=utf-8", "no-cache"),
    ("/elements.js", "elements.js", JAVASCRIPT, "no-cache"),
    ("/math.js", "math.js", JAVASCRIPT, "no-cache"),
    ("/diagram.js", "diagram.js", JAVASCRIPT, "no-cache"),
    ("/diagram.html", "diagram.html", HTML, "no-cache"),
    ("/assets/page-1a2b.js", "assets/page-1a2b.js", JAVASCRIPT, FOREVER),
    ("/assets/page-1a2b.css", "assets/page-1a2b.css", "text/css; charset=utf-8", FOREVER),
    ("/assets/font-1a2b.woff2", "assets/font-1a2b.woff2", "font/woff2", FOREVER),
    ("/licenses/page.md", "licenses/page.md", "text/markdown; charset=utf-8", "no-cache"),
]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small build in it, which every hub of the test serves."""
    monkeypatch.setattr("hub.app._web_folder", lambda: tmp_path)
    build(tmp_path, BUILT)
    return tmp_path


def build(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    made = folder / "built.new"
    made.write_text(json.dumps({"sources": "", "files": list(files)}))
    made.rename(folder / "built.json")


@pytest.mark.parametrize(("path", "name", "content_type", "cached"), SERVED)
async def test_a_file_comes_whole_with_headers_that_keep_it_safe(
    path: str, name: str, content_type: str, cached: str, built: Path, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    plain = {"Accept-Encoding": "identity"}
    async with client.get(path, headers=plain) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == content_type
        assert await response.text() == BUILT[name]
        assert response.headers["Cache-Control"] == cached
        assert_safe(response.headers)
        tag = response.headers["ETag"]
    async with client.head(path, headers=plain) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == len(BUILT[name])
    async with client.get(path, headers={**plain, "If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == cached
    async with client.get(path, headers={**plain, "If-None-Match": '"other"'}) as response:
        assert response.status == 200


def assert_safe(headers: Any) -> None:
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
    ],
)
async def test_it_comes_packed_to_whom_takes_that(
    accepted: str, *, packed: bool, built: Path, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    path = "/assets/page-1a2b.js"
    asked = {"Accept-Encoding": accepted}
    async with client.get(path, headers=asked, auto_decompress=False) as response:
        held = await response.read()
        assert response.headers["Vary"] == "Accept-Encoding"
        assert ("Content-Encoding" in response.headers) is packed
        tag = response.headers["ETag"]
    assert (gzip.decompress(held) if packed else held).decode() == BUILT[path[1:]]
    assert not packed or len(held) < len(BUILT[path[1:]])
    async with client.get(path, headers={**asked, "If-None-Match": tag}) as response:
        assert response.status == 304
    # Another encoding is other bytes, so it has another tag.
    other = {"Accept-Encoding": "identity" if packed else "gzip", "If-None-Match": tag}
    async with client.get(path, headers=other) as response:
        assert response.status == 200


# What a page may do


def directives(policy: str) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


async def policy_of(start_hub: StartHub, **server: Any) -> dict[str, str]:
    client = (await start_hub(server=server)).client
    async with client.get("/") as response:
        return directives(response.headers["Content-Security-Policy"])


async def test_the_policy_lets_nothing_in_but_its_own_files(
    built: Path, start_hub: StartHub
) -> None:
    assert await policy_of(start_hub) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        # The pictures and sounds of answers.
        "img-src": "'self' data:",
        "media-src": "data:",
        # The fonts of formulas, and the frame in which diagrams are drawn.
        "font-src": "'self'",
        "frame-src": "'self'",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "default dompurify lit-html",
    }


async def test_who_may_show_it_in_a_frame_is_configured(built: Path, start_hub: StartHub) -> None:
    framed = ["self", ORIGIN, "https://*.example.com:8443"]
    policy = await policy_of(start_hub, frame_ancestors=framed)
    assert policy["frame-ancestors"] == f"'self' {ORIGIN} https://*.example.com:8443"


async def test_the_frame_of_diagrams_has_no_origin_and_no_network(
    built: Path, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    async with client.get("/diagram.html") as response:
        assert directives(response.headers["Content-Security-Policy"]) == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'unsafe-inline'",
            "sandbox": "allow-scripts",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "*",
        }
    # Its script is that of another origin to it.
    async with client.get("/diagram.js") as response:
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_a_page_keeps_to_itself(built: Path, start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.get("/") as response:
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in response.headers["Permissions-Policy"]


# Other pages


@pytest.mark.parametrize(
    "name",
    [
        "client.js",
        "client-worker.js",
        "client.d.ts",
        "elements.js",
        "math.js",
        "assets/font-1a2b.woff2",
    ],
)
async def test_what_is_for_other_pages_can_be_had_by_those_that_are_allowed(
    name: str, built: Path, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"origins": [ORIGIN]})).client
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://other.example.org", None)):
        async with client.get(f"/{name}", headers={"Origin": origin}) as response:
            assert response.status == 200
            assert response.headers.get("Access-Control-Allow-Origin") == allowed
            assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert response.headers["Vary"] == "Accept-Encoding, Origin"
            tag = response.headers["ETag"]
        known = {"Origin": origin, "If-None-Match": tag}
        async with client.get(f"/{name}", headers=known) as response:
            assert response.status == 304
            assert response.headers.get("Access-Control-Allow-Origin") == allowed


# Only what is built


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/theme.js/",
        "/page.ts",
        "/built.json",
        "/assets/",
        "/assets/other.js",
        "/assets/../built.json",
        "/assets/%2e%2e/built.json",
        "/assets/..%2fbuilt.json",
        "/assets/..%5cbuilt.json",
        "/assets//etc/passwd",
        "/assets/unlisted.js",
        "/licenses/page-1a2b.js",
        "/../config.toml",
        "/%2e%2e/config.toml",
    ],
)
async def test_no_other_file_can_be_had(path: str, built: Path, start_hub: StartHub) -> None:
    (built / "assets/unlisted.js").write_text("secret")
    client = (await start_hub()).client
    async with client.get(path) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "http_404"


async def test_a_build_that_replaces_another_is_served_at_once(
    built: Path, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    async with client.get("/assets/page-1a2b.js") as response:
        assert response.status == 200
    (built / "assets/page-1a2b.js").unlink()
    build(built, {"index.html": "another", "assets/page-3c4d.js": "another()"})
    async with client.get("/") as response:
        assert await response.text() == "another"
    for name, status in (("page-3c4d.js", 200), ("page-1a2b.js", 404)):
        async with client.get(f"/assets/{name}") as response:
            assert response.status == status


async def test_a_build_that_is_half_gone_is_served_as_it_was(
    built: Path, start_hub: StartHub
) -> None:
    """Between the removal of one build and the coming of the next, and in the middle of it."""
    client = (await start_hub()).client
    async with client.get("/") as response:
        first = await response.text()
    (built / "index.html").unlink()
    os.utime(built / "built.json", ns=(1, 1))
    async with client.get("/") as response:
        assert (response.status, await response.text()) == (200, first)
    (built / "built.json").unlink()
    async with client.get("/") as response:
        assert (response.status, await response.text()) == (200, first)


class _Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


async def test_where_nothing_is_built_the_page_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_hub: StartHub
) -> None:
    monkeypatch.setattr("hub.app._web_folder", lambda: tmp_path / "dist")
    client = (await start_hub()).client
    for path in ("/", "/single.html"):
        async with client.get(path) as response:
            assert response.status == 503
            assert response.content_type == "text/html"
            assert response.headers["Cache-Control"] == "no-store"
            assert_safe(response.headers)
            said = await response.text()
        assert "make run" in said
        tags = _Tags()
        tags.feed(said)
        held = {name for _, attributes in tags.tags for name in attributes}
        assert not {tag for tag, _ in tags.tags} & {"script", "style", "link", "img"}
        assert not held & {"style", "src", "href"}
    async with client.get("/client.js") as response:
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "page_not_built"
    (tmp_path / "dist").mkdir()
    build(tmp_path / "dist", BUILT)
    async with client.get("/") as response:
        assert (response.status, await response.text()) == (200, BUILT["index.html"])


# Under a prefix


async def test_the_whole_page_is_under_the_prefix_and_nothing_of_it_beside(built: Path) -> None:
    app = web.Application()
    setup(app, prefix="/hub", config=Config.model_validate({"store": {"url": "memory:"}}))
    async with TestClient(TestServer(app)) as client:
        for path, name, content_type, _ in SERVED:
            async with client.get(f"/hub{path}") as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == content_type
                assert await response.text() == BUILT[name]
            async with client.get(path) as response:
                assert response.status == 404


@pytest.mark.parametrize(
    ("prefix", "inside", "path", "location"),
    [
        ("/hub", "", "/hub", "/hub/"),
        ("/hub", "", "/hub?a=1&b=%26", "/hub/?a=1&b=%26"),
        ("/a/b:c", "", "/a/b:c", "/a/b:c/"),
        ("/hub", "/app", "/app/hub", "/app/hub/"),
        ("", "/app", "/app", "/app/"),
    ],
)
async def test_its_address_without_the_slash_leads_to_the_one_with_it(
    prefix: str, inside: str, path: str, location: str, built: Path
) -> None:
    inner = web.Application()
    setup(inner, prefix=prefix, config=Config.model_validate({"store": {"url": "memory:"}}))
    app = inner
    if inside:
        app = web.Application()
        app.add_subapp(inside, inner)
    async with TestClient(TestServer(app)) as client:
        async with client.get(path, allow_redirects=False) as response:
            assert response.status == 307
            where = response.headers["Location"]
            # Relative, so that it also holds behind a proxy that takes a prefix off.
            assert where.startswith("./")
            assert response.url.join(type(response.url)(where)).path_qs == location
        async with client.get(path) as response:
            assert await response.text() == BUILT["index.html"]
