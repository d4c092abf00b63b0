"""What the other tests of this folder stand on does what it says: faults are seen."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Axe
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess
from tests.browser.strangers import Strangers
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE

FAULTS = [
    ("fetch('https://elsewhere.example/')", "asked another origin: https://elsewhere"),
    ("new Image().src = 'http://elsewhere.example/'", "asked another origin: http://e"),
    ("new WebSocket('wss://elsewhere.example/')", "another origin: wss://elsewhere"),
    ("console.error('no good')", "console: no good"),
    ("setTimeout(() => { throw new Error('oh no'); })", "not caught: oh no"),
    ("Promise.reject(new Error('never'))", "not caught: never"),
]


async def bare(ground: Ground, **options: Any) -> Page:
    """A tab that shows an answer of the hub, which has no icon."""
    ground.expect("favicon")
    return await ground.tab("/livez", **options)


async def seen(ground: Ground, expected: str) -> None:
    await eventually(lambda: any(expected in fault for fault in ground.faults))


async def test_a_fault_in_a_tab_fails_the_test(chromium: Browser, hub_process: HubProcess) -> None:
    for script, expected in FAULTS:
        ground = Ground(chromium, hub_process.url)
        tab = await bare(ground)
        await tab.evaluate(f"() => {{ {script}; }}")
        await seen(ground, expected)
        with pytest.raises(AssertionError, match=re.escape(expected)):
            await ground.close()


async def test_what_goes_round_the_page_is_seen_as_well(
    chromium: Browser, hub_process: HubProcess, outside: Strangers
) -> None:
    """A worker's requests are in no page's list; the browser's proxy has them all the same."""
    ground = Ground(chromium, hub_process.url)
    tab = await bare(ground)
    outside.asked.clear()
    await tab.evaluate("navigator.sendBeacon('http://elsewhere.example/beacon', 'x')")
    work = "fetch('http://elsewhere.example/worker').catch(() => 0)"
    await tab.evaluate(f'new Worker(URL.createObjectURL(new Blob(["{work}"])))')
    wanted = {"POST http://elsewhere.example/beacon", "GET http://elsewhere.example/worker"}
    await eventually(lambda: wanted <= {line.rpartition(" ")[0] for line in outside.asked})
    ground.expect("elsewhere")
    await ground.close()
    outside.asked.clear()


async def test_what_is_expected_is_no_fault(chromium: Browser, hub_process: HubProcess) -> None:
    ground = Ground(chromium, hub_process.url)
    tab = await bare(ground)
    ground.expect("^console: no g.od")
    await tab.evaluate("console.error('no good')")
    await seen(ground, "no good")
    await ground.close()


async def test_a_context_of_its_own_shares_nothing(ground: Ground) -> None:
    first, second = await bare(ground), await bare(ground)
    apart = await bare(ground, context=await ground.context())
    await first.evaluate("localStorage.setItem('a', '1')")
    assert await second.evaluate("localStorage.getItem('a')") == "1"
    assert await apart.evaluate("localStorage.getItem('a')") is None


async def test_axe_finds_what_is_wrong(ground: Ground, axe: Axe) -> None:
    tab = await bare(ground)
    await tab.evaluate("document.body.append(document.createElement('button'))")
    assert "button-name" in {violation["id"] for violation in await axe(tab)}


@pytest.mark.parametrize("kill", [True, False])
async def test_a_hub_comes_back_where_it_was(hub_process: HubProcess, *, kill: bool) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"{hub_process.url}/v1/stream/kept"
        async with http.put(url, headers={"Content-Type": "text/plain"}, data="kept") as response:
            assert response.status == 201
        await (hub_process.kill() if kill else hub_process.stop())
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(url)
        await hub_process.start()
        async with http.get(url) as response:
            assert await response.text() == "kept"


async def test_a_line_is_cut_and_mended(hub_process: HubProcess) -> None:
    line = hub_process.line
    async with aiohttp.ClientSession() as http:

        async def asked() -> int:
            async with http.get(f"{line.url}/livez") as response:
                return response.status

        assert await asked() == 200
        async with http.ws_connect(f"{line.url}/v1/ws", protocols=("hub.v1",)) as ws:
            await line.cut()
            assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked()
        line.mend()
        assert await asked() == 200
        line.hold()
        waiting = asyncio.create_task(asked())
        # What does not come cannot be waited for: a hub that answers would need a hundredth.
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
        line.release()
        assert await waiting == 200


async def test_a_line_breaks_what_it_has_only_just_taken(hub_process: HubProcess) -> None:
    line = hub_process.line
    port = urlsplit(line.url).port
    for rounds in range(12):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            for _ in range(rounds):
                await asyncio.sleep(0)
            await line.cut()
            with suppress(ConnectionError):
                assert await asyncio.to_thread(client.recv, 1) == b""
        line.mend()
