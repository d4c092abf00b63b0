"""`/docs` in a browser: light, dark and on a phone, with nothing that axe complains of."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Axe, Shot
from tests.browser.ground import PHONE, Ground

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", ["/docs", "/docs/recipes"])
async def test_it_can_be_read(path: str, look: str, ground: Ground, shot: Shot, axe: Axe) -> None:
    context = await ground.context(**LOOKS[look])
    tab = await ground.tab(path, context=context)
    await expect(tab.get_by_role("heading", level=1)).to_be_visible()
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert await tab.evaluate(wide), "it scrolls sideways"
    await shot(tab, f"documents-{look}-{path.rpartition('/')[2]}")
    assert await axe(tab) == []


async def test_a_link_leads_to_its_place(ground: Ground) -> None:
    tab = await ground.tab("/docs")
    await tab.get_by_role("navigation", name="Contents").get_by_text("subscribe").first.click()
    await expect(tab.locator("#command-subscribe")).to_be_in_viewport()
    await tab.get_by_role("link", name="Recipes", exact=True).click()
    await expect(tab.get_by_role("heading", name="Recipes", level=1)).to_be_visible()
    await tab.get_by_role("link", name="Interfaces", exact=True).click()
    await expect(tab.get_by_role("heading", name="The interfaces of Streamhub")).to_be_visible()
