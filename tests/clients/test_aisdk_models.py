"""npm ``ai``, each version, with ``@ai-sdk/openai-compatible``: the hub as a provider of models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clients.node import script, told
from tests.conftest import Running, StartHub
from tests.support.aimock import aimock, reply
from tests.support.scripted_upstream import (
    Answer,
    Ending,
    Scripted,
    openai_block,
    openai_sse,
    refusal,
)

VERSIONS = [5, 6, 7]
WAYS = ["stream", "whole"]


class World:
    def __init__(self, version: int, hub: Running, upstream: Scripted) -> None:
        self.version = version
        self.hub = hub
        self.upstream = upstream

    def given(self, how: str, **more: Any) -> dict[str, Any]:
        url = str(self.hub.client.make_url("/v1"))
        asked = {"url": url, "model": "scripted", "prompt": "Hello", "how": how, **more}
        return {"version": self.version, **asked}

    async def ask(self, how: str, **more: Any) -> tuple[list[str], dict[str, Any]]:
        """The pieces that were heard, and the end."""
        *pieces, last = await told("models.mjs", self.given(how, **more))
        return [line["piece"] for line in pieces], last


@pytest.fixture(params=VERSIONS)
async def world(request: pytest.FixtureRequest, start_hub: StartHub) -> AsyncIterator[World]:
    async with Scripted() as upstream:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        yield World(request.param, await start_hub(upstreams={"scripted": table}), upstream)


@pytest.mark.parametrize("how", WAYS)
async def test_an_answer_with_reasoning_and_usage(world: World, how: str) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    thought = openai_block({"reasoning_content": "Hm."})
    world.upstream.answers(Answer(thought, *openai_sse("Hel", "lo 👋", usage=usage)))
    pieces, end = await world.ask(how)
    assert end["text"] == "Hello 👋"
    assert "".join(pieces) == ("Hello 👋" if how == "stream" else "")
    assert end["reasoning"] == "Hm."
    assert end["finishReason"] == "stop"
    assert (end["usage"]["inputTokens"], end["usage"]["outputTokens"]) == (7, 5)


@pytest.mark.parametrize("how", WAYS)
async def test_a_tool_is_carried_out_and_the_answer_goes_on(world: World, how: str) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"city":'}}
    rest = {"index": 0, "function": {"arguments": '"Paris"}'}}
    world.upstream.answers(
        Answer(
            openai_block({"tool_calls": [call]}),
            openai_block({"tool_calls": [rest]}),
            openai_block({}, finish_reason="tool_calls"),
        ),
        Answer(*openai_sse("Sunny.")),
    )
    _, end = await world.ask(how, tools={"weather": "clear"})
    assert end["calls"] == [["weather", {"city": "Paris"}]]
    assert end["text"] == "Sunny."
    sent = world.upstream.requests[-1].json
    assert sent["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "clear"}
    assert sent["tools"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("how", WAYS)
async def test_a_refusal_is_an_error(world: World, how: str) -> None:
    world.upstream.answers(refusal(429, "slow down please"))
    _, end = await world.ask(how)
    assert "slow down please" in end["error"]
    assert end["status"] == 429


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET, None])
async def test_an_answer_that_is_cut_is_an_error(
    world: World, how: str, ending: Ending | None
) -> None:
    """Also where the upstream ends its body well, in the middle of the answer."""
    endings = [] if ending is None else [ending]
    blocks = openai_sse("Half an ", "ans", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, *endings))
    pieces, end = await world.ask(how)
    assert end["error"]
    assert "finishReason" not in end
    assert "".join(pieces) in ("Half an ans", "")


@pytest.mark.parametrize("headers", [{}, {"X-On-Disconnect": "cancel"}])
async def test_who_leaves_cancels_only_if_it_said_so(world: World, headers: dict[str, str]) -> None:
    """Else the answer goes on, for others."""
    blocks = openai_sse("Once", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, Ending.HANG))
    given = world.given("stream", abortAfter="Once", headers=headers)
    async with script("models.mjs", given) as running:
        assert await running.line() == {"piece": "Once"}
        assert await running.line() == {"aborted": True}
    request = await world.upstream.request()
    if headers:
        await request.left()
    else:
        assert request.gone is None
        assert world.hub.hub.generations.active == 1


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_before_aimock(start_hub: StartHub, version: int, how: str) -> None:
    """An upstream that this project did not write."""
    text = "It was a dark and stormy night; the rain fell in torrents 🌧 except at intervals."
    with aimock(reply("story", text, per_second=2000)) as url:
        table = {"dialect": "openai-chat", "url": f"{url}/v1", "model": "gpt-4o"}
        hub = await start_hub(upstreams={"aimock": table})
        base = str(hub.client.make_url("/v1"))
        given = {"url": base, "model": "aimock", "prompt": "Tell me a story", "how": how}
        *pieces, end = await told("models.mjs", {"version": version, **given})
    assert end["text"] == text
    assert end["finishReason"] == "stop"
    if how == "stream":
        assert "".join(line["piece"] for line in pieces) == text
