"""The tutorial's page: one fetch, whose text appears as it comes."""

from __future__ import annotations

import json
import re

import aiohttp
from playwright.async_api import expect

from tests.browser.conftest import Axe, NewGround, Shot, StartHubProcess


async def test_the_text_appears_as_it_comes(
    start_hub_process: StartHubProcess, new_ground: NewGround, shot: Shot, axe: Axe
) -> None:
    hub = await start_hub_process(tutorial={"pace": 0.5})
    tab = await new_ground(hub.url).tab("/single.html")
    answer = tab.get_by_role("log", name="Answer")
    ask = tab.get_by_role("button", name="Ask")
    stop = tab.get_by_role("button", name="Stop")
    await expect(stop).to_be_disabled()
    await ask.click()
    await expect(answer).to_have_text(re.compile(r"^.{3,}", re.DOTALL))
    await expect(ask).to_be_disabled()
    await shot(tab, "single")
    assert await axe(tab) == []
    first = await answer.inner_text()
    await expect(answer).to_have_text(re.compile("^" + re.escape(first) + ".+", re.DOTALL))
    await stop.click()
    await expect(answer).to_contain_text("[stopped]")
    await expect(ask).to_be_enabled()


async def test_all_of_it(start_hub_process: StartHubProcess, new_ground: NewGround) -> None:
    hub = await start_hub_process(tutorial={"pace": 0.001})
    tab = await new_ground(hub.url).tab("/single.html")
    ask = tab.get_by_role("button", name="Ask")
    answer = tab.get_by_role("log", name="Answer")
    await ask.click()
    await expect(tab.get_by_role("button", name="Stop")).to_be_enabled()
    await expect(ask).to_be_enabled()
    async with aiohttp.ClientSession() as http, http.get(f"{hub.url}/stream_json_data") as told:
        objects = json.JSONDecoder()
        text, whole = await told.text(), ""
        while text:
            one, end = objects.raw_decode(text)
            whole, text = whole + one["text"], text[end:].lstrip()
    assert await answer.text_content() == whole
    assert len(whole) > 10
