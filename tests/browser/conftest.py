"""What browser tests stand on: one Chromium for all, a hub and a ground for each.

::

    async def test_two_tabs_see_the_same(ground: Ground, hub_process: HubProcess) -> None:
        first, second = await ground.tab("/#/c/one"), await ground.tab("/#/c/one")
        ...
        await hub_process.restart(kill=True)

All tests here run in one event loop, because the browser lives in it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.chromium import ARGUMENTS, STARTS, find_chromium
from tests.browser.ground import CLOSING, PATIENCE, SCREENSHOTS, Ground
from tests.browser.hub_process import HubProcess
from tests.browser.strangers import Strangers
from tests.support.scripted_upstream import Scripted
from web.build import WEB, build

AXE: Final = WEB / "node_modules/axe-core/axe.min.js"
FINISHED: Final = """
async () => {
  const running = () => document.getAnimations().filter(
    (one) => one.effect.getComputedTiming().iterations !== Infinity);
  await Promise.allSettled(running().map((one) => one.finished));
}
"""
"""Nothing that fades or moves is judged half-way."""

JUDGED: Final = """
async (options) => {
  const only = { resultTypes: ["violations"], ...options };
  return (await axe.run(document, only)).violations;
}
"""
"""Every rule is tried, but nothing is told of the thousands of elements that one finds well."""

Axe = Callable[..., Awaitable[list[dict[str, Any]]]]
Shot = Callable[[Page, str], Awaitable[None]]
StartHubProcess = Callable[..., Awaitable[HubProcess]]
NewGround = Callable[[str], Ground]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for the tests of this folder; this is called for those of all folders."""
    here = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The page as its sources are now."""
    build()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def outside() -> AsyncIterator[Strangers]:
    """What the browser asked of the world outside, which refused it."""
    async with Strangers() as strangers:
        yield strangers


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium(outside: Strangers) -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    expect.set_options(PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[*ARGUMENTS, f"--proxy-server={outside.url}"],
            timeout=STARTS,
        )
        yield browser
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await browser.close()


@pytest_asyncio.fixture(loop_scope="package")
async def start_hub_process(tmp_path: Path) -> AsyncIterator[StartHubProcess]:
    """Start hubs from tables as they stand in config.toml; all are killed in the end.

    Each has a line to it, which a test may cut: ``hub.line``.
    """
    hubs: list[HubProcess] = []

    async def start(**tables: Any) -> HubProcess:
        folder = tmp_path / f"hub{len(hubs)}"
        folder.mkdir()
        hubs.append(HubProcess(folder, **tables))
        await hubs[-1].start()
        return hubs[-1]

    yield start
    for hub in hubs:
        await hub.end()


@pytest_asyncio.fixture(loop_scope="package")
async def hub_process(start_hub_process: StartHubProcess) -> HubProcess:
    """A hub with the demo upstream."""
    return await start_hub_process()


@pytest_asyncio.fixture(loop_scope="package")
async def upstream() -> AsyncIterator[Scripted]:
    """An upstream that does what its script says: for ``start_hub_process(upstreams=…)``."""
    async with Scripted() as scripted:
        yield scripted


@pytest_asyncio.fixture(loop_scope="package")
async def new_ground(
    chromium: Browser, outside: Strangers, start_hub_process: StartHubProcess
) -> AsyncIterator[Callable[[str], Ground]]:
    """Grounds over hubs that a test started itself, or over a line to one.

    It needs what starts them, so that the tabs are closed before the hubs go.
    """
    grounds: list[Ground] = []
    outside.asked.clear()

    def make(url: str) -> Ground:
        grounds.append(Ground(chromium, url))
        return grounds[-1]

    yield make
    for ground in grounds:
        await ground.close()
    assert not outside.asked, "\n".join(outside.asked)


@pytest.fixture
def ground(new_ground: Callable[[str], Ground], hub_process: HubProcess) -> Ground:
    """The tabs of this test, over the demo hub."""
    return new_ground(hub_process.url)


@pytest.fixture
def shot() -> Shot:
    """Write what a tab shows into a folder that git ignores, where somebody wants to look."""
    wanted = "STREAMHUB_TEST_SCREENSHOTS" in os.environ

    async def take(page: Page, name: str) -> None:
        if wanted:
            await page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take


@pytest.fixture
def axe() -> Axe:
    """What axe-core finds wrong with a tab, as ``rule: elements``; the policy stays as it is."""
    source = AXE.read_text("utf-8")

    async def violations(page: Page, **options: Any) -> list[dict[str, Any]]:
        if not await page.evaluate("typeof axe === 'object'"):
            await page.evaluate(source)
        await page.evaluate(FINISHED)
        found: list[dict[str, Any]] = await page.evaluate(JUDGED, options)
        return found

    return violations


@pytest_asyncio.fixture(loop_scope="package")
async def elsewhere() -> AsyncIterator[Callable[[str], str]]:
    """Serve a page at an origin of its own; gives that."""
    page = ""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses

    def serve(text: str) -> str:
        nonlocal page
        page = text
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    await runner.cleanup()
