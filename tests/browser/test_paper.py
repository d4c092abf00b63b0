"""The conversation on paper, and under a wheel: what only a browser that lays out can show."""

from __future__ import annotations

from typing import Final

from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.browser.ground import Ground

LOW: Final = {"width": 900, "height": 420}


async def test_paper_has_the_conversation_alone_and_all_of_it(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(viewport=LOW)))
    page = chat.page
    await chat.live()
    await chat.send("code")
    await chat.over()
    await page.emulate_media(media="print")
    await expect(page.get_by_role("heading", name="code", level=1)).to_be_visible()
    await expect(page.get_by_role("textbox")).to_have_count(0)
    await expect(page.get_by_role("button")).to_have_count(0)
    await expect(page.get_by_role("navigation")).to_have_count(0)
    log = page.get_by_role("log")
    hidden = await log.evaluate("log => log.scrollHeight - log.clientHeight")
    assert hidden == 0
    assert await log.evaluate("log => log.clientHeight") > LOW["height"]


async def test_a_wheel_over_the_way_to_the_end_still_scrolls(ground: Ground) -> None:
    ground.lively = True
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(viewport=LOW)))
    page = chat.page
    await chat.live()
    await chat.send("code")
    await chat.over()
    log = page.get_by_role("log")
    await log.hover()
    await page.mouse.wheel(0, -60)
    button = page.get_by_role("button", name="To the end")
    await button.hover()
    before = await log.evaluate("log => log.scrollTop")
    assert before > 100
    await page.mouse.wheel(0, -100)
    await page.wait_for_function(
        "([log, before]) => log.scrollTop < before", arg=[await log.element_handle(), before]
    )
    await button.click()
    await expect(button).to_have_count(0)
