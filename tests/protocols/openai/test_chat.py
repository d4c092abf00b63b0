"""The official `openai` client takes the hub for OpenAI: whole answers, and their streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncStream, OpenAI

from hub.dialects.demo.answers import CHINESE, POEM
from hub.domain.events import Delta, Finished
from tests.conftest import StartHub
from tests.support.openai_client import (
    HELLO,
    World,
    chunks,
    completing,
    request,
    said,
    text_of,
    url_of,
)
from tests.support.patience import PATIENCE
from tests.support.raw_socket import exchange
from tests.support.upstream_answers import Answer, Ending, Gate, openai_block, openai_sse


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    streams = {"foreign_generations": True}
    async with completing(start_hub, default_upstream="scripted", streams=streams) as made:
        yield made


# Whole answers


async def test_a_streamed_answer_is_every_character_of_it_and_ends_once(world: World) -> None:
    given = await chunks(await world.begin(model="demo", messages=said("你好")))
    assert text_of(given) == CHINESE
    assert given[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in given if c.choices[0].finish_reason] == ["stop"]
    assert given[-1].choices[0].finish_reason == "stop"
    assert len({(c.id, c.created, c.model, c.object) for c in given}) == 1
    assert all(c.usage is None for c in given)


async def test_an_answer_that_is_not_streamed_is_the_same(world: World) -> None:
    answer = await world.client.chat.completions.create(model="demo", messages=said("poem"))
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == POEM
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 10
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_usage_comes_last_in_a_chunk_without_choices_if_asked_for(world: World) -> None:
    options: Any = {"include_usage": True}
    *before, last = await chunks(
        await world.begin(model="demo", messages=said("poem"), stream_options=options)
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 10
    assert all(c.usage is None and c.choices for c in before)


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_in_a_stream_of_a_chosen_name(streamed: bool, world: World) -> None:
    """Others follow it there, and the next one may go there too."""
    world.upstream.answers(*[Answer(*openai_sse("Hel", "lo"))] * 2)
    headers = {"Streamhub-Stream": "radio"}
    for _ in range(2):
        if streamed:
            text = text_of(await chunks(await world.begin(extra_headers=headers)))
        else:
            create = world.client.chat.completions.create
            whole = await create(model="scripted", messages=HELLO, extra_headers=headers)
            text = whole.choices[0].message.content or ""
        assert text == "Hello"
    stream = await world.running.hub.streams.open("radio")
    events = [event async for event in stream.events()]
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "HelloHello"
    assert not stream.closed


async def test_one_that_breaks_off_in_a_stream_of_a_chosen_name_is_an_error(world: World) -> None:
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.CLOSE))
    answer = await world.begin(extra_headers={"Streamhub-Stream": "radio"})
    with pytest.raises(openai.APIError):
        await chunks(answer)


async def test_a_stream_in_which_something_is_said_takes_no_other(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("Hel", "lo")
    world.upstream.answers(Answer(*blocks[:2], gate, *blocks[2:]))
    headers = {"Streamhub-Stream": "radio"}
    answer = await world.begin(extra_headers=headers)
    with pytest.raises(openai.ConflictError) as caught:
        await world.begin(extra_headers=headers)
    assert caught.value.code == "stream_busy"
    gate.open()
    assert text_of(await chunks(answer)) == "Hello"


async def test_usage_is_the_upstreams_own(world: World) -> None:
    counts = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    world.upstream.answers(Answer(*openai_sse("Hi", usage=counts)))
    answer = await world.client.chat.completions.create(model="scripted", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.to_dict() == counts


async def test_reasoning_stands_beside_the_text(world: World) -> None:
    given = await chunks(await world.begin(model="demo", messages=said("poem")))
    thought = "".join(
        getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in given if c.choices
    )
    assert thought.startswith("A poem, then")
    whole = await world.client.chat.completions.create(model="demo", messages=said("poem"))
    assert getattr(whole.choices[0].message, "reasoning_content", None) == thought
    assert whole.choices[0].message.content == POEM


async def test_a_tool_call_comes_in_pieces_that_join_to_its_arguments(world: World) -> None:
    given = await chunks(await world.begin(model="demo", messages=said("tools")))
    pieces = [p for c in given for p in c.choices[0].delta.tool_calls or []]
    assert len(pieces) >= 2
    assert [(p.id, p.type) for p in pieces if p.id] == [("call_demo", "function")]
    assert [p.function.name for p in pieces if p.function and p.function.name] == ["get_weather"]
    arguments = "".join(p.function.arguments or "" for p in pieces if p.function)
    assert json.loads(arguments)["city"] == "Zürich"
    assert given[-1].choices[0].finish_reason == "tool_calls"


async def test_a_tool_call_that_is_not_streamed_is_whole_and_can_be_answered(
    world: World,
) -> None:
    create = world.client.chat.completions.create
    asked: list[Any] = said("tools")
    answer = await create(model="demo", messages=asked)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["country"] == "🇨🇭"
    told = {"role": "tool", "tool_call_id": call.id, "content": "12 °C"}
    asked += [message.to_dict(), told]
    again = await create(model="demo", messages=asked)
    assert "> 12 °C" in (again.choices[0].message.content or "")


async def test_a_limit_on_tokens_ends_for_length(world: World) -> None:
    answer = await world.client.chat.completions.create(
        model="demo", messages=said("echo one two three four"), max_tokens=3
    )
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "length"


async def test_the_client_that_blocks_works_too(world: World) -> None:
    def ask() -> tuple[str, str]:
        with OpenAI(api_key="none", base_url=url_of(world.running), max_retries=0) as client:
            with client.chat.completions.create(
                model="demo", messages=said("poem"), stream=True
            ) as stream:
                streamed = text_of(list(stream))
            whole = client.chat.completions.create(model="demo", messages=said("poem"))
            return streamed, whole.choices[0].message.content or ""

    assert await asyncio.to_thread(ask) == (POEM, POEM)


# Models and what is sent on


async def test_every_model_listed_can_be_asked(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    names = [model.id async for model in world.client.models.list()]
    assert names == ["scripted", "demo"], "the default comes first"
    for name in names:
        assert text_of(await chunks(await world.begin(model=name)))


@pytest.mark.parametrize(
    ("named", "sent"), [("scripted", "m-1"), ("scripted/m-2", "m-2"), ("m-1", "m-1")]
)
async def test_a_model_is_an_upstream_and_maybe_a_model_of_it(
    named: str, sent: str, world: World
) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    given = await chunks(await world.begin(model=named, temperature=0.5, seed=7))
    assert {c.model for c in given} == {sent}
    asked = world.upstream.requests[0].json
    assert (asked["model"], asked["temperature"], asked["seed"]) == (sent, 0.5, 7)
    assert asked["messages"] == HELLO
    assert asked["stream"] is True


async def test_fields_that_are_null_are_as_if_left_out(world: World) -> None:
    answer = await world.client.chat.completions.create(
        model="demo",
        messages=said("echo hi"),
        extra_body={"stream": None, "stream_options": {"include_usage": None}, "n": None},
    )
    assert answer.choices[0].message.content == "hi"


# A stream like any other


async def test_the_answer_can_be_followed_elsewhere_while_it_is_given(world: World) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]))
    raw = await world.client.chat.completions.with_raw_response.create(
        model="scripted", messages=HELLO, stream=True
    )
    name = raw.headers["Streamhub-Stream"]
    first = world.running.client.get(f"/v1/live/{name}?format=text&from=start")
    async with first as response, asyncio.timeout(PATIENCE):
        assert await response.content.readexactly(3) == b"Hel"
        gate.open()
        assert await response.content.read() == b"lo"
    assert text_of(await chunks(raw.parse())) == "Hello"


async def test_a_client_that_leaves_does_not_cancel(world: World) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]))
    raw = await world.client.chat.completions.with_raw_response.create(
        model="scripted", messages=HELLO, stream=True
    )
    stream = raw.parse()
    await anext(aiter(stream))
    await stream.close()
    hub = world.running.hub
    async with asyncio.timeout(PATIENCE):
        while hub.connections:  # noqa: ASYNC110 - until the hub has seen it leave
            await asyncio.sleep(0.01)
        gate.open()
        generation = await hub.generations.wait(raw.headers["Streamhub-Generation"])
    assert generation.state == "finished"
    async with world.running.client.get(
        f"/v1/live/{generation.stream}?format=text&from=start"
    ) as response:
        assert await response.text() == "Hello"


@pytest.mark.parametrize("stream", [True, False])
async def test_what_others_write_in_its_stream_is_not_the_answer(
    stream: bool, world: World
) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]))
    name = (await begin_elsewhere(world, {"messages": HELLO, "upstream": "scripted"}))["stream"]
    await gate.reached()
    hub = world.running.hub
    for event in (Delta("gen_other", "evil"), Finished("gen_other"), Delta("", "worse")):
        hub.streams.append(await hub.streams.open(name), event)
    gate.open()
    answer = await world.client.chat.completions.create(
        model="scripted", messages=HELLO, stream=stream, extra_headers={"Idempotency-Key": "k"}
    )
    if isinstance(answer, AsyncStream):
        assert text_of(await chunks(answer)) == "Hello"
    else:
        assert answer.choices[0].message.content == "Hello"


async def begin_elsewhere(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Start a generation by the hub's own API, with a key by which the other API finds it."""
    async with world.running.client.post("/v1/generations", json={**asked, "key": "k"}) as begun:
        shown: dict[str, Any] = await begun.json()
        return shown


