"""What a few bytes ask for and may be long to read has a turn of its caller, whatever the route."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from tests.conftest import StartHub
from tests.support.loopback_hub import eventually

PARTS: Final = {"id": "q2", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
CONTENT: Final = {"id": "q2", "role": "user", "content": "echo hi"}
AGUI: Final = {"threadId": "chat", "runId": "r", "messages": [CONTENT]}
COMPLETION: Final = {"model": "demo", "messages": [{"role": "user", "content": "echo hi"}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"id": "chat", "messages": [PARTS]}),
        ("/api/chat/chat", {"messages": [PARTS]}),
        ("/api/agent", AGUI),
        ("/v1/chat/completions", COMPLETION),
        ("/v1/responses", {"model": "demo", "input": "echo hi"}),
    ],
)
async def test_an_answer_waits_for_the_turn_of_its_caller(
    start_hub: StartHub, path: str, body: dict[str, Any]
) -> None:
    hub = await start_hub()
    await hub.hub.streams.append_to("chat", Message("user", "Hi", extra={"id": "q1"}))
    reads = hub.hub.callers.reads.of("address 127.0.0.1")

    async def ask() -> int:
        async with hub.client.post(path, json=body) as response:
            await response.read()
            return response.status

    async with reads:
        asking = asyncio.create_task(ask())
        await eventually(lambda: reads._waiters)
        assert not asking.done()
    assert await asking in (200, 202)


async def test_so_does_whoever_comes_back_to_an_answer(start_hub: StartHub) -> None:
    hub = await start_hub(upstreams={"slow": {"dialect": "demo", "options": {"pace": 1}}})
    slow = GenerationRequest(prompt="long", stream="chat", upstream="slow")
    generation = await hub.hub.generations.start(slow)
    reads = hub.hub.callers.reads.of("address 127.0.0.1")

    async def resume() -> int:
        async with hub.client.get("/api/chat/chat/stream") as response:
            return response.status

    async with reads:
        resuming = asyncio.create_task(resume())
        await eventually(lambda: reads._waiters)
        assert not resuming.done()
    assert await resuming == 200
    await hub.hub.generations.cancel(generation.id)
