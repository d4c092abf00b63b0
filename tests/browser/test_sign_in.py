"""Signing in to the page: links, sessions in several tabs, several people, and pages elsewhere."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Request, expect

from hub.auth.login_links import new_link
from hub.cli import running_hub
from hub.stores.sqlite.inspect import Inspector
from tests.browser.chat import Chat, words
from tests.browser.conftest import Axe, Shot, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess

NewGround = Callable[[str], Ground]

CAN = ["read", "append", "generate", "cancel", "fork", "delete", "presence", "list"]
AUTH: dict[str, Any] = {
    "required": True,
    "grants": [{"who": "user", "match": "chat/{user}/**", "can": CAN}],
}
REFUSED = "status of 40[134]"
"""What the console says when the hub refuses a request."""


@pytest_asyncio.fixture(loop_scope="package")
async def hub(start_hub_process: StartHubProcess) -> HubProcess:
    return await start_hub_process(auth=AUTH)


def file_of(hub: HubProcess) -> Path:
    return Path(hub.tables["store"]["url"].removeprefix("sqlite:"))


async def link(hub: HubProcess, user: str) -> str:
    """The path of a new sign-in link."""
    now = time.time()
    secret, row = new_link(user, None, now=now, expires=now + 600)
    await asyncio.to_thread(running_hub.add, file_of(hub), row)
    return f"/login/{secret}"


async def end_sessions(hub: HubProcess) -> None:
    """End every session, as an operator does."""
    with Inspector(file_of(hub)) as inspector:
        rows = inspector.list_credentials("session")
    for row in rows:
        await asyncio.to_thread(running_hub.revoke, file_of(hub), "session", row.id)


async def sign_in(hub: HubProcess, ground: Ground, user: str, context: BrowserContext) -> Page:
    """A tab in which somebody has signed in with a link."""
    page = await ground.tab(await link(hub, user), context=context)
    await page.get_by_role("button", name=f"Sign in as {user}").click()
    await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    return page


async def secret_of_ann(
    hub: HubProcess, new_ground: NewGround
) -> tuple[Ground, BrowserContext, Chat]:
    """She has said something, in a browser that somebody else is about to use."""
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    context = await ground.context()
    chat = Chat(await sign_in(hub, ground, "ann", context))
    await chat.send("echo secret of ann")
    await chat.answered("secret of ann")
    return ground, context, chat


async def who(page: Page, user: str) -> None:
    """The page says who is signed in."""
    await expect(page.locator("#sidebar .user")).to_have_text(user)


async def test_a_link_signs_in_and_conversations_are_ones_own(
    hub: HubProcess, new_ground: NewGround, axe: Axe, shot: Shot
) -> None:
    ground = new_ground(hub.url)
    context = await ground.context()
    page = await ground.tab("/", context=context)
    await expect(page.get_by_role("heading", name="Sign in to continue")).to_be_visible()
    await expect(page.get_by_text("Use a sign-in link")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Message")).to_have_count(0)
    await shot(page, "sign-in")
    assert await axe(page) == []
    first = await sign_in(hub, ground, "ann", context)
    await who(first, "ann")
    # The tab that waited goes on by itself.
    await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    chat = Chat(first)
    await chat.send("echo hello")
    await chat.answered("hello")
    assert "#/c/chat/ann/chat-" in first.url
    assert await axe(first) == []
    await shot(first, "signed-in")


async def test_a_sign_in_page_works_without_scripts(hub: HubProcess, new_ground: NewGround) -> None:
    ground = new_ground(hub.url)
    context = await ground.context(java_script_enabled=False)
    page = await ground.tab("/login", context=context)
    await expect(page.get_by_text("Use a sign-in link")).to_be_visible()
    await page.goto(hub.url + await link(hub, "ann"))
    await page.get_by_role("button", name="Sign in as ann").click()
    (cookie,) = await context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("streamhub", True, "Lax")
    await page.goto(f"{hub.url}/login")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await context.cookies() == []


async def test_two_people_see_only_their_own(hub: HubProcess, new_ground: NewGround) -> None:
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    ann = Chat(await sign_in(hub, ground, "ann", await ground.context()))
    bob = Chat(await sign_in(hub, ground, "bob", await ground.context()))
    await ann.send("echo secret")
    await ann.answered("secret")
    for address in (ann.page.url, f"{hub.url}/#/c/chat/ann/none"):
        await bob.page.goto(address)
        await expect(bob.page.get_by_text("no conversation here that you can see")).to_be_visible()
        await expect(bob.page.get_by_text("secret")).to_have_count(0)
    await bob.page.get_by_role("button", name="New conversation").click()
    await bob.send("echo mine")
    await bob.answered("mine")
    assert "#/c/chat/bob/" in bob.page.url


async def seven(hub: HubProcess, ground: Ground, user: str) -> list[Chat]:
    """Seven tabs of one browser in which somebody has signed in, each with a conversation."""
    context = await ground.context()
    opened = [Chat(await sign_in(hub, ground, user, context))]
    opened += [Chat(await ground.tab("/", context=context)) for _ in range(6)]
    for chat in opened:
        await chat.live()
    for number, chat in enumerate(opened):
        await chat.send(f"echo {user}{number} {words(40)}")
    return opened


async def test_seven_tabs_of_each_of_two_people(
    start_hub_process: StartHubProcess, new_ground: NewGround, shot: Shot
) -> None:
    """Conversations of both go on at once; each person sees those of their own and no others."""
    slow = {"dialect": "demo", "options": {"pace": 20}}
    hub = await start_hub_process(auth=AUTH, upstreams={"demo": slow})
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    people = {user: await seven(hub, ground, user) for user in ("alice", "bob")}
    for user, other in (("alice", "bob"), ("bob", "alice")):
        for number, chat in enumerate(people[user]):
            await chat.answered(f"{user}{number} {words(40)}")
            await expect(chat.page.locator("#sidebar .list li")).to_have_count(7)
            assert f"#/c/chat/{user}/" in chat.page.url
            assert other not in await chat.page.locator("body").inner_text()
            assert other not in await chat.page.content()
        await shot(people[user][0].page, f"seven-tabs-{user}")
    alice, bob = people["alice"], people["bob"]
    own = alice[1].page.url
    await alice[1].page.goto(bob[0].page.url)
    await expect(alice[1].page.get_by_text("no conversation here that you can see")).to_be_visible()
    assert "bob0" not in await alice[1].page.content()
    await shot(alice[1].page, "seven-tabs-stranger")
    await alice[1].page.goto(own)
    await alice[1].answered(f"alice1 {words(40)}")
    await alice[6].page.get_by_role("button", name="Sign out").click()
    for chat in alice:
        await expect(chat.page.get_by_role("heading", name="Sign in to continue")).to_be_visible()
        assert "w39" not in await chat.page.content()
    await shot(alice[0].page, "seven-tabs-signed-out")
    for chat in bob:
        await chat.live()
    await bob[3].send("echo still here")
    await bob[3].answered("still here")


async def test_who_signs_out_does_so_in_all_tabs_and_leaves_nothing_to_the_next(
    hub: HubProcess, new_ground: NewGround
) -> None:
    ground, context, first = await secret_of_ann(hub, new_ground)
    second = Chat(await ground.tab("/", context=context))
    await second.live()
    await second.composer.fill("a draft of ann")
    # To leave the field stores the draft.
    await second.composer.blur()
    assert "draft of ann" in await second.page.evaluate("JSON.stringify(localStorage)")
    await first.page.get_by_role("button", name="Sign out").click()
    for page in (first.page, second.page):
        await expect(page.get_by_role("heading", name="Sign in to continue")).to_be_visible()
        assert "ann" not in page.url
        await expect(page.get_by_text("secret")).to_have_count(0)
    assert await context.cookies() == []
    bob = await sign_in(hub, ground, "bob", context)
    await who(bob, "bob")
    await expect(bob.locator("#sidebar .list")).to_have_count(0)
    await expect(bob.get_by_role("textbox", name="Message")).to_have_value("")
    await bob.get_by_role("button", name="Sign out").click()
    again = await sign_in(hub, ground, "ann", context)
    # All tabs go on by themselves: a browser that is closed while they load may never say so.
    for page in (again, first.page, second.page, bob):
        await who(page, "ann")
        await expect(page.locator("#sidebar .list li")).to_have_count(1)


async def test_who_signs_in_as_somebody_else_changes_all_tabs(
    hub: HubProcess, new_ground: NewGround
) -> None:
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    context = await ground.context()
    ann = await sign_in(hub, ground, "ann", context)
    await Chat(ann).live()
    bob = await sign_in(hub, ground, "bob", context)
    for page in (ann, bob):
        await who(page, "bob")
        await expect(page).to_have_url(re.compile("#/c/chat/bob/"))
        await Chat(page).live()


async def test_a_session_that_ends_is_followed_by_another_where_one_was(
    hub: HubProcess, new_ground: NewGround
) -> None:
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    context = await ground.context()
    chat = Chat(await sign_in(hub, ground, "ann", context))
    await chat.send("echo before")
    await chat.answered("before")
    await chat.composer.fill("what I was writing")
    address = chat.page.url
    await end_sessions(hub)
    heading = chat.page.get_by_role("heading", name="Your session has ended")
    await expect(heading).to_be_visible()
    assert chat.page.url == address
    await (await sign_in(hub, ground, "ann", context)).close()
    await expect(chat.reply).to_have_text("before")
    await expect(chat.composer).to_have_value("what I was writing")
    assert chat.page.url == address
    await chat.send("echo after")
    await chat.answered("after")


async def test_an_address_is_not_left_to_the_next_where_anyone_may_do_something(
    start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    """Between the two this tab belongs to nobody, and another tab knows the next one first."""
    public = {"who": "anyone", "match": "public/**", "can": ["read", "append", "generate"]}
    hub = await start_hub_process(auth={**AUTH, "grants": [*AUTH["grants"], public]})
    ground = new_ground(hub.url)
    ground.expect(REFUSED)
    context = await ground.context()
    chat = Chat(await sign_in(hub, ground, "ann", context))
    await chat.send("echo before")
    await chat.answered("before")
    await end_sessions(hub)
    await expect(chat.page.get_by_role("link", name="Sign in")).to_be_visible()
    bob = await sign_in(hub, ground, "bob", context)
    for page in (chat.page, bob):
        await who(page, "bob")
        await expect(page).not_to_have_url(re.compile("ann"))


ATTACK = """\
<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title>
<iframe name="there" title="there"></iframe>
<form id="out" method="post" target="there" action="HUB/v1/logout"></form>
<form id="in" method="post" target="there" action="HUBLINK"></form>
<form id="say" method="post" target="there" enctype="text/plain" action="HUB/v1/generations">
  <input name='{"stream":"chat/ann/forged","prompt":"echo forged","x":"' value='"}'></form>
