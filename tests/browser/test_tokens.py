"""Pages with tokens: who shares a connection, how it outlasts a token, and how a refusal looks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page, expect

from hub import Config, Hub, setup
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.stored_keys import row_of
from hub.domain.events import Message
from tests.browser.conftest import Axe, NewGround, Shot
from tests.browser.ground import Ground
from tests.support.issuer import SECRET, issue
from tests.support.loopback_hub import eventually
from tests.support.people import auth

READER: Final = """\
<!doctype html>
<html lang="en">
  <title>reading</title>
  <link rel="icon" href="data:,">
  <pre></pre>
  <script type="module">
    import { connect } from "/hub/client.js";
    const token = async () => (await fetch(`/token${location.search}`)).text();
    const hub = connect("/hub/", { token });
    const show = ({ turns, running }) => {
      document.querySelector("pre").textContent = turns.at(-1).text;
      if (turns.at(-1).kind === "reply" && !running.length) document.title = "over";
    };
    hub.conversation("chat/ann/1", show, { failed: ({ code }) => { document.title = code; } });
    window.ask = () => hub.generate({ stream: "chat/ann/1", prompt: "poem" });
  </script>
</html>
"""
CHAT: Final = """\
<!doctype html>
<html lang="en">
  <title>A chat</title>
  <link rel="icon" href="data:,">
  <script type="module" src="/hub/elements.js"></script>
  <main><h1>A chat</h1>
    <hub-chat stream="chat/ann/1"></hub-chat><hub-stream stream="chat/ann/1"></hub-stream>
  </main>
  <script>
    window.told = [];
    const token = async () => (await fetch(`/token${location.search}`)).text();
    for (const name of ["hub-chat", "hub-stream"]) {
      const element = document.querySelector(name);
      element.addEventListener("hub-status", ({ detail }) => told.push(detail.status));
      element.token = token;
    }
  </script>
</html>
"""


class Site:
    """An application with a hub, which issues tokens that last four seconds, or a key."""

    def __init__(self, hub: Hub, ground: Ground) -> None:
        self.hub = hub
        self.ground = ground
        self.issued = Counter[str]()
        self.key = ""

    async def tab(self, page: str, user: str) -> Page:
        return await self.ground.tab(f"/{page}?user={user}")


@pytest_asyncio.fixture(loop_scope="package")
async def site(new_ground: NewGround) -> AsyncIterator[Site]:
    count = itertools.count()
    held: list[Site] = []

    async def token(request: web.Request) -> web.Response:
        user = request.query["user"]
        held[0].issued[user] += 1
        if user == "key":
            return web.Response(text=held[0].key)
        return web.Response(text=issue(4, sub=user, jti=str(next(count))))

    def show(text: str) -> web.RouteDef:
        async def respond(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type="text/html")

        return web.get("/reader" if text is READER else "/chat", respond)

    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    config = Config.model_validate(
        {
            "store": {"url": "memory:"},
            "upstreams": {"demo": {"dialect": "demo", "options": {"pace": 15}}},
            "auth": auth(issuers=issuers),
            "server": {"drain_seconds": 0.0},
        }
    )
    app = web.Application()
    app.add_routes([web.get("/token", token), show(READER), show(CHAT)])
    hub = setup(app, prefix="/hub", config=config, environ={"APP_SECRET": SECRET})
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ground = new_ground(f"http://127.0.0.1:{runner.addresses[0][1]}")
    held.append(Site(hub, ground))
    yield held[0]
    await ground.close()
    await runner.cleanup()


async def test_tabs_of_one_user_share_a_connection_that_outlasts_a_token(site: Site) -> None:
    tabs = [await site.tab("reader", "ann") for _ in range(3)]
    await eventually(lambda: len(site.hub.connections) == 1)
    (connection,) = site.hub.connections
    before = site.issued["ann"]
    await tabs[0].evaluate("ask()")
    for tab in tabs:
        await expect(tab).to_have_title("over")
    stream = await site.hub.streams.open("chat/ann/1")
    said = [getattr(event, "text", "") async for event in stream.events()]
    for tab in tabs:
        assert await tab.locator("pre").inner_text() == "".join(said[1:])
    assert site.hub.connections == {connection}, "it was never made again"
    # Each token is asked of one tab, and one more is for the command.
    assert before + 2 <= site.issued["ann"] <= before + 8


async def test_another_tab_has_the_token_when_one_is_closed(site: Site) -> None:
    first, second = await site.tab("reader", "ann"), await site.tab("reader", "ann")
    await eventually(lambda: len(site.hub.connections) == 1)
    await second.close()
    before = site.issued["ann"]
    await eventually(lambda: site.issued["ann"] >= before + 2)
    await site.hub.streams.append_to("chat/ann/1", Message("user", "Hello"))
    await expect(first.locator("pre")).to_have_text("Hello")
    assert len(site.hub.connections) == 1


async def test_another_user_in_the_same_browser_reads_nothing(site: Site) -> None:
    await site.hub.streams.append_to("chat/ann/1", Message("user", "secret"))
    ann = await site.tab("reader", "ann")
    await expect(ann.locator("pre")).to_have_text("secret")
    bob = await site.tab("reader", "bob")
    await expect(bob).to_have_title("stream_not_found")
    assert len(site.hub.connections) == 2
    assert await bob.locator("pre").inner_text() == ""


async def test_a_draft_is_its_writers_alone(site: Site) -> None:
    """Also where an application has both of them write to one stream, in one browser."""
    page = await site.tab("chat", "ann")
    box = page.locator("hub-chat textarea")
    await box.fill("a secret draft")
    await page.wait_for_function("Object.keys(localStorage).some((key) => /^hub-draft/.test(key))")
    await page.goto(page.url.replace("ann", "bob"))
    await page.wait_for_function("told.some(({ state }) => state === 'live')")
    assert await box.input_value() == ""
    await page.goto(page.url.replace("bob", "ann"))
    await expect(box).to_have_value("a secret draft")
    stored = await page.evaluate("JSON.stringify({ ...localStorage })")
    assert "eyJ" not in stored, "no token is kept"


async def test_elements_say_that_they_are_refused(site: Site, axe: Axe, shot: Shot) -> None:
    site.key = "nonsense"
    page = await site.tab("chat", "key")
    chat, stream = page.locator("hub-chat"), page.locator("hub-stream")
    await expect(chat.get_by_role("alert")).to_contain_text("This is neither a key nor a token")
    await expect(chat.locator("hub-status")).to_contain_text("Closed")
    await expect(stream.get_by_role("status")).to_contain_text("This is neither a key nor a token")
    told = await page.evaluate("told.filter(({ state }) => state === 'closed')")
    assert {status["code"] for status in told} == {"invalid_token"}
    assert len(told) == 2
    assert "nonsense" not in await page.content()
    assert await axe(page) == []
    await shot(page, "refused")
    asked = site.issued["key"]
    await page.wait_for_timeout(1500)
    assert site.issued["key"] == asked, "it is over"


async def test_elements_say_that_their_key_was_revoked(site: Site) -> None:
    site.key, name, digest = new_key()
    await site.hub.credentials.add(row_of(ApiKey(name, digest, user="ann")))
    page = await site.tab("chat", "key")
    await expect(page.locator("hub-chat hub-status")).to_contain_text("Live")
    site.hub.revoke(name)
    await expect(page.locator("hub-chat hub-status")).to_contain_text("This token was revoked")
    await expect(page.locator("hub-stream").get_by_role("status")).to_have_text(
        "This token was revoked."
    )
