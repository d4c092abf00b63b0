"""`/v1/responses`, as the official `openai` client and bare requests see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import openai
import pytest
from aiohttp import web

from hub.dialects.demo.answers import POEM
from hub.domain.events import Delta, Finished, Started
from hub.domain.principal import Principal
from hub.protocols.openai.responses import OpenAIResponses
from hub.protocols.openai.responses_request import ResponseAsked
from tests.conftest import StartHub
from tests.support.loop_rounds import Rounds
from tests.support.openai_client import HELLO, World, completing
from tests.support.patience import PATIENCE
from tests.support.upstream_answers import Answer, Ending, Gate, openai_block, openai_sse

WORDS: Final = ["Hel", "lo ", "wör", "ld 🌊", "."]


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    streams = {"foreign_generations": True}
    async with completing(start_hub, default_upstream="scripted", streams=streams) as made:
        yield made


async def told(stream: Any) -> list[dict[str, Any]]:
    """All events of a response that is streamed."""
    return [event.to_dict() async for event in stream]


async def all_of(response: Any, given: bytearray) -> None:
    """Take what comes, up to the end or the error."""
    async for piece in response.content.iter_any():
        given += piece


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


# What is asked


async def test_it_is_asked_in_the_words_of_every_provider(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    items: Any = [
        {"role": "user", "content": "Look"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "at this"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "a dog"}],
        },
    ]
    tools: Any = [{"type": "function", "name": "look", "parameters": schema, "strict": True}]
    form: Any = {"format": {"type": "json_schema", "name": "seen", "schema": schema}}
    response = await world.client.responses.create(
        model="scripted/m-2",
        input=items,
        instructions="Be brief",
        tools=tools,
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        text=form,
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        metadata={"mine": "1"},
    )
    sent = world.upstream.requests[0].json
    assert sent.pop("stream") is True
    assert sent.pop("stream_options")
    messages = sent.pop("messages")
    assert sent == {
        "model": "m-2",
        "tools": [
            {"type": "function", "function": {"name": "look", "parameters": schema, "strict": True}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "seen", "schema": schema},
        },
        "reasoning_effort": "low",
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
    }
    call = {"type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    assert messages == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Look"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "at this"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "Let me see",
            "tool_calls": [
                {"id": "c1", **call},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
    ]
    shown = response.to_dict()
    assert response.output_text == "Hi"
    assert shown["metadata"] == {"mine": "1"}
    assert (shown["instructions"], shown["max_output_tokens"]) == ("Be brief", 99)
    assert shown["tools"] == tools
    assert shown["text"] == form


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tool_choice": {"type": "file_search"}, "tools": [{"type": "function"}]}, "file_search"),
        ({"text": {"format": {"type": "grammar"}}}, "grammar"),
        ({"reasoning": {"effort": "low", "budget": 1}}, "reasoning.budget"),
        ({"input": [{"type": "code_interpreter_call", "id": "ci_1"}]}, "code_interpreter_call"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input_image",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    wrong: dict[str, Any], named: str, world: World
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await world.client.responses.create(model="scripted", input="Hi", extra_body=wrong)
    assert named in caught.value.message
    assert caught.value.code == "unsupported_option"
    assert caught.value.type == "invalid_request_error"
    assert not world.upstream.requests


@pytest.mark.parametrize(
    "harmless",
    [
        {"include": ["reasoning.encrypted_content"]},
        {"truncation": "disabled"},
        {"conversation": None},
        {"service_tier": "auto"},
        {"top_logprobs": 0},
        {"stream_options": {"include_obfuscation": True}},
    ],
)
async def test_what_asks_for_nothing_is_taken_for_absent(
    harmless: dict[str, Any], world: World
) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    await world.client.responses.create(model="scripted", input="Hi", extra_body=harmless)
    assert not set(harmless) - {"stream_options"} & set(world.upstream.requests[0].json)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": 3},
        {"input": ["Hi"]},
        {"input": [{"role": "king", "content": "Hi"}]},
        {"input": [{"role": "user", "content": 1}]},
        {"input": [{"type": "function_call", "name": "look"}]},
        {"input": []},
        {"max_output_tokens": 0},
        {"background": True, "store": False},
    ],
)
async def test_a_malformed_request_is_a_bad_request(wrong: dict[str, Any], world: World) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await world.client.responses.create(model="scripted", input="Hi", extra_body=wrong)
    assert caught.value.code == "bad_request"
    assert not world.upstream.requests


# What is told


async def test_every_event_is_numbered_and_the_last_holds_the_whole(world: World) -> None:
    counts = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    world.upstream.answers(Answer(*openai_sse(*WORDS, usage=counts)))
    events = await told(
        await world.client.responses.create(model="scripted", input="Hi", stream=True)
    )
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * len(WORDS),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    text = "".join(WORDS)
    assert text_of(events) == events[-4]["text"] == text
    whole = events[-1]["response"]
    assert whole["status"] == "completed"
    (item,) = whole["output"]
    assert item == events[-2]["item"]
    assert item["content"] == [
        {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    ]
    assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (7, 5)
    assert whole["error"] is None
    shown = await world.client.responses.retrieve(whole["id"])
    assert shown.to_dict() == whole


async def test_too_few_tokens_leave_it_incomplete(world: World) -> None:
    events = await told(
        await world.client.responses.create(
            model="demo", input="echo one two three four", max_output_tokens=3, stream=True
        )
    )
    assert events[-1]["type"] == "response.incomplete"
    whole = events[-1]["response"]
    assert (whole["status"], whole["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert whole["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_what_broke_off_ends_in_an_error_and_no_clean_end(how: str, world: World) -> None:
    ending = Ending.CLOSE if how == "closed" else Ending.HANG
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), ending))
    body = {"model": "scripted", "input": "Hi", "stream": True}
    given = bytearray()
    async with world.running.client.post("/v1/responses", json=body) as response:
        if how == "cancelled":
            await world.running.hub.generations.cancel(response.headers["Streamhub-Generation"])
        with pytest.raises(aiohttp.ClientPayloadError):
            await all_of(response, given)
    blocks = given.split(b"\n\n")
    last = [json.loads(block.split(b"data: ")[1]) for block in blocks[-3:-1]]
    failed, error = last if how == "closed" else reversed(last)
    assert error["type"] == "error"
    assert error["error"]["code"] == error["code"]
    if how == "closed":
        assert failed["type"] == "response.failed"
        assert failed["response"]["error"]["type"] == error["code"] == "upstream_truncated"
        assert failed["response"]["error"]["code"] == "server_error"
    else:
        assert failed["type"] == "response.cancelled"
        assert error["code"] == "generation_stopped"
    assert failed["response"]["output"][0]["content"][0]["text"] == "Hel"
    assert failed["response"]["output"][0]["status"] == "incomplete"
    shown = await world.client.responses.retrieve(failed["response"]["id"])
    assert shown.status == ("failed" if how == "closed" else "cancelled")


# Coming back


@pytest.mark.parametrize("seen", range(12))
async def test_it_resumes_in_mid_answer_without_a_doubled_token(seen: int, world: World) -> None:
    gate = Gate()
    blocks = openai_sse(*WORDS)
    world.upstream.answers(Answer(*blocks[:4], gate, *blocks[4:]))
    first: list[dict[str, Any]] = []
    stream: Any = await world.client.responses.create(
        model="scripted", input="Hi", stream=True, background=True
    )
    async for event in stream:
        first.append(event.to_dict())
        if len(first) > min(seen, 6):
            break
    await stream.close()
    name = first[0]["response"]["id"]
    resumed = asyncio.create_task(
        told(await world.client.responses.retrieve(name, stream=True, starting_after=seen))
    )
    await gate.reached()
    gate.open()
    rest = await asyncio.wait_for(resumed, PATIENCE)
    whole = await told(await world.client.responses.retrieve(name, stream=True))
    assert text_of(whole) == "".join(WORDS)
    assert rest == whole[seen + 1 :] or (rest == whole[-1:] and seen >= len(whole) - 1)
    assert first == whole[: len(first)]


async def test_a_number_beyond_the_end_still_gets_the_end(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    response = await world.client.responses.create(model="scripted", input="Hi")
    (last,) = await told(
        await world.client.responses.retrieve(response.id, stream=True, starting_after=10_000)
    )
    assert last["type"] == "response.completed"


async def test_all_readers_are_told_the_same_bytes(world: World) -> None:
    gate = Gate()
    blocks = openai_sse(*WORDS)
    world.upstream.answers(Answer(*blocks[:3], gate, *blocks[3:]))
    body = {"model": "scripted", "input": "Hi", "stream": True}
    client = world.running.client
    async with client.post("/v1/responses", json=body) as first:
        name = first.headers["Streamhub-Generation"].replace("gen_", "resp_")
        async with client.get(f"/v1/responses/{name}?stream=true") as second:
            await gate.reached()
            gate.open()
            given = [await first.read(), await second.read()]
    async with client.get(f"/v1/responses/{name}?stream=true") as third:
        given.append(await third.read())
    assert len(set(given)) == 1


async def test_it_outlives_a_restart_of_the_hub(start_hub: StartHub, tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    async with completing(start_hub, store=store, default_upstream="scripted") as world:
        world.upstream.answers(Answer(*openai_sse("Hi", " there")))
        response = await world.client.responses.create(
            model="scripted", input="Hello", metadata={"mine": "1"}
        )
        before = await told(await world.client.responses.retrieve(response.id, stream=True))
        await world.running.client.close()
    async with completing(start_hub, store=store, default_upstream="scripted") as world:
        again = await world.client.responses.retrieve(response.id)
        assert again.to_dict() == response.to_dict()
        assert await told(await world.client.responses.retrieve(response.id, stream=True)) == before
        assert (await world.client.responses.cancel(response.id)).status == "completed"
        world.upstream.answers(Answer(*openai_sse("Fine")))
        await world.client.responses.create(
            model="scripted", input="And you?", previous_response_id=response.id
        )
        assert world.upstream.requests[0].json["messages"] == [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi there"},
            {"role": "user", "content": "And you?"},
        ]


# In the background, stopped, deleted


async def test_one_in_the_background_is_answered_at_once_and_can_be_asked_for(
    world: World,
) -> None:
    gate = Gate()
    blocks = openai_sse("Hel", "lo")
    world.upstream.answers(Answer(*blocks[:2], gate, *blocks[2:]))
    begun = await world.client.responses.create(model="scripted", input="Hi", background=True)
    assert (begun.status, begun.background, begun.output) == ("in_progress", True, [])
    await gate.reached()
    gate.open()
    await world.running.hub.generations.wait(begun.id.replace("resp_", "gen_"))
    ended = await world.client.responses.retrieve(begun.id)
    assert (ended.status, ended.output_text) == ("completed", "Hello")


async def test_a_cancel_stops_it(world: World) -> None:
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.HANG))
    begun = await world.client.responses.create(model="scripted", input="Hi", background=True)
    request = await world.upstream.request(0)
    cancelled = await world.client.responses.cancel(begun.id)
    assert cancelled.status == "cancelled"
    assert await request.left()
    again = await world.client.responses.cancel(begun.id)
    assert again.to_dict() == cancelled.to_dict(), "what has ended stays as it is"


async def test_a_deleted_one_is_gone(world: World) -> None:
    response = await world.client.responses.create(model="demo", input="poem")
    assert response.output_text == POEM
    await world.client.responses.delete(response.id)
    for again in (world.client.responses.retrieve, world.client.responses.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            await again(response.id)
        assert caught.value.code == "response_not_found"


async def test_one_that_is_not_stored_cannot_be_asked_for(world: World) -> None:
    response = await world.client.responses.create(model="demo", input="echo hi", store=False)
    assert (response.output_text, response.to_dict()["store"]) == ("hi", False)
    with pytest.raises(openai.NotFoundError):
        await world.client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        await world.client.responses.create(
            model="demo", input="echo hi", previous_response_id=response.id
        )


async def test_other_generations_are_no_responses(world: World) -> None:
    answer = await world.client.chat.completions.with_raw_response.create(
        model="demo", messages=HELLO
    )
    name = answer.headers["Streamhub-Generation"].replace("gen_", "resp_")
    for other in (name, name.replace("resp_", "gen_"), "resp_", "resp_x/y", "resp_%00"):
        async with world.running.client.get(f"/v1/responses/{other}") as response:
            assert response.status == 404


async def test_what_somebody_wrote_under_such_a_name_does_no_harm(world: World) -> None:
    kept: list[Any] = [1, {"asked": 1}, {"asked": {}, "input": 1}]
    for number, response_kept in enumerate(kept):
        extra = {"response": response_kept}
        stream, _ = await world.running.hub.streams.create(f"gen_{number}")
        world.running.hub.streams.append(stream, Started(f"gen_{number}", at="never", extra=extra))
        world.running.hub.streams.append(stream, Delta(f"gen_{number}", "evil"))
        world.running.hub.streams.append(stream, Finished(f"gen_{number}"))
        async with world.running.client.get(f"/v1/responses/resp_{number}") as response:
            assert response.status == 404
    async with world.running.client.put(
        "/v1/stream/gen_text", headers={"Content-Type": "text/plain"}
    ):
        pass
    async with world.running.client.get("/v1/responses/resp_text") as response:
        assert response.status in (404, 409)


@pytest.mark.parametrize(
    "query",
    [
        "stream=yes",
        "stream=true&starting_after=x",
        "starting_after=1",
        "stream=true&starting_after=-2",
    ],
)
async def test_a_malformed_query_is_a_bad_request(query: str, world: World) -> None:
    response = await world.client.responses.create(model="demo", input="echo hi")
    async with world.running.client.get(f"/v1/responses/{response.id}?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_what_goes_on_from_one_that_runs_is_a_conflict(world: World) -> None:
    world.upstream.answers(Answer(Ending.HANG))
    begun = await world.client.responses.create(model="scripted", input="Hi", background=True)
    with pytest.raises(openai.ConflictError):
        await world.client.responses.create(
            model="demo", input="echo hi", previous_response_id=begun.id
        )


async def test_what_it_was_asked_is_listed(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    asked: Any = [{"role": "user", "content": str(number)} for number in range(25)]
    made = await world.client.responses.create(model="scripted", input=asked)
    pages = world.client.responses.input_items.list(made.id, order="asc")
    listed: list[Any] = [item async for item in pages]
    texts = [part.text for item in listed for part in item.content]
    assert texts == [str(number) for number in range(25)]
    with pytest.raises(openai.NotFoundError):
        await world.client.responses.input_items.list("resp_" + "0" * 32)


async def test_an_item_is_looked_up_by_its_id(world: World) -> None:
    """So does @ai-sdk/openai repeat a conversation: in references, not in words."""
    function = {"name": "look", "arguments": "{}"}
    piece = {"index": 0, "id": "call_1", "type": "function", "function": function}
    call = openai_block({"tool_calls": [piece]}, finish_reason="tool_calls")
    world.upstream.answers(
        Answer(openai_block({"content": "Let me look."}), call, b"data: [DONE]\n\n"),
        Answer(*openai_sse("Sunny")),
    )
    made = await world.client.responses.create(model="scripted", input="Weather?")
    references = [{"type": "item_reference", "id": item.id} for item in made.output]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    asked: Any = [{"role": "user", "content": "Weather?"}, *references, result]
    await world.client.responses.create(model="scripted", input=asked)
    _, said, gave = world.upstream.requests[1].json["messages"]
    assert said["content"] == "Let me look."
    assert [call["id"] for call in said["tool_calls"]] == ["call_1"] == [gave["tool_call_id"]]


@pytest.mark.parametrize("name", ["msg_1", "msg_" + "0" * 32 + "0", "x", ""])
async def test_an_item_that_is_not_there_is_not_found(name: str, world: World) -> None:
    asked: Any = [{"type": "item_reference", "id": name}]
    with pytest.raises(openai.NotFoundError, match="no item") as caught:
        await world.client.responses.create(model="scripted", input=asked)
    assert caught.value.code == "response_not_found"


async def test_a_retried_request_with_its_key_is_the_same_response(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Once")))
    answers = [
        await world.client.responses.create(
            model="scripted", input="Hi", extra_headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert answers[0].to_dict() == answers[1].to_dict()
    assert len(world.upstream.requests) == 1


async def test_one_whose_beginning_is_no_longer_kept_is_not_given_by_half(
    start_hub: StartHub,
) -> None:
    async with completing(start_hub, streams={"max_records": 3}) as world:
        with pytest.raises(openai.APIStatusError) as caught:
            await world.client.responses.create(model="demo", input="poem")
        assert caught.value.status_code == 410


async def test_a_response_goes_into_no_stream_of_another_name(world: World) -> None:
    headers = {"Streamhub-Stream": "radio"}
    with pytest.raises(openai.BadRequestError, match="Streamhub-Stream"):
        await world.client.responses.create(model="scripted", input="Hi", extra_headers=headers)


async def test_a_response_is_read_once_however_often_it_is_referred_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")), Answer(*openai_sse("Again")))
    made = await world.client.responses.create(model="scripted", input="Hi")
    read = _read(monkeypatch)
    reference = {"type": "item_reference", "id": made.output[0].id}
    asked: Any = [*[reference] * 10, {"role": "user", "content": "And?"}]
    await world.client.responses.create(model="scripted", input=asked)
    assert read == [made.id]
    messages = world.upstream.requests[1].json["messages"]
    assert [one["content"] for one in messages] == [*["Hi"] * 10, "And?"]


async def test_no_more_is_looked_up_than_a_prompt_may_have(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference is short, and what it stands for may be as long as a stream."""
    limits = {"prompt_bytes": 10_000}
    async with completing(start_hub, default_upstream="scripted", limits=limits) as world:
        world.upstream.answers(Answer(*openai_sse("x" * 4_000)))
        made = await world.client.responses.create(model="scripted", input="Hi")
        monkeypatch.setattr(ResponseAsked, "messages", None)  # it is not asked
        reference = {"type": "item_reference", "id": made.output[0].id}
        for count, status in ((3, 413), (1_001, 400)):
            asked: Any = [reference] * count
            with pytest.raises(openai.APIStatusError) as caught:
                await world.client.responses.create(model="scripted", input=asked)
            assert caught.value.status_code == status


