"""Every official client of OpenAI's formats, before every provider's: the same answer.

The providers are aimock, which this project did not write; what goes wrong is scripted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from tests.clients.asking import AGENTS, CLIENTS, OBJECTS, Heard, Question, ask
from tests.clients.node import script
from tests.conftest import Running, StartHub
from tests.support.aimock import aimock
from tests.support.openai_client import World, completing, url_of
from tests.support.upstream_answers import (
    Answer,
    Ending,
    Gate,
    Step,
    openai_block,
    openai_sse,
    refusal,
)

TEXT: Final = "Es war einmal 👨‍👩‍👧‍👦 — 从前, `<br>`\n\ndata: [DONE]\n\n."
THOUGHT: Final = "A story, then. 🤔"
ARGUMENTS: Final = {"city": "Zürich 🇨🇭", "days": [1, 2]}

FIXTURES: Final[list[dict[str, Any]]] = [
    {
        "match": {"userMessage": "tell"},
        "response": {"content": TEXT, "reasoning": THOUGHT},
        "chunkSize": 7,
    },
    # aimock's Cohere says its reasoning as text, unlike Cohere.
    {"match": {"userMessage": "say"}, "response": {"content": TEXT}, "chunkSize": 7},
    {
        "match": {"userMessage": "weather"},
        "response": {
            "toolCalls": [{"name": "get_weather", "arguments": json.dumps(ARGUMENTS)}] * 2
        },
        "chunkSize": 7,
    },
    {
        "match": {"userMessage": "forecast", "hasToolResult": True},
        "response": {"content": TEXT},
        "chunkSize": 7,
    },
    {
        "match": {"userMessage": "forecast"},
        "response": {
            "reasoning": THOUGHT,
            "toolCalls": [{"name": "get_weather", "arguments": json.dumps({"city": "Zürich"})}] * 2,
        },
        "chunkSize": 7,
    },
    {
        "match": {"userMessage": "as JSON"},
        "response": {"content": json.dumps({"text": TEXT})},
        "chunkSize": 7,
    },
    {
        "match": {"userMessage": "by a tool"},
        "response": {"toolCalls": [{"name": "Answer", "arguments": json.dumps({"text": TEXT})}]},
        "chunkSize": 7,
    },
]
PROVIDERS: Final = {
    "openai-chat": "/v1",
    "openai-responses": "/v1",
    "anthropic": "/v1",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "",
}
UNTHOUGHT: Final = {"langchain chat stream", "langchain chat whole"}
"""Who reads no `reasoning_content`."""


@pytest.fixture(scope="module")
def providers() -> Iterator[str]:
    with aimock(*FIXTURES) as url:
        yield url


@pytest.fixture
async def hub(providers: str, start_hub: StartHub) -> Running:
    tables = {
        name: {"dialect": name, "url": providers + path, "model": "m-1"}
        for name, path in PROVIDERS.items()
    }
    return await start_hub(upstreams=tables)


def ended(client: str, reason: str) -> str:
    """How a client calls the end that is called so in chat completions."""
    kind, api, _ = client.split(" ")
    if kind == "pydantic-ai":
        return "tool_call" if (reason, api) == ("tool_calls", "chat") else "stop"
    return "completed" if api == "responses" else reason


def arguments(heard: Heard) -> list[Any]:
    return [json.loads(call["arguments"]) for call in heard.calls]


@pytest.mark.parametrize("client", CLIENTS)
async def test_text_and_reasoning_of_every_provider(client: str, hub: Running) -> None:
    thinking = [name for name in PROVIDERS if name != "cohere"]
    questions = [Question(name, "tell me") for name in thinking]
    *answers, cohere = await ask(client, url_of(hub), *questions, Question("cohere", "say it"))
    for name, heard in zip(PROVIDERS, [*answers, cohere], strict=True):
        assert heard.error is None, name
        assert heard.text == TEXT, name
        assert heard.finish == ended(client, "stop"), name
        assert heard.usage is not None, name
    if client not in UNTHOUGHT:
        assert [heard.reasoning for heard in answers] == [THOUGHT] * len(thinking)


@pytest.mark.parametrize("client", CLIENTS)
async def test_tool_calls_of_every_provider(client: str, hub: Running) -> None:
    questions = [Question(name, "weather", tools=True) for name in PROVIDERS]
    answers = await ask(client, url_of(hub), *questions)
    for name, heard in zip(PROVIDERS, answers, strict=True):
        assert heard.error is None, name
        assert [call["name"] for call in heard.calls] == ["get_weather"] * 2, name
        assert arguments(heard) == [ARGUMENTS] * 2, name
        ids = [call["id"] for call in heard.calls]
        assert all(ids), name
        assert len(set(ids)) == 2, f"{name}: a call is answered by its id"
        assert heard.finish == ended(client, "tool_calls"), name


@pytest.mark.parametrize("client", AGENTS)
async def test_an_agent_of_every_provider(client: str, hub: Running) -> None:
    questions = [Question(name, "forecast", run=True) for name in PROVIDERS]
    answers = await ask(client, url_of(hub), *questions)
    for name, heard in zip(PROVIDERS, answers, strict=True):
        assert heard.error is None, name
        assert heard.text == TEXT, name


@pytest.mark.parametrize("client", OBJECTS)
async def test_an_object_of_every_provider(client: str, hub: Running) -> None:
    by_schema = [Question(name, "as JSON", schema=True) for name in PROVIDERS]
    by_tool = [Question(name, "by a tool") for name in PROVIDERS]
    answers = await ask(client, url_of(hub), *by_schema, *by_tool)
    for question, heard in zip([*by_schema, *by_tool], answers, strict=True):
        if (question.model, question.schema) == ("ollama", False):
            assert heard.error is not None, "no tool can be forced there"
            assert heard.error["code"] == "unsupported_option"
            continue
        assert heard.error is None, question
        assert heard.text == TEXT, question


# What goes wrong


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with completing(start_hub, default_upstream="scripted") as made:
        yield made


CUT: Final[dict[str, tuple[Step, ...]]] = {
    "closed": (Ending.CLOSE,),
    "reset": (Ending.RESET,),
    "ended without an end": (),
    "error": (openai_block(None, error={"message": "out of luck"}), b"data: [DONE]\n\n"),
}


@pytest.mark.parametrize("client", [*CLIENTS, *OBJECTS])
async def test_an_upstream_cut_in_mid_answer_is_an_error_to_every_client(
    client: str, world: World
) -> None:
    begun = openai_block({"content": "Hel"})
    world.upstream.answers(*(Answer(begun, *CUT[how]) for how in CUT))
    answers = await ask(client, url_of(world.running), *[Question("scripted", "Hi")] * len(CUT))
    for how, heard in zip(CUT, answers, strict=True):
        assert heard.error is not None, how
        assert heard.error["kind"] != "APIResponseValidationError", how
        assert heard.finish in (None, "failed"), how
        assert heard.text in ("", "Hel"), how


@pytest.mark.parametrize("client", [*CLIENTS, *OBJECTS])
async def test_a_refusal_is_an_http_error_to_every_client(client: str, world: World) -> None:
    world.upstream.answers(refusal(429, "slow down"), refusal(401, "bad key"))
    questions = [Question("scripted", "Hi")] * 2 + [Question("gpt-9", "Hi")]
    limited, unauthorized, unknown = await ask(client, url_of(world.running), *questions)
    for heard, status, code in (
        (limited, 429, "upstream_rate_limited"),
        (unauthorized, 502, "upstream_unauthorized"),
        (unknown, 404, "model_not_found"),
    ):
        assert heard.error is not None
        assert heard.error["status"] == status
        if not client.startswith("litellm"):  # which forgets the code of most errors
            assert heard.error["code"] == code
    assert limited.error is not None
    assert limited.error["kind"].endswith("RateLimitError")


# Coming back


async def test_the_npm_client_resumes_in_mid_answer_without_a_doubled_token(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("Hel", "lo ", "wörld 🌊")
    world.upstream.answers(Answer(*blocks[:2], gate, *blocks[2:]))
    async with script("openai_resume.mjs", {"url": url_of(world.running)}) as running:
        begun = await running.line()
        assert begun["text"] == "Hel"
        gate.open()
        (ended,) = await running.lines()
    assert ended == {"text": "Hello wörld 🌊", "whole": "Hello wörld 🌊"}
