"""The page of a share link: what it says of the link, and that a wrong one tells nothing."""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, setup
from hub.access.shares import new_share
from hub.domain.events import Message
from hub.domain.principal import Principal
from hub.domain.stream_settings import StreamSettings
from hub.site import share_page
from tests.conftest import Running, StartHub
from tests.site.test_page import assert_safe, build
from tests.support.loopback_hub import eventually
from tests.support.people import auth

BUILT: Final = """<!doctype html>
<html lang="en">
  <head>
    <title>Streamhub</title>
    <link rel="icon" href="favicon.svg" type="image/svg+xml" />
    <script src="theme.js"></script>
    <script type="module" crossorigin src="./assets/share-1a2b.js"></script>
    <link rel="stylesheet" href="./assets/share-1a2b.css">
  </head>
  <body><a href="?format=text">as text</a></body>
</html>
"""
BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NAME: Final = "chat/ann/1"


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_hub: StartHub) -> Running:
    monkeypatch.setattr("hub.app._web_folder", lambda: tmp_path)
    build(tmp_path, {"share.html": BUILT})
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 30}))
    await hub.hub.streams.append_to(NAME, Message("user", "Is <b>this</b> shown?", "ann"))
    return hub


async def link(hub: Running, **asked: Any) -> str:
    """The path of a new link."""
    _, secret = await hub.hub.shares.create(NAME, **asked)
    return f"/s/{secret}"


async def get(
    hub: Running, path: str, headers: dict[str, str] = BROWSER
) -> tuple[int, str, dict[str, str]]:
    async with hub.client.get(path, headers=headers) as response:
        return response.status, await response.text(), dict(response.headers)


