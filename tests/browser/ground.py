"""The tabs of one test, and what must not happen in any of them.

Whatever a page asks of another origin, an error that it does not catch and a line of its
console that is an error fail the test in the end, unless the test has said to expect it.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError

from tests.support.patience import patient

__all__ = ["CLOSING", "PATIENCE", "PHONE", "SCREENSHOTS", "Ground"]

SCREENSHOTS: Final = Path(__file__).parents[1] / "screenshots"
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
"""Options of a context that is a phone."""

_SLOW_SCREEN: Final = """
{
  const draw = window.requestAnimationFrame.bind(window);
  const frames = new Map();
  let count = 0, next = 0;
  const run = (now) => {
    const due = [...frames.values()];
    frames.clear();
    next = 0;
    for (const frame of due) frame(now);
  };
  window.requestAnimationFrame = (frame) => {
    frames.set(++count, frame);
    next ||= setTimeout(draw, 70, run);
    return count;
  };
  window.cancelAnimationFrame = (id) => frames.delete(id);
}
"""
"""A dozen frames a second: what an answer costs while it comes is nearly all for its frames."""

_LOCAL: Final = ("about", "blob", "data")
PATIENCE: Final = patient(40.0) * 1000
"""Milliseconds after which something hangs."""
CLOSING: Final = patient(20.0)
"""Seconds after which nobody waits any longer for a browser to close what no test needs."""


class Ground:
    """``url`` is the hub's, or that of a line to it; ``context`` the one most tabs share."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.lively = False
        """Whether contexts made from now on show every frame, and what moves does.

        That costs half as much again, and is for tests of scrolling and of the pace.
        """
        self.faults: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._shared: BrowserContext | None = None
        self._origins = {_origin(url)}
        self._expected: list[re.Pattern[str]] = []

    async def context(self, **options: Any) -> BrowserContext:
        """A context of its own, which shares nothing: another browser, another person."""
        calm = {} if self.lively else {"reduced_motion": "reduce"}
        options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **calm, **options}
        context = await self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        if not self.lively:
            await context.add_init_script(_SLOW_SCREEN)
        context.on("request", self._requested)
        context.on("console", self._said)
        context.on("weberror", self._failed)
        context.on("page", lambda page: page.on("websocket", lambda ws: self._reached(ws.url)))
        self._contexts.append(context)
        return context

    async def tab(self, address: str = "/", *, context: BrowserContext | None = None) -> Page:
        """A new tab, loaded; in the context that the tabs of a test share, or another."""
        if context is None:
            self._shared = context = self._shared or await self.context()
        page = await context.new_page()
        await page.goto(urljoin(self.url, address))
        return page

    def allow(self, url: str) -> None:
        """Another origin that pages may ask: a line to the hub, a page that embeds it."""
        self._origins.add(_origin(url))

    def expect(self, *patterns: str) -> None:
        """Faults that match are none; one that says ``net::ERR_`` is a hub that is down."""
        self._expected += map(re.compile, patterns)

    async def close(self) -> None:
        """Close every tab, and fail for what went wrong in any of them."""
        faults = self.faults.copy()
        for context in self._contexts:
            # Seldom, Chromium never says that one is closed, which no test is about.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await context.close()
        unexpected = [
            fault
            for fault in faults
            if not any(pattern.search(fault) for pattern in self._expected)
        ]
        assert not unexpected, "\n".join(unexpected)

    def _requested(self, request: Request) -> None:
        self._reached(request.url)

    def _reached(self, url: str) -> None:
        if urlsplit(url).scheme not in _LOCAL and _origin(url) not in self._origins:
            self.faults.append(f"asked another origin: {url[:200]}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            where = message.location.get("url", "")
            self.faults.append(f"console: {message.text} ({where})")

    def _failed(self, error: WebError) -> None:
        self.faults.append(f"not caught: {error.error}")


def _origin(url: str) -> str:
    """Scheme aside, because a WebSocket's is another."""
    return urlsplit(url).netloc
