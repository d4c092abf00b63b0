"""Share links and tickets in a browser that has no account: what it shows, and for how long."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest_asyncio
from playwright.async_api import Page, expect

from hub.access.shares import new_share
from hub.auth.login_links import new_link
from hub.cli import running_hub
from hub.stores.sqlite.inspect import Inspector
from tests.browser.chat import Chat
from tests.browser.conftest import Axe, NewGround, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess
from tests.browser.test_eventsource import FOLLOW
from tests.support.people import OWN, auth, bearer

NAME: Final = "talk"
GRANT: Final = {"who": "user", "match": NAME, "can": [*OWN, "share"]}
OVER: Final = "This link does not work"
GONE: Final = r"status of 40[14]|WebSocket connection"
"""What a console says of a link that does not work any more."""


class Owner:
    """Ann, who uses no browser."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with (
            aiohttp.ClientSession(headers=bearer("ann")) as client,
            client.request(method, self.hub.url + path, json=body) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json() if response.status != 204 else None

    async def say(self, prompt: str) -> None:
        """Ask, and wait for the answer."""
        begun = await self.ask("POST", "/v1/generations", {"prompt": prompt, "stream": NAME})
        live = f"{self.hub.url}/v1/live/{NAME}?format=ndjson"
        async with aiohttp.ClientSession(headers=bearer("ann")) as client, client.get(live) as read:
            async for line in read.content:
                if b'"finished"' in line and begun["id"].encode() in line:
                    return

    async def share(self, **asked: Any) -> tuple[str, str]:
        made = await self.ask("POST", "/v1/shares", {"stream": NAME, **asked})
        return made["id"], made["url"]

    @property
    def store(self) -> Path:
        return Path(self.hub.tables["store"]["url"].removeprefix("sqlite:"))


@pytest_asyncio.fixture(loop_scope="package")
async def hub(start_hub_process: StartHubProcess) -> HubProcess:
    return await start_hub_process(auth=auth(GRANT))


@pytest_asyncio.fixture(loop_scope="package")
async def owner(hub: HubProcess) -> Owner:
    owner = Owner(hub)
    await owner.say("echo first")
    return owner


async def shows(page: Page, *texts: str) -> None:
    """The messages of people, and nothing that could write."""
    chat = Chat(page)
    await expect(chat.said).to_have_count(len(texts))
    for place, text in enumerate(texts):
        await expect(chat.said.nth(place)).to_contain_text(text)
    await expect(page.get_by_role("textbox")).to_have_count(0)
    for name in ("Send", "Stop", "Regenerate", "Edit", "Delete", "Share"):
        await expect(page.get_by_role("button", name=re.compile(name))).to_have_count(0)


async def signed_in(ground: Ground, owner: Owner) -> Page:
    """Ann's own browser, with the conversation."""
    now = time.time()
    secret, row = new_link("ann", None, now=now, expires=now + 600)
    await asyncio.to_thread(running_hub.add, owner.store, row)
    page = await ground.tab(f"/login/{secret}")
    await page.get_by_role("button", name="Sign in as ann").click()
    await page.wait_for_url(f"{ground.url}/")
    await page.goto(f"{ground.url}/#/c/{NAME}")
    return page


async def test_an_owner_shares_in_the_page_and_takes_it_back(
    hub: HubProcess, owner: Owner, new_ground: NewGround, axe: Axe
) -> None:
    ground = new_ground(hub.url)
    page = await signed_in(ground, owner)
    await expect(Chat(page).said).to_have_count(1)
    await page.get_by_role("button", name="Share").click()
    await page.get_by_role("menuitem", name="Share by link…").click()
    dialog = page.get_by_role("dialog", name="Share by link")
    await dialog.get_by_label("Live: also what comes").check()
    await dialog.get_by_label("It works").select_option(label="Until it is revoked")
    await dialog.get_by_role("button", name="Create link").click()
    link = await dialog.get_by_role("textbox", name="Link").input_value()
    assert link.startswith(f"{hub.url}/s/")
    await expect(dialog.get_by_role("listitem")).to_have_count(1)
    await expect(dialog.get_by_role("listitem")).to_contain_text("Live, by ann")
    assert await axe(page) == []
    reader = await ground.tab(link, context=await ground.context())
    await shows(reader, "echo first")
    own = await ground.tab(link)
    await shows(own, "echo first")
    await owner.say("echo second")
    await shows(reader, "echo first", "echo second")
    await shows(own, "echo first", "echo second")
    ground.expect(GONE)
    await dialog.get_by_role("button", name="Revoke this link").click()
    await expect(dialog.get_by_role("listitem")).to_have_count(0)
    for ended in (reader, own):
        await expect(ended.get_by_role("alert")).to_contain_text(OVER)
    await expect(dialog.get_by_role("textbox", name="Link")).to_have_count(0)


async def test_without_authentication_the_page_shares_its_own_address(
    start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    hub = await start_hub_process()
    ground = new_ground(hub.url)
    page = await ground.tab(f"/#/c/{NAME}")
    await Chat(page).send("echo hello")
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("menuitem", name="Copy read-only link")).to_be_visible()
    await expect(page.get_by_role("menuitem", name="Share by link…")).to_have_count(0)


