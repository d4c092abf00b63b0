"""A refusal that comes under HTTP 200 is tried again, and then the stand-in answers.

What begins a reply is its first content: neither the status nor a greeting is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from hub import Hub
from hub.domain.events import to_json
from hub.domain.generation_request import GenerationRequest
from tests.conftest import StartHub
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Ending, Step, openai_block, openai_sse

SAY: Final[dict[str, Any]] = {"messages": ({"role": "user", "content": "Hi"},)}

Refusal = tuple[str, tuple[Step, ...]]


def sse(*held: Any) -> bytes:
    """Server-sent events, named by their type where they have one."""
    said = []
    for one in held:
        name = one.get("type") if isinstance(one, dict) else None
        named = f"event: {name}\n" if isinstance(name, str) else ""
        said.append(f"{named}data: {one if isinstance(one, str) else json.dumps(one)}\n\n")
    return "".join(said).encode()


def line(held: Any) -> bytes:
    return json.dumps(held).encode() + b"\n"


ROLE: Final = openai_block({"role": "assistant", "content": ""})
START: Final = sse(
    {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 9}}},
    {"type": "ping"},
)
CREATED: Final = sse(
    {"type": "response.created", "response": {"id": "r", "object": "response", "output": []}},
    {"type": "response.in_progress", "response": {"id": "r", "object": "response", "output": []}},
)
BUSY: Final = {"error": {"message": "busy", "code": 503}}
LIMIT: Final = {"error": {"message": "too fast", "type": "rate_limit_error"}}
OVERLOADED: Final = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}

REFUSALS: Final[dict[str, Refusal]] = {
    "chat: first frame": ("openai-chat", (sse(BUSY),)),
    "chat: after the role": ("openai-chat", (ROLE, sse(LIMIT))),
    "chat: named event": ("openai-chat", (ROLE, b'event: error\ndata: {"message":"busy"}\n\n')),
    "chat: then DONE": ("openai-chat", (sse(BUSY, "[DONE]"),)),
    "chat: JSON": ("openai-chat", (json.dumps(BUSY).encode(),)),
    "chat: nothing": ("openai-chat", ()),
    "chat: DONE alone": ("openai-chat", (sse("[DONE]"),)),
    "chat: role and DONE": ("openai-chat", (ROLE, sse("[DONE]"))),
    "chat: finish_reason error": ("openai-chat", (openai_block({}, finish_reason="error"),)),
    "chat: role and silence": ("openai-chat", (ROLE, Ending.HANG)),
    "chat: role and close": ("openai-chat", (ROLE, Ending.CLOSE)),
    "chat: role and reset": ("openai-chat", (ROLE, Ending.RESET)),
    "anthropic: first frame": ("anthropic", (sse(OVERLOADED),)),
    "anthropic: after start": ("anthropic", (START, sse(OVERLOADED))),
    "anthropic: start and silence": ("anthropic", (START, Ending.HANG)),
    "anthropic: start and end": ("anthropic", (START,)),
    "anthropic: JSON": ("anthropic", (json.dumps(OVERLOADED).encode(),)),
    "anthropic: DONE alone": ("anthropic", (sse("[DONE]"),)),
    "responses: after created": (
        "openai-responses",
        (CREATED, sse({"type": "error", "code": "rate_limit_exceeded", "message": "slow"})),
    ),
    "responses: failed": (
        "openai-responses",
        (
            CREATED,
            sse(
                {
                    "type": "response.failed",
                    "response": {
                        "status": "failed",
                        "error": {"code": "server_error", "message": "oops"},
                    },
                }
            ),
        ),
    ),
    "responses: created and silence": ("openai-responses", (CREATED, Ending.HANG)),
    "responses: JSON": ("openai-responses", (json.dumps(BUSY).encode(),)),
    "gemini: first frame": ("gemini", (sse({"error": {"code": 503, "status": "UNAVAILABLE"}}),)),
    "gemini: JSON": ("gemini", (json.dumps([BUSY]).encode(),)),
    "gemini: empty candidate": ("gemini", (sse({"candidates": [{}]}), Ending.HANG)),
    "ollama: first line": ("ollama", (line({"error": "busy"}),)),
    "ollama: nothing said": ("ollama", (line({"message": {"content": ""}}), Ending.CLOSE)),
    "cohere: start and error": (
        "cohere",
        (
            sse({"type": "message-start", "id": "c"}),
            sse({"type": "message-end", "delta": {"finish_reason": "ERROR"}}),
        ),
    ),
    "json: error": ("json", (line({"error": "busy"}),)),
}


@asynccontextmanager
async def asked(
    start_hub: StartHub,
    dialect: str,
    *,
    retries: int = 0,
    fallback: bool = True,
    stall: float = 60.0,
) -> AsyncIterator[tuple[Hub, Scripted]]:
    async with Scripted() as upstream:
        first = {
            "dialect": dialect,
            "url": f"{upstream.url}/first",
            "model": "m",
            "retries": retries,
            "max_retry_wait": 5.0,
            "stall_timeout": stall,
            "fallback": ["other"] if fallback else [],
        }
        other = {"dialect": "openai-chat", "url": f"{upstream.url}/other", "retries": 0}
        running = await start_hub(
            upstreams={"first": first, "other": other}, default_upstream="first"
        )
        yield running.hub, upstream


async def told(hub: Hub, **more: Any) -> list[dict[str, Any]]:
    """All events of one reply, and what the generation is at its end."""
    generation = await hub.generations.start(GenerationRequest(**SAY, **more))
    await hub.generations.wait(generation.id)
    stream = await hub.streams.open(generation.stream)
    return [to_json(event) async for event in stream.events()]


STAND_IN: Final = openai_sse("from the ", "stand-in", usage={"prompt_tokens": 7})


@pytest.mark.parametrize("name", REFUSALS)
async def test_the_stand_in_answers(name: str, start_hub: StartHub) -> None:
    dialect, steps = REFUSALS[name]
    stall = 0.15 if Ending.HANG in steps else 60.0
    async with asked(start_hub, dialect, stall=stall) as (hub, upstream):
        upstream.answers(Answer(*steps), under="/first")
        upstream.answers(Answer(*STAND_IN), under="/other")
        events = await told(hub)
    kinds = [event["type"] for event in events]
    assert kinds == ["started", "retrying", "delta", "delta", "finished"]
    assert events[1]["upstream"] == "other"
    assert events[-1]["upstream"] == "other"
    assert events[-1]["usage"] == {"prompt_tokens": 7}, "not of the one that said nothing"


PASSING: Final = ("chat: first frame", "chat: after the role", "chat: nothing", "chat: DONE alone")


@pytest.mark.parametrize("name", PASSING)
async def test_it_is_tried_again_first(
    name: str, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.generations.relay.random.uniform", lambda low, high: 0.0)
    dialect, steps = REFUSALS[name]
    async with asked(start_hub, dialect, retries=1) as (hub, upstream):
        upstream.answers(Answer(*steps), Answer(*openai_sse("Hi")), under="/first")
        events = await told(hub)
    kinds = [event["type"] for event in events]
    assert kinds == ["started", "retrying", "delta", "finished"]
    assert "upstream" not in events[1]


async def test_without_anybody_else_the_refusal_is_the_end(start_hub: StartHub) -> None:
    async with asked(start_hub, "openai-chat", fallback=False) as (hub, upstream):
        upstream.answers(Answer(ROLE, sse(LIMIT)), under="/first")
        events = await told(hub)
    assert [event["type"] for event in events] == ["started", "failed"]
    assert events[1]["code"] == "upstream_rate_limited"
    assert "too fast" in events[1]["message"]


@pytest.mark.parametrize(
    "said",
    [{"content": "x"}, {"reasoning_content": "x"}, {"tool_calls": [{"function": {"name": "f"}}]}],
)
async def test_after_any_content_nobody_is_asked_again(
    said: dict[str, Any], start_hub: StartHub
) -> None:
    async with asked(start_hub, "openai-chat", retries=2) as (hub, upstream):
        upstream.answers(Answer(openai_block(said), sse(BUSY)), under="/first")
        events = await told(hub)
    assert [event["type"] for event in events] == ["started", "delta", "failed"]
    assert len(upstream.requests) == 1


async def test_what_another_would_refuse_too_is_not_asked_again(start_hub: StartHub) -> None:
    refused = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    async with asked(start_hub, "openai-chat", retries=2) as (hub, upstream):
        upstream.answers(Answer(ROLE, sse(refused)), under="/first")
        events = await told(hub)
    assert [event["type"] for event in events] == ["started", "failed"]
    assert events[1]["provider"] == {
        "status": 400,
        "message": "too long",
        "code": "context_length_exceeded",
    }


async def test_an_empty_answer_with_a_reason_is_an_answer(start_hub: StartHub) -> None:
    async with asked(start_hub, "openai-chat") as (hub, upstream):
        upstream.answers(Answer(*openai_sse()), under="/first")
        events = await told(hub)
    assert [event["type"] for event in events] == ["started", "finished"]
