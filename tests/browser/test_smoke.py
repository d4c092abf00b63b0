"""The page opens, and a prompt is answered."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import Axe, Shot
from tests.browser.ground import Ground


async def test_the_page_answers_a_prompt(ground: Ground, shot: Shot, axe: Axe) -> None:
    ground.lively = True
    tab = await ground.tab()
    await tab.get_by_role("textbox").fill("help")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("log")).to_contain_text("poem")
    await shot(tab, "smoke")
    assert await axe(tab) == []
