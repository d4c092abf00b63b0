"""The list of conversations: the same on all devices of a user, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.chat import Chat
from tests.browser.conftest import Axe, Shot, StartHubProcess
from tests.browser.ground import PHONE, Ground
from tests.browser.hub_process import HubProcess
from tests.browser.test_breaks import DOWN
from tests.browser.test_sign_in import AUTH, secret_of_ann, sign_in

NewGround = Callable[[str], Ground]


@pytest_asyncio.fixture(loop_scope="package")
async def hub(start_hub_process: StartHubProcess) -> HubProcess:
    return await start_hub_process(auth=AUTH)


def titles(page: Page) -> Locator:
    return page.locator("#sidebar .list .title")


async def choose(page: Page, title: str, choice: str) -> None:
    """Choose from the menu of a conversation."""
    button = page.get_by_role("button", name=f"More about {title}")
    await button.focus()
    await button.press("Enter")
    await page.get_by_role("menuitem", name=choice).press("Enter")


async def rename(page: Page, title: str, to: str) -> None:
    await choose(page, title, "Rename")
    field = page.get_by_role("textbox", name="Title, on all your devices")
    await field.fill(to)
    await field.press("Enter")


async def test_a_user_has_one_list_on_all_devices(
    hub: HubProcess, new_ground: NewGround, axe: Axe, shot: Shot
) -> None:
    ground = new_ground(hub.url)
    desk = Chat(await sign_in(hub, ground, "ann", await ground.context()))
    phone = Chat(await sign_in(hub, ground, "ann", await ground.context(**PHONE)))
    await phone.page.get_by_role("button", name="Show the list").click()
    await expect(phone.page.get_by_text("on all your devices")).to_be_visible()
    for prompt in ("echo rivers", "echo banks"):
        await desk.page.get_by_role("button", name="New conversation").click()
        await desk.send(prompt)
        await desk.answered(prompt.removeprefix("echo "))
    # Without a reload.
    await expect(titles(phone.page)).to_have_text(["echo banks", "echo rivers"])
    await rename(desk.page, "echo rivers", "All about rivers")
    await choose(desk.page, "All about rivers", "Pin")
    await expect(titles(phone.page)).to_have_text(["All about rivers", "echo banks"])
    assert await axe(phone.page) == []
    await shot(phone.page, "list-phone")
    await phone.page.get_by_role("link", name="Pinned: All about rivers").click()
    await expect(phone.reply).to_have_text("rivers")
    await expect(phone.page.locator("#bar h1")).to_have_text("All about rivers")
    await phone.send("echo and more")
    await phone.answered("and more")
    await desk.page.emulate_media(color_scheme="dark")
    assert await axe(desk.page) == []
    await shot(desk.page, "list-dark")
    await choose(desk.page, "echo banks", "Delete")
    await desk.page.get_by_role("button", name="Delete").click()
    await expect(titles(phone.page)).to_have_text(["All about rivers"])


async def test_what_is_changed_offline_is_there_later_and_what_is_kept_needs_no_hub(
    hub: HubProcess, new_ground: NewGround
) -> None:
    ground = new_ground(hub.line.url)
    ground.expect(*DOWN)
    context = await ground.context()
    chat = Chat(await sign_in(hub, ground, "ann", context))
    await chat.send("echo rivers")
    await chat.answered("rivers")
    await hub.line.cut()
    await expect(chat.status).to_contain_text("Offline")
    await rename(chat.page, "echo rivers", "Renamed on the train")
    await expect(titles(chat.page)).to_have_text(["Renamed on the train"])
    hub.line.mend()
    await chat.live()
    elsewhere = await sign_in(hub, ground, "ann", await ground.context())
    await expect(titles(elsewhere)).to_have_text(["Renamed on the train"])


async def test_what_was_said_is_found_on_a_device_that_has_never_shown_it(
    hub: HubProcess, new_ground: NewGround, axe: Axe, shot: Shot
) -> None:
    ground = new_ground(hub.url)
    desk = Chat(await sign_in(hub, ground, "ann", await ground.context()))
    for prompt in ("echo the river Café", "echo the sea", "poem"):
        await desk.page.get_by_role("button", name="New conversation").click()
        await desk.send(prompt)
        await desk.over()
    for options in ({}, PHONE):
        page = await sign_in(hub, ground, "ann", await ground.context(**options))
        await page.keyboard.press("Control+k")
        search = page.get_by_role("searchbox", name="Search the conversations")
        await search.fill("the")
        await expect(titles(page)).to_have_text(["echo the sea", "echo the river Café"])
        await search.fill("banks")
        await expect(page.get_by_text("No title contains these words.")).to_be_visible()
        messages = page.get_by_role("region", name="In messages")
        if options:
            await page.get_by_role("button", name="Search what was said").press("Enter")
            await expect(messages).to_be_focused()
        else:
            await search.press("Enter")
            await expect(search).to_be_focused()
        await expect(messages.get_by_role("status")).to_have_text("Found in 1 of 3 conversations:")
        await expect(messages.locator("mark")).to_have_text("Banks")
        assert await axe(page) == []
        await shot(page, f"list-found-{'phone' if options else 'desk'}")
        await search.press("Enter")
        await expect(page.locator("#bar h1")).to_have_text("poem")
        await expect(Chat(page).reply).to_contain_text("Banks")


async def test_nobody_sees_the_list_of_another_in_the_same_browser_either(
    hub: HubProcess, new_ground: NewGround
) -> None:
    ground, context, ann = await secret_of_ann(hub, new_ground)
    bob = Chat(await sign_in(hub, ground, "bob", context))
    await bob.send("echo mine")
    await bob.answered("mine")
    other = await sign_in(hub, ground, "bob", await ground.context())
    for page in (ann.page, bob.page, other):
        await expect(titles(page)).to_have_text(["echo mine"])
        assert "secret" not in await page.content()
    again = await sign_in(hub, ground, "ann", await ground.context())
    await expect(titles(again)).to_have_text(["echo secret of ann"])