<img alt="" src="HUB/v1/stream/chat/ann/secret">
<script>
  const said = [];
  const send = (path, options) =>
    fetch("HUB" + path, { mode: "no-cors", credentials: "include", ...options }).then(
      () => said.push("sent"), () => said.push("failed"));
  const open = () => new Promise((done) => {
    const socket = new WebSocket("HUB/v1/ws".replace("http", "ws"), "hub.v1");
    socket.onopen = () => { said.push("opened"); done(); };
    socket.onerror = () => { said.push("refused"); done(); };
  });
  const submit = (id) => new Promise((done) => {
    document.querySelector("iframe").onload = done;
    document.getElementById(id).submit();
  });
  window.attack = async () => {
    await send("/v1/logout", { method: "POST" });
    await send("/v1/stream/chat/ann/secret", { method: "POST", body: "[]" });
    await send("/v1/streams", {});
    await open();
    for (const id of ["out", "in", "say"]) await submit(id);
    return said;
  };
</script>
"""


async def test_pages_elsewhere_do_nothing_for_who_is_signed_in(
    hub: HubProcess, new_ground: NewGround, elsewhere: Callable[[str], str]
) -> None:
    """Another port of this machine is the same site: the browser sends the cookie with it all."""
    ground = new_ground(hub.url)
    ground.expect("")
    context = await ground.context()
    chat = Chat(await sign_in(hub, ground, "ann", context))
    await chat.live()
    (before,) = await context.cookies()
    path = await link(hub, "eve")
    origin = elsewhere(ATTACK.replace("HUBLINK", hub.url + path).replace("HUB", hub.url))
    ground.allow(origin)
    evil = await context.new_page()
    requests: list[Request] = []
    evil.on("request", lambda one: requests.extend([one]))
    await evil.goto(origin)
    said = await evil.evaluate("attack()")
    assert "opened" not in said
    assert "refused" in said
    sent = [await one.all_headers() for one in requests]
    assert any("streamhub=" in one.get("cookie", "") for one in sent), "else it shows nothing"
    (after,) = await context.cookies()
    assert after["value"] == before["value"]
    await chat.live()
    await chat.send("echo still here")
    await chat.answered("still here")
    headers = {"Cookie": f"{after['name']}={after['value']}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{hub.url}/v1/stream/chat/ann/forged", headers=headers) as answer,
    ):
        assert answer.status == 404
    # The link was not used up.
    eve = await sign_in_at(hub, ground, path)
    await who(eve, "eve")
    assert before["value"] not in hub.log.read_text("utf-8")


async def sign_in_at(hub: HubProcess, ground: Ground, path: str) -> Page:
    page = await ground.tab(path, context=await ground.context())
    await page.get_by_role("button").click()
    return page