async def test_a_live_link_is_followed_until_it_is_revoked(
    hub: HubProcess, owner: Owner, new_ground: NewGround, axe: Axe
) -> None:
    id_, path = await owner.share(title="For Bob")
    ground = new_ground(hub.url)
    page = await ground.tab(path)
    await expect(page).to_have_title("For Bob")
    await shows(page, "echo first")
    await owner.say("echo second")
    await shows(page, "echo first", "echo second")
    await expect(Chat(page).reply).to_contain_text("second")
    assert await axe(page) == []
    ground.expect(GONE)
    await owner.ask("DELETE", f"/v1/shares/{id_}")
    await expect(page.get_by_role("alert")).to_contain_text(OVER)
    await shows(page, "echo first", "echo second")
    await page.reload()
    await expect(page.get_by_role("heading")).to_have_text(OVER)
    await expect(page.get_by_text("Ask whoever gave it to you")).to_be_visible()


async def test_a_frozen_link_shows_nothing_of_later_turns(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    _, path = await owner.share(until="now")
    ground = new_ground(hub.url)
    page = await ground.tab(path)
    await shows(page, "echo first")
    await owner.say("echo second")
    await page.reload()
    await shows(page, "echo first")
    await expect(page.get_by_text("As it was")).to_be_visible()
    assert "second" not in await page.content()


async def test_nothing_is_written_with_what_the_page_has(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    _, path = await owner.share()
    ground = new_ground(hub.url)
    page = await ground.tab(path)
    ground.expect("status of 40[34]")
    hello = {"type": "message", "role": "user", "text": "Hello"}
    for method, where, body in (
        ("POST", f"/v1/stream/{NAME}", hello),
        ("DELETE", f"/v1/stream/{NAME}", None),
        ("POST", "/v1/generations", {"prompt": "echo no", "stream": NAME}),
        ("POST", "/v1/shares", {"stream": NAME}),
        ("GET", "/v1/stream/chat/ann/1", None),
    ):
        status = await page.evaluate(
            """async ([method, where, body]) => (await fetch(where, {
                method,
                body: body && JSON.stringify(body),
                headers: {
                    "Content-Type": "application/json",
                    Authorization: `Bearer sl_${location.pathname.split("/").at(-1)}`,
                },
            })).status""",
            [method, where, body],
        )
        assert status in (403, 404), where
    await shows(page, "echo first")


async def test_a_link_that_expires_says_so_by_itself(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    with Inspector(owner.store) as inspector:
        (epoch, _), *_ = inspector.find(NAME).epochs
    ground = new_ground(hub.url)
    ground.expect(GONE)
    page = await ground.tab("/livez")
    seconds = 2.0
    while not await Chat(page).said.count():
        # On a busy machine the link may have expired before the page has shown anything.
        seconds *= 2
        share, secret = new_share(NAME, epoch, expires=time.time() + seconds)
        await asyncio.to_thread(running_hub.add, owner.store, share.row)
        await page.goto(f"{hub.url}/s/{secret}")
        await expect(Chat(page).said.or_(page.get_by_text(OVER)).first).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text(OVER)
    await page.reload()
    await expect(page.get_by_role("heading")).to_have_text(OVER)


async def test_a_link_dies_with_its_stream(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    _, path = await owner.share()
    ground = new_ground(hub.url)
    page = await ground.tab(path)
    await shows(page, "echo first")
    ground.expect(GONE)
    await owner.ask("DELETE", f"/v1/stream/{NAME}")
    await owner.say("echo secret")
    await page.reload()
    await expect(page.get_by_role("heading")).to_have_text(OVER)
    assert "secret" not in await page.content()


async def test_a_link_goes_on_after_a_restart(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    _, path = await owner.share()
    ground = new_ground(hub.url)
    ground.expect(r"net::ERR_|WebSocket connection")
    page = await ground.tab(path)
    await shows(page, "echo first")
    await hub.restart(kill=True)
    await owner.say("echo second")
    await shows(page, "echo first", "echo second")


async def test_without_a_script_the_conversation_is_there_as_text(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    _, path = await owner.share()
    ground = new_ground(hub.url)
    ground.expect(r"favicon\.ico")
    page = await ground.tab(path, context=await ground.context(java_script_enabled=False))
    await page.get_by_role("link", name="plain text").click()
    await expect(page.get_by_text("echo first")).to_be_visible()


async def test_an_event_source_reads_with_a_ticket_across_a_restart(
    hub: HubProcess, owner: Owner, new_ground: NewGround
) -> None:
    made = await owner.ask("POST", "/v1/tickets", {"stream": NAME})
    ground = new_ground(hub.line.url)
    ground.expect(r"net::ERR_", r"favicon\.ico")
    page = await ground.tab("/livez")
    await page.evaluate(FOLLOW, made["url"])
    said = "text => heard.filter(one => one.text === text).length"
    await page.wait_for_function(f"({said})('echo first') === 1")
    await hub.line.cut()
    await owner.say("echo second")
    hub.line.mend()
    await page.wait_for_function(f"({said})('echo second') === 1")
    await hub.restart()
    await owner.say("echo third")
    await page.wait_for_function(f"({said})('echo third') === 1")
    for text in ("echo first", "echo second"):
        assert await page.evaluate(said, text) == 1
    assert await page.evaluate("opened") >= 3
