"""The page of a hub that lives in somebody else's application, under a prefix."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from hub import Config, setup
from tests.browser.chat import ENDLESS, Chat
from tests.browser.conftest import NewGround


@asynccontextmanager
async def mounted(prefix: str) -> AsyncIterator[str]:
    """A hub in somebody else's application; gives the address of its page."""
    app = web.Application()
    demo = {"dialect": "demo", "options": {"pace": 200}}
    config = Config.model_validate(
        {"server": {"drain_seconds": 0}, "store": {"url": "memory:"}, "upstreams": {"demo": demo}}
    )
    setup(app, prefix=prefix, config=config)
    async with TestServer(app) as server:
        yield str(server.make_url(prefix))


async def test_under_a_prefix(new_ground: NewGround) -> None:
    async with mounted("/hub") as url:
        ground = new_ground(url)
        try:
            # Without the slash, as people type it.
            first = Chat(await ground.tab(url))
            await first.live()
            await expect(first.page).to_have_url(re.compile("/hub/#/c/chat-"))
            second = Chat(await ground.tab(first.page.url))
            await second.live()
            await first.send(ENDLESS)
            await second.begun()
            await second.stop_button.click()
            for chat in (first, second):
                await expect(chat.ending).to_contain_text("Stopped")
            await first.replies.last.get_by_role("button", name="Answer again").click()
            await expect(first.replies.last.locator(".count")).to_have_text("2/2")
            await first.page.reload()
            await first.begun()
            await first.composer.press("Escape")
            await first.over()
        finally:
            await ground.close()
