"""A streamed reply begins within a short grace, and beats until there is something to say."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import openai
import pytest

from tests.conftest import StartHub
from tests.support.openai_client import HELLO, World, completing, text_of
from tests.support.patience import patient
from tests.support.upstream_answers import (
    Answer,
    Gate,
    Step,
    openai_block,
    openai_sse,
    refusal,
)

SOON: Final = {"grace_seconds": 0.05, "beat_seconds": 0.1}
PATIENCE: Final = patient(20.0)

CHAT: Final = {"model": "scripted", "messages": HELLO, "stream": True}
UI: Final = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
ROUTES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "responses": ("/v1/responses", {"model": "scripted", "input": "Hi", "stream": True}),
    "AI SDK": ("/api/chat", {**UI, "model": "scripted"}),
    "tutorial": ("/stream_data_to_frontend_test", {"messages": HELLO}),
}


async def silence(begun: bool, gate: Gate) -> Answer:
    """Before the head of an answer, or after a greeting."""
    said: list[Step] = [openai_block({"role": "assistant", "content": ""})] if begun else []
    return Answer(*said, gate, *openai_sse("Hello"))


@pytest.mark.parametrize("route", ROUTES)
async def test_the_response_begins_before_the_first_word_and_beats(
    route: str, start_hub: StartHub
) -> None:
    path, body = ROUTES[route]
    gate = Gate()
    async with completing(start_hub, server=SOON, default_upstream="scripted") as world:
        world.upstream.answers(await silence(True, gate))
        async with asyncio.timeout(PATIENCE):
            answer = await world.running.client.post(path, json=body)
            assert answer.status == 200
            beats = 0
            while beats < 4:
                beats += (await answer.content.readany()).count(b"\n")
            gate.open()
            rest = (await answer.read()).decode()
    assert "Hello" in rest or '"o"' in rest


async def test_conversations_of_others_are_told_that_they_are_being_answered(
    start_hub: StartHub,
) -> None:
    """TanStack AI's POST, and an AI SDK's that asks for the address of the answer."""
    gate = Gate()
    async with completing(start_hub, server=SOON, default_upstream="scripted") as world:
        world.upstream.answers(*[await silence(True, gate) for _ in range(2)])
        async with asyncio.timeout(PATIENCE):
            post = world.running.client.post
            said = await post("/api/chat/tan", json={"messages": UI["messages"]})
            assert said.status == 202
            accept = {"Accept": "application/json"}
            told = await post("/api/chat", json=UI, headers=accept)
            assert told.status == 201
            gate.open()


def late(world: World, error: Answer) -> Gate:
    """The upstream refuses when this is opened: when the grace is over and a response has begun."""
    gate = Gate()
    greeting = openai_block({"role": "assistant", "content": ""})
    world.upstream.answers(Answer(greeting, gate, *error.steps))
    return gate


LATE: Final = {"error": {"message": "too long", "code": "context_length_exceeded", "param": "x"}}


async def test_a_late_refusal_is_told_in_mid_stream(start_hub: StartHub) -> None:
    async with completing(start_hub, server=SOON, default_upstream="scripted") as world:
        said = Answer(f"data: {json.dumps(LATE)}\n\n".encode())
        gate = late(world, said)
        chunks = await world.begin()
        gate.open()
        with pytest.raises(openai.APIError) as caught:
            async for _ in chunks:
                pass
        assert not isinstance(caught.value, openai.APIStatusError)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "x")
        assert caught.value.message == "too long"

        gate = late(world, said)
        events = await world.client.responses.create(model="scripted", input="Hi", stream=True)
        gate.open()
        with pytest.raises(openai.APIError) as caught:
            async for _ in events:
                pass
        assert caught.value.code == "context_length_exceeded"

        gate = late(world, said)
        answer = await world.running.client.post("/api/chat", json=UI)
        assert answer.status == 200
        gate.open()
        told = b""
        while piece := await answer.content.readany():
            told += piece
            if b'"error"' in told:
                break
        assert b"too long" in told


@pytest.mark.parametrize("status", [400, 429])
async def test_a_quick_refusal_is_a_status(status: int, start_hub: StartHub) -> None:
    async with completing(start_hub, default_upstream="scripted") as world:
        for path, body in list(ROUTES.values())[:3]:
            world.upstream.answers(refusal(status, "no"))
            answer = await world.running.client.post(path, json=body)
            assert answer.status == status


async def test_the_first_word_ends_the_grace(start_hub: StartHub) -> None:
    server = {"grace_seconds": 600.0}
    async with completing(start_hub, server=server, default_upstream="scripted") as world:
        world.upstream.answers(Answer(*openai_sse("Hi")))
        async with asyncio.timeout(PATIENCE):
            given = [chunk async for chunk in await world.begin()]
    assert text_of(given) == "Hi"