async def test_no_more_of_the_responses_before_is_read_than_a_prompt_may_have(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with completing(
        start_hub, default_upstream="scripted", limits={"prompt_bytes": 5_000}
    ) as world:
        world.upstream.answers(*(Answer(*openai_sse("x" * n)) for n in (10, 10, 3_000, 3_000)))
        made: list[str] = []
        for _ in range(4):
            answer = await world.client.responses.create(
                model="scripted",
                input="Hi",
                previous_response_id=made[-1] if made else openai.omit,
            )
            made.append(answer.id)
        read = _read(monkeypatch)
        with pytest.raises(openai.APIStatusError, match="prompt_bytes") as caught:
            await world.client.responses.create(
                model="scripted", input="And?", previous_response_id=made[-1]
            )
        assert caught.value.status_code == 413
        assert read == made[:1:-1]


async def _chain(world: World, length: int) -> str:
    """The last of so many responses, each of which continues the one before."""
    last: Any = openai.omit
    for _ in range(length):
        made = await world.client.responses.create(
            model="scripted", input="Hi", previous_response_id=last
        )
        last = made.id
    return str(last)


async def test_responses_before_are_read_one_in_a_turn_and_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upstream.answers(*[Answer(*openai_sse("Hi"))] * 15)
    last = await _chain(world, 10)
    find = OpenAIResponses._read
    with Rounds() as rounds:

        async def noted(self: OpenAIResponses, name: str, by: Principal) -> Any:
            rounds.note()
            return await find(self, name, by)

        monkeypatch.setattr(OpenAIResponses, "_read", noted)
        again = world.client.responses.create
        await asyncio.gather(
            *(
                again(model="scripted", input="And?", previous_response_id=last, store=False)
                for _ in range(5)
            )
        )
    assert sum(rounds.noted.values()) == 50
    assert rounds.most == 1


async def test_what_is_read_of_responses_before_takes_memory(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"bodies_bytes": 1_000_000}
    async with completing(start_hub, default_upstream="scripted", limits=limits) as world:
        world.upstream.answers(Answer(*openai_sse("x" * 100_000)), Answer(*openai_sse("Hi")))
        made = await world.client.responses.create(model="scripted", input="Hi")
        allowance = world.running.hub.allowance
        asked: list[dict[str, Any]] = [
            {"input": "And?", "previous_response_id": made.id},
            {"input": [{"type": "item_reference", "id": made.output[0].id}]},
        ]
        with allowance.taken(950_000), monkeypatch.context() as patched:
            patched.setattr(world.running.hub.generations, "start", None)  # which would refuse, too
            for one in asked:
                with pytest.raises(openai.RateLimitError):
                    await world.client.responses.create(model="scripted", **one)
        await world.client.responses.create(model="scripted", **asked[0])
        assert allowance.held == 0


def _read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The responses that are read from now on."""
    read: list[str] = []
    find = OpenAIResponses._find

    async def counted(self: OpenAIResponses, name: str, request: web.Request) -> Any:
        read.append(name)
        return await find(self, name, request)

    monkeypatch.setattr(OpenAIResponses, "_find", counted)
    return read
