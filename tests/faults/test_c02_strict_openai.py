"""openai-python's strict validation takes whatever this hub says, on every route it calls.

A client made with ``_strict_response_validation`` raises where a field that OpenAI always sends
is missing or of another type; without it the field is simply not there when it is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import openai
import pytest
from openai import AsyncOpenAI

from tests.conftest import Running, StartHub
from tests.support.openai_client import HELLO, official_client, said

LOOK: Final[Any] = {"type": "object", "properties": {}}
ASKED: Final[list[dict[str, Any]]] = [
    {"input": "poem"},
    {"input": "tools", "tools": [{"type": "function", "name": "get_weather"}]},
    {"input": "你好", "instructions": "Be brief", "metadata": {"mine": "1"}},
    {
        "input": [{"role": "user", "content": "help"}],
        "tools": [{"type": "function", "name": "look", "parameters": LOOK, "strict": True}],
        "tool_choice": {"type": "function", "name": "look"},
        "text": {"format": {"type": "json_schema", "name": "seen", "schema": LOOK}},
    },
    {"input": "poem", "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}},
    {"input": "poem", "store": False},
]


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    return await start_hub()


@pytest.fixture
async def client(hub: Running) -> AsyncIterator[AsyncOpenAI]:
    async with official_client(hub, strict=True) as made:
        yield made


async def _broken(stream: Any, seen: Callable[[Any], Awaitable[None]]) -> openai.APIError:
    """The error that a stream ends in, which is one of the response and not of its form."""

    async def read() -> None:
        async for event in stream:
            await seen(event)

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert not isinstance(caught.value, openai.APIResponseValidationError), caught.value.body
    return caught.value


@pytest.mark.parametrize("asked", ASKED)
async def test_a_response_whole_and_streamed(asked: dict[str, Any], client: AsyncOpenAI) -> None:
    whole = await client.responses.create(model="demo", **asked)
    assert whole.usage is not None
    assert whole.usage.input_tokens_details.cache_write_tokens == 0
    last = None
    async for event in await client.responses.create(model="demo", stream=True, **asked):
        last = event
    assert last is not None
    assert last.type == "response.completed"
    assert last.response.usage is not None
    assert last.response.usage.input_tokens_details.cache_write_tokens == 0
    assert last.response.output_text == whole.output_text


async def test_what_is_asked_of_a_response_later(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="poem")
    assert (await client.responses.retrieve(made.id)).output_text == made.output_text
    assert (await client.responses.input_items.list(made.id)).data
    waiting = await client.responses.create(model="demo", input="stall", background=True)
    assert (await client.responses.cancel(waiting.id)).status == "cancelled"
    ids: list[str] = []

    async def seen(event: Any) -> None:
        if event.type == "response.created":
            ids.append(event.response.id)

    await _broken(await client.responses.create(model="demo", input="cut", stream=True), seen)
    error = (await client.responses.retrieve(ids[0])).error
    assert error is not None
    assert (error.code, error.type) == ("server_error", "upstream_truncated")


@pytest.mark.parametrize(
    ("text", "code"), [("fail", "upstream_error"), ("cut", "upstream_truncated")]
)
async def test_a_response_that_breaks_off(text: str, code: str, client: AsyncOpenAI) -> None:
    types: list[str] = []

    async def seen(event: Any) -> None:
        types.append(event.type)

    stream = await client.responses.create(model="demo", input=text, stream=True)
    assert (await _broken(stream, seen)).code == code
    assert types[-1] == "response.failed"


async def test_a_response_that_somebody_cancels(hub: Running, client: AsyncOpenAI) -> None:
    async def seen(event: Any) -> None:
        if event.type == "response.output_text.delta":
            await hub.hub.generations.cancel(f"gen_{event.item_id[4:36]}")

    stream = await client.responses.create(model="demo", input="stall", stream=True)
    assert (await _broken(stream, seen)).code == "generation_stopped"


@pytest.mark.parametrize("text", ["poem", "tools"])
async def test_a_completion_whole_and_streamed(text: str, client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="demo", messages=said(text))
    chunks = await client.chat.completions.create(
        model="demo",
        messages=said(text),
        stream=True,
        stream_options={"include_usage": True},
    )
    told = [chunk async for chunk in chunks]
    assert told[-1].usage == whole.usage


async def test_models(client: AsyncOpenAI) -> None:
    found = [model.id async for model in client.models.list()]
    assert found
    assert (await client.models.retrieve(found[0])).id == found[0]
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="none", messages=HELLO)