async def test_the_page_is_told_what_the_link_shows(hub: Running) -> None:
    title = 'A <script> & "quotes"'
    status, page, headers = await get(hub, await link(hub, title=title, until="now"))
    assert status == 200
    assert_safe(headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    assert headers["Content-Type"].startswith("text/html")
    told = re.search(r'<meta name="share" content="([^"]*)">', page)
    assert told is not None
    shown = {"stream": NAME, "title": title, "frozen": True, "expires": None}
    assert json.loads(html.unescape(told[1])) == shown
    assert f"<title>{html.escape(title)}</title>" in page
    assert title not in page


async def test_the_pages_files_are_one_level_up(hub: Running) -> None:
    _, page, _ = await get(hub, await link(hub))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses == [
        "../favicon.svg",
        "../theme.js",
        "../assets/share-1a2b.js",
        "../assets/share-1a2b.css",
        "?format=text",
    ]


@pytest.mark.parametrize("headers", [{"Accept": "*/*"}, {"Accept": "text/plain"}, BROWSER], ids=str)
async def test_a_conversation_is_there_as_plain_text(hub: Running, headers: dict[str, str]) -> None:
    await hub.hub.streams.append_to(NAME, Message("assistant", "Yes."))
    frozen, live = await link(hub, until="now"), await link(hub)
    await hub.hub.streams.append_to(NAME, Message("user", "And this?", "ann"))
    query = "?format=text" if headers is BROWSER else ""
    status, text, sent = await get(hub, frozen + query, headers)
    assert status == 200
    assert sent["Content-Type"] == "text/plain; charset=utf-8"
    assert_safe(sent)
    assert text == "User:\nIs <b>this</b> shown?\n\nAssistant:\nYes.\n"
    assert (await get(hub, live + query, headers))[1] == f"{text}\nUser:\nAnd this?\n"


async def test_its_text_is_read_in_the_turn_of_who_asks(hub: Running) -> None:
    reads = hub.hub.callers.reads.of("address 127.0.0.1")
    async with reads:
        reading = asyncio.create_task(get(hub, await link(hub), {"Accept": "*/*"}))
        await eventually(lambda: reads._waiters)
        assert not reading.done()
    assert (await reading)[0] == 200


async def test_a_long_conversation_is_cut_as_plain_text(
    hub: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_page, "TEXT_BYTES", 100)
    _, text, _ = await get(hub, await link(hub), {"Accept": "*/*"})
    assert text.endswith(f"{share_page.LEFT_OUT}\n")


async def test_texts_that_one_address_does_not_read_have_a_limit(hub: Running) -> None:
    path, plain = await link(hub), {"Accept": "*/*"}
    unsent = hub.hub.unsent
    with unsent.taken(unsent.share, "address 127.0.0.1"):
        assert (await get(hub, path, plain))[0] == 429
        assert (await get(hub, path))[0] == 200, "the page, which is small"
    with unsent.taken(unsent.share - share_page.TEXT_BYTES, "address 127.0.0.1"):
        assert (await get(hub, path, plain))[0] == 200
    long = "x" * 2 * share_page.TEXT_BYTES
    await hub.hub.streams.append_to(NAME, Message("user", long, "ann"))
    with unsent.taken(unsent.share - share_page.TEXT_BYTES, "address 127.0.0.1"):
        assert (await get(hub, path, plain))[0] == 429
    assert (await get(hub, path, plain))[0] == 200
    assert unsent.held == 0


@pytest.mark.parametrize(
    ("content_type", "said"), [("text/plain", "plain words"), ("image/png", "has no page")]
)
async def test_what_is_no_conversation_has_no_page(
    hub: Running, content_type: str, said: str
) -> None:
    bodies = [(b"plain words", None)]
    await hub.hub.streams.make("notes", StreamSettings(content_type), bodies)
    _, secret = await hub.hub.shares.create("notes")
    status, text, headers = await get(hub, f"/s/{secret}")
    assert status == 200
    assert said in text
    assert_safe(headers)
    assert secret not in text


async def test_a_link_that_does_not_work_looks_the_same_whatever_the_reason(hub: Running) -> None:
    stream = await hub.hub.streams.open(NAME)
    expired, over = new_share(NAME, stream.epoch, expires=time.time() - 1)
    await hub.hub.credentials.add(expired.row)
    revoked, gone = await hub.hub.shares.create(NAME)
    await hub.hub.shares.revoke(revoked.id)
    of_another = await link(hub)
    await hub.hub.streams.delete(NAME)
    deleted = await get(hub, of_another)
    await hub.hub.streams.append_to(NAME, Message("user", "of another"))
    paths = (f"/s/{over}", f"/s/{gone}", of_another, "/s/x", f"/s/{gone[:-1]}", "/s/%00", "/s/%ff")
    answers = [deleted, *[await get(hub, path) for path in paths]]
    assert {answer[0] for answer in answers} == {404}
    assert len({answer[1] for answer in answers}) == 1
    assert "This link does not work" in answers[0][1]
    assert "of another" not in answers[0][1]
    assert len({tuple(sorted(kept(answer[2]).items())) for answer in answers}) == 1
    for answer in answers:
        assert_safe(answer[2])
        assert answer[2]["Cache-Control"] == "no-store"


def kept(headers: dict[str, str]) -> dict[str, str]:
    """Headers without what differs by itself."""
    return {name: held for name, held in headers.items() if name not in ("Date", "X-Request-ID")}


async def test_guessing_is_slowed_down(hub: Running) -> None:
    path = await link(hub)
    for number in range(30):
        assert (await get(hub, f"/s/{number}"))[0] == 404
    status, page, headers = await get(hub, path)
    assert status == 429
    assert "Wait a minute" in page
    assert int(headers["Retry-After"]) > 0


@pytest.mark.parametrize("closed", [True, False])
async def test_a_hub_that_checks_no_credentials_has_no_links(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_hub: StartHub
) -> None:
    """Neither without authentication, nor where an application around it finds the principals."""
    if not closed:
        assert (await get(await start_hub(), "/s/x"))[0] == 404
        return
    app = web.Application()

    async def authorize(request: web.Request) -> Principal:
        return Principal("ann")

    config = Config.model_validate({"store": {"url": "memory:"}, "server": {"drain_seconds": 0.0}})
    setup(app, config=config, authorize=authorize)
    async with TestClient(TestServer(app)) as client:
        async with client.get("/s/x", headers=BROWSER) as response:
            assert response.status == 404
        async with client.post("/v1/shares", json={"stream": "s"}) as response:
            assert response.status == 409


async def test_without_a_build_it_says_what_to_run(hub: Running, tmp_path: Path) -> None:
    (tmp_path / "built.json").unlink()
    build(tmp_path, {"index.html": "<!doctype html>"})
    status, page, _ = await get(hub, await link(hub))
    assert status == 503
    assert "make run" in page
