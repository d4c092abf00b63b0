"""PyPI's ``websockets`` as a client of ``hub.v1``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import (
    Answer,
    Ending,
    Gate,
    Scripted,
    openai_block,
    openai_sse,
    refusal,
)


class World:
    def __init__(self, hub: Running, upstream: Scripted) -> None:
        self.hub = hub
        self.upstream = upstream

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        url = str(self.hub.client.make_url("/v1/ws")).replace("http", "ws", 1)
        # What goes out over a connection that is compressed cannot be shared with others.
        async with connect(
            url, subprotocols=[Subprotocol("hub.v1")], compression=None, open_timeout=PATIENCE
        ) as socket:
            assert socket.subprotocol == "hub.v1"
            yield socket


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with Scripted() as upstream:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        hub = await start_hub(upstreams={"scripted": table}, default_upstream="scripted")
        yield World(hub, upstream)


async def say(socket: ClientConnection, **command: Any) -> None:
    await socket.send(json.dumps(command))


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message["type"] == kind:
            return message


async def events_until(socket: ClientConnection, *kinds: str) -> tuple[list[Any], str]:
    """The events up to the first of some kinds, and the position after them."""
    events: list[Any] = []
    while not events or events[-1]["type"] not in kinds:
        message = await heard(socket, "events")
        events += message["events"]
    return events, message["position"]


def text_of(events: list[Any], field: str = "text") -> str:
    return "".join(event.get(field, "") for event in events if event["type"] == "delta")


async def test_an_answer_with_reasoning_and_a_tool(world: World) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": "{}"}}
    world.upstream.answers(
        Answer(
            openai_block({"reasoning_content": "Hm."}),
            openai_block({"content": "Let me "}),
            openai_block({"content": "look 👀"}),
            openai_block({"tool_calls": [call]}),
            openai_block({}, finish_reason="tool_calls"),
        )
    )
    async with world.connected() as socket:
        await say(socket, type="generate", id=1, stream="chat", prompt="Weather?")
        assert (await heard(socket, "ok"))["id"] == 1
        await say(socket, type="subscribe", id=2, stream="chat", **{"from": "start"})
        events, _ = await events_until(socket, "finished")
    assert [e["type"] for e in events][:2] == ["message", "started"]
    assert text_of(events) == "Let me look 👀"
    assert text_of(events, "reasoning") == "Hm."
    tool, *rest = [event["tool"] for event in events if "tool" in event]
    assert (tool["index"], tool["id"], tool["name"]) == (0, "call_1", "weather")
    assert "".join(piece.get("arguments", "") for piece in (tool, *rest)) == "{}"
    assert events[-1]["reason"] == "tool"


@pytest.mark.parametrize("answer", ["refused", "cut", "reset"])
async def test_a_failure_is_told(world: World, answer: str) -> None:
    blocks = openai_sse("Half", reason=None, done=False)
    script = {
        "refused": refusal(500, "out of order"),
        "cut": Answer(*blocks),
        "reset": Answer(*blocks, Ending.RESET),
    }
    world.upstream.answers(script[answer])
    async with world.connected() as socket:
        await say(socket, type="generate", id=1, stream="chat", prompt="Hello")
        await say(socket, type="subscribe", id=2, stream="chat", **{"from": "start"})
        events, _ = await events_until(socket, "finished", "failed")
    assert events[-1]["type"] == "failed"
    assert events[-1]["message"]
    assert text_of(events) == ("" if answer == "refused" else "Half")


async def test_it_resumes_in_mid_answer_and_nothing_comes_twice(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("one ", "two ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, gate, *openai_sse("three ", "four")[1:]))
    async with world.connected() as socket:
        await say(socket, type="generate", id=1, stream="chat", prompt="Count")
        await say(socket, type="subscribe", id=2, stream="chat", **{"from": "start"})
        before: list[Any] = []
        while text_of(before) != "one two ":
            message = await heard(socket, "events")
            before += message["events"]
    async with world.connected() as socket:
        await say(socket, type="subscribe", id=1, stream="chat", **{"from": message["position"]})
        await heard(socket, "ok")
        gate.open()
        after, _ = await events_until(socket, "finished")
    assert text_of(before) + text_of(after) == "one two three four"


async def test_cancel_reaches_the_upstream(world: World) -> None:
    blocks = openai_sse("Once ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, Ending.HANG))
    async with world.connected() as socket, world.connected() as other:
        await say(socket, type="generate", id=1, stream="chat", prompt="Hello")
        generation = (await heard(socket, "ok"))["generation"]
        await say(socket, type="subscribe", id=2, stream="chat", **{"from": "start"})
        await events_until(socket, "delta")
        await say(other, type="cancel", id=1, generation=generation)
        await (await world.upstream.request()).left()
        events, _ = await events_until(socket, "cancelled")
    assert events[-1]["generation"] == generation
