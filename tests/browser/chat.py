"""A tab as a person has it: what can be pressed, and what can be read.

The words of an answer are numbered (`words`), so that one that is lost, doubled or out of
order shows. What stands on the screen is compared with what the stream holds over HTTP.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from playwright.async_api import Locator, Page, expect

from tests.support.patience import PATIENCE

__all__ = ["ENDLESS", "Chat", "copied", "held", "reply_in", "words"]


def words(count: int) -> str:
    """So many different words, each of which says where it belongs."""
    return " ".join(f"w{number}" for number in range(count))


ENDLESS: Final = f"echo {words(9000)}"
"""A prompt that the demo answers for 45 seconds: longer than any test needs to stop it."""


_SAYS_COPIED: Final = """
button => ({ said: new Promise((done) => {
  const seen = () => {
    if ([button.ariaLabel, button.textContent.trim()].includes("Copied")) done();
  };
  new MutationObserver(seen).observe(
    button, { attributes: true, characterData: true, childList: true, subtree: true });
}) })
"""


@asynccontextmanager
async def copied(button: Locator) -> AsyncIterator[None]:
    """Whoever presses this button meanwhile is told that it has copied.

    It says so for a second and a half, which a busy machine misses that looks now and then.
    """
    watched = await button.evaluate_handle(_SAYS_COPIED)
    yield
    async with asyncio.timeout(PATIENCE):
        await watched.evaluate("({ said }) => said")


class Chat:
    """A tab that shows a conversation."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.composer = page.get_by_role("textbox", name="Message")
        self.log = page.get_by_role("log", name="Conversation")
        self.send_button = page.get_by_role("button", name="Send", exact=True)
        self.stop_button = page.get_by_role("button", name="Stop (Esc)")
        self.said = page.locator("hub-said")
        self.replies = page.locator("hub-reply")
        self.status = page.locator("#bar hub-status")
        self.company = page.locator("hub-chat .company")
        self.complaint = page.locator("hub-chat .complaint")
        self.pill = page.locator("hub-chat .pill")

    @property
    def reply(self) -> Locator:
        """What the last answer says, without its counts and buttons."""
        return self.replies.last.locator("article > .text")

    @property
    def ending(self) -> Locator:
        """How the last answer ended, where that needs saying."""
        return self.replies.last.locator(".ending")

    async def send(self, prompt: str) -> None:
        await self.composer.fill(prompt)
        await self.composer.press("Enter")

    async def begun(self, *, past: int = 10) -> None:
        """Some words of the answer stand there, and it goes on."""
        await expect(self.reply).to_contain_text(f" w{past} ")
        await expect(self.replies.last.locator("article")).to_have_attribute("aria-busy", "true")

    async def over(self) -> None:
        """The last answer has ended, however."""
        await expect(self.replies.last.locator("article")).to_have_attribute("aria-busy", "false")
        await expect(self.send_button).to_be_visible()

    async def answered(self, text: str) -> None:
        """The last answer is this, and over."""
        await expect(self.reply).to_have_text(text, use_inner_text=True)
        await self.over()

    async def live(self) -> None:
        await expect(self.status).to_have_text(re.compile(r"^\s*Live\s*$"))

    async def shown(self) -> str:
        return (await self.reply.inner_text()).strip()


async def held(url: str, stream: str) -> list[dict[str, Any]]:
    """The events of a stream, as any client gets them over HTTP."""
    events: list[dict[str, Any]] = []
    position = "-1"
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{url}/v1/stream/{stream}", params={"offset": position}) as got:
                assert got.status == 200, await got.text()
                events += await got.json()
                position = got.headers["Stream-Next-Offset"]
                if got.headers.get("Stream-Up-To-Date") == "true":
                    return events


def reply_in(events: list[dict[str, Any]]) -> tuple[str, str]:
    """The text of the last reply, and how it ended."""
    last = next(one for one in reversed(events) if one["type"] == "started")["generation"]
    mine = [one for one in events if one.get("generation") == last]
    return "".join(one.get("text", "") for one in mine if one["type"] == "delta"), mine[-1]["type"]
