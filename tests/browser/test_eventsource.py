"""A browser's own ``EventSource`` on `/v1/live`: it resumes by itself, and hears every ending."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from tests.browser.conftest import NewGround, StartHubProcess
from tests.browser.hub_process import HubProcess
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import (
    Answer,
    Ending,
    Gate,
    openai_block,
    openai_sse,
    refusal,
)

FOLLOW = """address => {
  window.heard = []
  window.over = false
  window.opened = 0
  window.source = new EventSource(address)
  source.onopen = () => window.opened++
  source.onmessage = ({ data }) => heard.push(JSON.parse(data))
  source.addEventListener("closed", () => { window.over = true })
}"""
LAST = "kind => heard.length > 0 && heard.at(-1).type === kind"
TEXT = 'field => heard.filter(e => e.type === "delta").map(e => e[field] ?? "").join("")'


async def started(start: StartHubProcess, upstream: Scripted) -> HubProcess:
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
    return await start(upstreams={"scripted": table}, default_upstream="scripted")


async def ask(hub: HubProcess, method: str = "POST", path: str = "") -> dict[str, Any]:
    asked = {"prompt": "Hello", "stream": "chat"} if method == "POST" else None
    url = f"{hub.url}/v1/generations{path}"
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, url, json=asked) as answer,
    ):
        told: dict[str, Any] = await answer.json()
        return told


async def ended(tab: Page, kind: str) -> list[Any]:
    await tab.wait_for_function(LAST, arg=kind)
    heard: list[Any] = await tab.evaluate("heard")
    return heard


async def test_an_answer_with_reasoning_and_a_tool(
    start_hub_process: StartHubProcess, new_ground: NewGround, upstream: Scripted
) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": "{}"}}
    upstream.answers(
        Answer(
            openai_block({"reasoning_content": "Hm."}),
            openai_block({"content": "Let me look 👀"}),
            openai_block({"tool_calls": [call]}),
            openai_block({}, finish_reason="tool_calls"),
        )
    )
    hub = await started(start_hub_process, upstream)
    tab = await new_ground(hub.url).tab("/")
    await ask(hub)
    await tab.evaluate(FOLLOW, "/v1/live/chat")
    heard = await ended(tab, "finished")
    assert await tab.evaluate(TEXT, "text") == "Let me look 👀"
    assert await tab.evaluate(TEXT, "reasoning") == "Hm."
    assert [e["tool"]["name"] for e in heard if "name" in e.get("tool", {})] == ["weather"]


@pytest.mark.parametrize("answer", ["refused", "cut", "reset"])
async def test_a_failure_is_told(
    start_hub_process: StartHubProcess, new_ground: NewGround, upstream: Scripted, answer: str
) -> None:
    half = openai_sse("Half", reason=None, done=False)
    script = {
        "refused": refusal(500, "out of order"),
        "cut": Answer(*half),
        "reset": Answer(*half, Ending.RESET),
    }
    upstream.answers(script[answer])
    hub = await started(start_hub_process, upstream)
    tab = await new_ground(hub.url).tab("/")
    await ask(hub)
    await tab.evaluate(FOLLOW, "/v1/live/chat")
    heard = await ended(tab, "failed")
    assert "finished" not in [event["type"] for event in heard]


async def test_it_comes_back_in_mid_answer_and_nothing_comes_twice(
    start_hub_process: StartHubProcess, new_ground: NewGround, upstream: Scripted
) -> None:
    gate = Gate()
    blocks = openai_sse("one ", "two ", reason=None, done=False)
    upstream.answers(Answer(*blocks, gate, *openai_sse("three ", "four")[1:]))
    hub = await started(start_hub_process, upstream)
    ground = new_ground(hub.line.url)
    ground.expect(r"net::ERR_")
    tab = await ground.tab("/")
    await ask(hub)
    await tab.evaluate(FOLLOW, "/v1/live/chat")
    await tab.wait_for_function(f"() => ({TEXT})('text') === 'one two '")
    await hub.line.cut()
    gate.open()
    hub.line.mend()
    await ended(tab, "finished")
    assert await tab.evaluate(TEXT, "text") == "one two three four"
    assert await tab.evaluate("opened") > 1


async def test_a_cancel_is_told_and_the_end_of_a_stream_ends_it(
    start_hub_process: StartHubProcess, new_ground: NewGround, upstream: Scripted
) -> None:
    blocks = openai_sse("Once ", reason=None, done=False)
    upstream.answers(Answer(*blocks, Ending.HANG))
    hub = await started(start_hub_process, upstream)
    tab = await new_ground(hub.url).tab("/")
    generation = await ask(hub)
    await tab.evaluate(FOLLOW, "/v1/live/chat")
    await tab.wait_for_function(f"() => ({TEXT})('text') === 'Once '")
    await ask(hub, "DELETE", f"/{generation['id']}")
    await (await upstream.request()).left()
    await ended(tab, "cancelled")
    async with aiohttp.ClientSession() as client:
        address, close = f"{hub.url}/v1/stream/chat", {"Stream-Closed": "true"}
        async with client.post(address, headers=close) as answer:
            assert answer.status == 204
    # It comes back once, is told that there is nothing more, and stays away.
    await tab.wait_for_function("() => over && source.readyState === EventSource.CLOSED")
