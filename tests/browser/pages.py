"""One Chromium for tests that show a page each, and have event loops of their own.

It lives in a thread, where `playwright.sync_api` has a loop of its own::

    with Pages() as pages:
        assert await pages.show(url, lambda page: page.title()) == "Hello"
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self, TypeVar

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, STARTS, find_chromium

__all__ = ["Pages"]

T = TypeVar("T")


class Pages:
    """Each page is in a context of its own; the browser starts with the first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._stack = ExitStack()
        self._browser: Browser | None = None

    async def show(self, url: str, use: Callable[[Page], T]) -> T:
        """What is made of a page, in the browser's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._show, url, use)

    def _show(self, url: str, use: Callable[[Page], T]) -> T:
        if self._browser is None:
            playwright = self._stack.enter_context(sync_playwright())
            self._browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=list(ARGUMENTS), timeout=STARTS
            )
            self._stack.callback(self._browser.close)
        with self._browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            return use(page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._stack.close).result()
        self._thread.shutdown()
