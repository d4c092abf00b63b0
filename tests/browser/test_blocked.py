"""Where a proxy refuses WebSockets and lets six connections through: one request for everything."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import pytest_asyncio
from playwright.async_api import expect

from hub.client import Hub, Message
from tests.browser.chat import Chat, held, reply_in, words
from tests.browser.conftest import NewGround, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.halfway import far
from tests.browser.hub_process import HubProcess
from tests.browser.test_tabs import connections
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Gate, openai_sse

TABS: Final = 20
SIX: Final = 6


@pytest_asyncio.fixture(loop_scope="package")
async def hub_process(start_hub_process: StartHubProcess, upstream: Scripted) -> HubProcess:
    """A hub with the demo upstream, whose answer to "stall" ends by nothing but Stop."""
    demo = {"dialect": "demo", "options": {"pace": 200}, "stall_timeout": 3600}
    return await start_hub_process(upstreams={"demo": demo, **far(upstream)["upstreams"]})


@pytest_asyncio.fixture(loop_scope="package")
async def blocked(hub_process: HubProcess, new_ground: NewGround) -> Ground:
    """The tabs of one browser behind such a proxy."""
    hub_process.line.refuse(b"GET /v1/ws")
    hub_process.line.limit(SIX)
    ground = new_ground(hub_process.line.url)
    # The browser itself says that no WebSocket opens, and what was asked for in a break.
    ground.expect("WebSocket connection to .* failed", "net::ERR_")
    return ground


async def opened(ground: Ground, *streams: str) -> list[Chat]:
    chats = [Chat(await ground.tab(f"/#/c/{stream}")) for stream in streams]
    for chat in chats:
        await chat.live()
    return chats


async def one_request(hub: HubProcess) -> None:
    """All that is followed is followed with one; the one before may be counted a moment longer."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await connections(hub.url) == 1:
                return
            await asyncio.sleep(0.05)


async def test_twenty_tabs_stream_and_send_and_stop_get_through(
    blocked: Ground, hub_process: HubProcess
) -> None:
    names = [f"tab-{number}" for number in range(TABS)]
    chats = await opened(blocked, *names)
    await one_request(hub_process)
    # One answer goes on while all others are asked for and come.
    await chats[0].send("stall")
    await expect(chats[0].reply).to_have_text(re.compile(r"\S"))
    for number, chat in enumerate(chats[1:]):
        await chat.send(f"echo {words(5)} {number}")
    for number, chat in enumerate(chats[1:]):
        await chat.answered(f"{words(5)} {number}")
    await chats[0].stop_button.click()
    await expect(chats[0].ending).to_contain_text("Stopped")
    await chats[0].over()
    assert reply_in(await held(hub_process.url, names[0]))[1] == "cancelled"
    await one_request(hub_process)


async def test_what_breaks_off_goes_on_without_loss_or_doubling(
    blocked: Ground, hub_process: HubProcess, upstream: Scripted
) -> None:
    gates = [Gate() for _ in range(3)]
    said = openai_sse(*(f"{word} " for word in words(240).split()))
    upstream.answers(
        Answer(*said[:61], gates[0], *said[61:121], gates[1], *said[121:181], gates[2], *said[181:])
    )
    first, second = await opened(blocked, "one", "two")
    async with Hub(hub_process.url) as hub:
        await hub.generate("go", stream="one", upstream="far")
    await first.begun()
    for gate in gates:
        await hub_process.line.cut()
        gate.open()
        hub_process.line.mend()
        await first.live()
    await second.send(f"echo {words(5)}")
    await second.answered(words(5))
    await first.answered(words(240))
    await one_request(hub_process)


async def test_versions_are_followed_with_the_same_request(
    blocked: Ground, hub_process: HubProcess
) -> None:
    """Versions that are streams of their own, as earlier pages made them."""
    versions = SIX + 2
    async with Hub(hub_process.url) as hub:
        question = await hub.append("one", Message("user", "echo one"))
        start = f"{question[:17]}{0:016}"
        for number in range(2, versions + 1):
            name = f"one~{number}"
            await hub.fork(name, "one", start)
            await hub.append(name, {"type": "branch", "from": "one", "position": start})
            await hub.append(name, Message("user", f"echo {number}"))
            await hub.append("one", {"type": "branch", "to": name, "position": start})
    first, second = await opened(blocked, "one", f"one~{versions}")
    await expect(first.said.last.locator(".count")).to_have_text(f"1/{versions}")
    await expect(second.said.last.locator(".count")).to_have_text(f"{versions}/{versions}")
    await first.send("stall")
    await expect(first.reply).to_have_text(re.compile(r"\S"))
    await first.stop_button.click()
    await expect(first.ending).to_contain_text("Stopped")
    await second.send("echo two")
    await second.answered("two")
    await one_request(hub_process)