async def test_a_retried_request_with_its_key_is_the_same_answer(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Once")))
    answers = [
        await world.client.chat.completions.create(
            model="scripted", messages=HELLO, extra_headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert {answer.choices[0].message.content for answer in answers} == {"Once"}
    assert len({answer.id for answer in answers}) == 1
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_whose_beginning_is_no_longer_kept_is_not_given_by_half(
    stream: bool, start_hub: StartHub
) -> None:
    body = {"model": "demo", "messages": said("poem"), "stream": stream}
    async with completing(start_hub, streams={"max_records": 3}) as world:
        begun = await begin_elsewhere(world, {"messages": said("poem"), "upstream": "demo"})
        await world.running.hub.generations.wait(begun["id"])
        async with world.running.client.post(
            "/v1/chat/completions", json=body, headers={"Idempotency-Key": "k"}
        ) as response:
            assert response.status == 410
            assert (await response.json())["error"]["code"] == "gone"


async def test_http_1_0_gets_the_answer_without_chunks(world: World) -> None:
    given = await exchange(world.running.client.port, request("demo", "echo hi", b"1.0"))
    head, _, answer = given.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    *lines, done, nothing = [line.removeprefix(b"data: ") for line in answer.split(b"\n\n")]
    assert (done, nothing) == (b"[DONE]", b"")
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    assert "".join(delta.get("content", "") for delta in deltas) == "hi"
