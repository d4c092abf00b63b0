"""Going from one version of a conversation to another, and where the reader is afterwards."""

from __future__ import annotations

import re
from typing import Final

from playwright.async_api import Locator, expect

from tests.browser.chat import Chat
from tests.browser.ground import PHONE, Ground
from tests.browser.hub_process import HubProcess

BACK: Final = "Previous version"
ON: Final = "Next version"


async def focused(one: Locator) -> None:
    await expect(one).to_be_focused()


async def asked(chat: Chat, *prompts: str) -> None:
    for number, prompt in enumerate(prompts, start=1):
        await chat.send(prompt)
        await expect(chat.replies).to_have_count(number)
        await chat.over()


async def edited(chat: Chat, number: int, text: str) -> None:
    """Say something else in the place of a message."""
    said = chat.said.nth(number)
    await said.hover()
    await said.get_by_role("button", name="Edit this message").click()
    await chat.page.keyboard.press("Control+a")
    await chat.page.keyboard.type(text)
    await chat.page.keyboard.press("Enter")
    await expect(chat.said.nth(number).locator(".words")).to_have_text(text)
    await chat.over()


async def top(one: Locator) -> float:
    box = await one.bounding_box()
    assert box is not None
    return box["y"]


async def test_who_has_edited_or_asked_again_can_write_on(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await asked(chat, "echo one")
    await edited(chat, 0, "echo two")
    await chat.answered("two")
    await focused(chat.composer)
    await expect(chat.said.locator(".count")).to_have_text("2/2")
    await chat.replies.last.get_by_role("button", name="Answer again").click()
    await expect(chat.replies.locator(".count")).to_have_text("2/2")
    await focused(chat.composer)


async def test_no_keyboard_comes_onto_the_screen_of_a_phone(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(**PHONE)))
    await chat.live()
    await asked(chat, "echo one")
    await chat.replies.last.get_by_role("button", name="Answer again").tap()
    await expect(chat.replies.locator(".count")).to_have_text("2/2")
    await chat.over()
    await expect(chat.composer).not_to_be_focused()


async def test_another_version_stands_where_the_one_before_stood(ground: Ground) -> None:
    """However long the answers above and below are, and from the keyboard alone."""
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await asked(chat, "code", "echo one", "code", "tour")
    await edited(chat, 1, "echo two")
    await chat.send("code")
    await expect(chat.replies).to_have_count(3)
    await chat.over()
    message = chat.said.nth(1)
    await message.scroll_into_view_if_needed()
    await chat.log.hover()
    await chat.page.mouse.wheel(0, -120)
    await expect(chat.pill).to_be_visible()
    await message.get_by_role("button", name=BACK).focus()
    before = await top(message)

    await chat.page.keyboard.press("Enter")
    await expect(message.locator(".words")).to_have_text("echo one")
    await focused(message.get_by_role("button", name=ON))
    await expect(chat.replies).to_have_count(4)
    assert abs(await top(message) - before) < 2

    await chat.page.keyboard.press("Enter")
    await expect(message.locator(".words")).to_have_text("echo two")
    await focused(message.get_by_role("button", name=BACK))
    assert abs(await top(message) - before) < 2


async def test_versions_of_a_read_only_view_are_read_only(
    ground: Ground, hub_process: HubProcess
) -> None:
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await asked(chat, "echo one")
    await edited(chat, 0, "echo two")
    view = Chat(await ground.tab(chat.page.url.replace("#/c/", "#/v/")))
    await view.page.get_by_role("button", name=BACK).click()
    await expect(view.said.locator(".words")).to_have_text("echo one")
    await expect(view.page).to_have_url(re.compile(r"#/v/one$"))
    await expect(view.composer).to_have_count(0)


async def test_a_phone_that_is_offline_still_shows_all_of_its_bar(ground: Ground) -> None:
    ground.expect(r"net::ERR_", r"WebSocket connection to")
    narrow = {**PHONE, "viewport": {"width": 360, "height": 740}}
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(**narrow)))
    await chat.live()
    await asked(chat, "echo a title that is much too long for such a screen")
    await chat.page.context.set_offline(True)
    now = chat.status.get_by_role("button", name="Try to connect now")
    await expect(now).to_be_visible()
    for one in (now, chat.page.get_by_role("button", name="Share"), chat.page.locator("#bar h1")):
        box = await one.bounding_box()
        assert box is not None
        assert box["width"] > 20
        assert box["x"] + box["width"] <= 360
    await chat.page.context.set_offline(False)
    await chat.live()
