"""The elements and the client on somebody else's page: another origin, ten lines, no build."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, expect

from tests.browser.chat import ENDLESS, Chat, words
from tests.browser.conftest import Axe, NewGround, Shot, StartHubProcess
from tests.browser.ground import Ground

STREAM = """\
<!doctype html>
<html lang="en">
  <head>
    <title>A page</title>
    <link rel="icon" href="data:,">
    <script type="module" src="HUB/elements.js"></script>
  </head>
  <body>
    <main><h1>A page</h1>
      BODY
    </main>
  </body>
</html>
"""
CLIENT = """\
<!doctype html>
<html lang="en">
  <title>A page</title>
  <link rel="icon" href="data:,">
  <pre></pre>
  <script type="module">
    import { connect } from "HUB/client.js";
    const hub = connect();
    const { stream } = await hub.generate({ prompt: "echo SAID" });
    for await (const { event } of hub.follow(stream)) {
      if (event?.type === "delta") document.querySelector("pre").append(event.text);
      if (event?.type === "finished") document.title = "over";
    }
  </script>
</html>
"""

Show = Callable[[str], "web.Response"]


class Elsewhere:
    """A site of another origin, with one page, and the hub whose files it uses."""

    def __init__(self, hub: str, url: str, ground: Ground) -> None:
        self.hub = hub
        self.ground = ground
        self.html = ""
        self._url = url

    async def show(self, html: str) -> Page:
        """A tab with this page; HUB in it is the hub's address."""
        self.html = html.replace("HUB", self.hub)
        return await self.ground.tab(self._url)

    async def show_with(self, body: str) -> Page:
        return await self.show(STREAM.replace("BODY", body))

    async def ask(self, stream: str, prompt: str) -> None:
        async with aiohttp.ClientSession() as http:
            asked = {"stream": stream, "prompt": prompt}
            async with http.post(f"{self.hub}/v1/generations", json=asked) as answer:
                assert answer.status == 201, await answer.text()


@pytest_asyncio.fixture(loop_scope="package")
async def elsewhere(
    start_hub_process: StartHubProcess, new_ground: NewGround
) -> AsyncIterator[Elsewhere]:
    site: list[Elsewhere] = []

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=site[0].html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        hub = await start_hub_process(server={"origins": [url]})
        ground = new_ground(url)
        ground.allow(hub.url)
        site.append(Elsewhere(hub.url, url, ground))
        yield site[0]
        await ground.close()


async def test_a_stream_in_ten_lines(elsewhere: Elsewhere, axe: Axe, shot: Shot) -> None:
    page = await elsewhere.show_with('<hub-stream stream="one"></hub-stream>')
    stream = page.locator("hub-stream")
    await expect(stream).to_contain_text("Waiting for the stream to start")
    await elsewhere.ask("one", "tour")
    await expect(stream).to_contain_text("Say help to see what else I can do.")
    await expect(stream.get_by_role("heading", name="Hello from the demo")).to_be_visible()
    assert await axe(page) == []
    await shot(page, "hub-stream")


async def test_a_stream_as_plain_text(elsewhere: Elsewhere) -> None:
    await elsewhere.ask("one", "echo *as* it <b>stands</b>")
    page = await elsewhere.show_with('<hub-stream stream="one" format="plain" quiet></hub-stream>')
    await expect(page.locator("hub-stream .plain")).to_have_text("*as* it <b>stands</b>")
    await expect(page.locator("hub-stream .status")).to_have_count(0)


async def test_a_chat_in_ten_lines(elsewhere: Elsewhere, axe: Axe, shot: Shot) -> None:
    page = await elsewhere.show_with('<hub-chat stream="one"></hub-chat>')
    chat = Chat(page)
    await expect(page.locator("hub-chat hub-status")).to_contain_text("Live")
    await chat.send(ENDLESS)
    await chat.begun(past=600)
    # No height was given: it is as high as the window at most, and what it holds scrolls.
    assert await page.evaluate("document.querySelector('hub-chat').offsetHeight <= innerHeight")
    await chat.stop_button.click()
    await expect(chat.ending).to_contain_text("Stopped")
    assert await axe(page) == []
    await chat.replies.last.get_by_role("button", name="Answer again").click()
    await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
    await chat.begun()
    await chat.composer.press("Escape")
    await chat.over()
    await chat.replies.last.get_by_role("button", name="Previous version").click()
    await expect(chat.replies.last.locator(".count")).to_have_text("1/2")
    await shot(page, "hub-chat")


async def test_a_chat_that_has_no_name_yet(elsewhere: Elsewhere) -> None:
    """And two elements on one page, which share what they can."""
    page = await elsewhere.show_with("<hub-chat></hub-chat>")
    chat = Chat(page)
    await chat.send(f"echo {words(20)}")
    await chat.answered(words(20))
    stream = await page.locator("hub-chat").get_attribute("stream")
    await page.evaluate(
        "name => { const one = document.createElement('hub-stream'); one.stream = name;"
        " document.body.append(one); }",
        stream,
    )
    await expect(page.locator("hub-stream")).to_contain_text(words(20))
    await page.evaluate("document.querySelector('hub-chat').remove()")
    assert stream is not None
    await elsewhere.ask(stream, "echo once more")
    await expect(page.locator("hub-stream")).to_contain_text("once more")


async def test_it_looks_as_the_page_wants(elsewhere: Elsewhere) -> None:
    page = await elsewhere.show_with(
        '<hub-chat style="--hub-background: rgb(1, 2, 3); --hub-text: rgb(250, 250, 4)"></hub-chat>'
    )
    chat = page.locator("hub-chat")
    await expect(chat).to_have_css("background-color", "rgb(1, 2, 3)")
    await expect(chat).to_have_css("color", "rgb(250, 250, 4)")


async def test_the_client_without_a_build(elsewhere: Elsewhere) -> None:
    page = await elsewhere.show(CLIENT.replace("SAID", words(40)))
    await expect(page).to_have_title("over")
    await expect(page.locator("pre")).to_have_text(words(40))


async def test_a_page_that_was_not_allowed(
    start_hub_process: StartHubProcess, elsewhere: Elsewhere
) -> None:
    """The element says that it cannot, instead of waiting for ever."""
    closed = await start_hub_process()
    elsewhere.ground.allow(closed.url)
    elsewhere.ground.expect("CORS", "net::ERR_", "WebSocket")
    page = await elsewhere.show_with(f'<hub-stream src="{closed.url}" stream="one"></hub-stream>')
    await expect(page.locator("hub-stream .status")).to_contain_text("Offline")
