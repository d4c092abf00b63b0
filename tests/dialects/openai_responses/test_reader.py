"""OpenAI Responses: the request, and what no transcript shows."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.domain.errors import ConfigError, RequestError, UpstreamError
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.transcripts import Transcript, read, replay, text_of

HI = ({"role": "user", "content": "Hi"},)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def body_for(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = dict(OpenAIResponses().call(Prompt(messages or HI, "gpt-5-mini", options)).body)
    orjson.dumps(body)
    return body


def test_asks_for_a_stream_that_is_not_kept() -> None:
    call = OpenAIResponses().call(Prompt(HI, "gpt-5-mini"))
    assert call.path == "/responses"
    assert call.body == {
        "model": "gpt-5-mini",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    assert "include" not in OpenAIResponses().call(Prompt(HI, "gpt-4o")).body
    assert "model" not in OpenAIResponses().call(Prompt(HI)).body
    assert body_for(store=True)["store"] is True


def test_system_messages_at_the_beginning_are_the_instructions() -> None:
    later = {"role": "developer", "content": "Now in French."}
    body = body_for(
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        *HI,
        later,
    )
    assert body["instructions"] == "Be brief.\n\nBe kind."
    assert body["input"][1:] == [{"type": "message", **later}]


def test_system_messages_alone_are_the_input() -> None:
    """Instructions for nothing are refused there: "input" must not be empty."""
    body = body_for({"role": "system", "content": "Greet me."})
    assert "instructions" not in body
    assert body["input"] == [{"type": "message", "role": "system", "content": "Greet me."}]


def test_a_conversation_with_tools_becomes_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = body_for(
        *HI,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": None, "refusal": "No."},
    )
    assert body["input"][1:] == [
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"type": "message", "role": "assistant", "content": "No."},
    ]


def test_pictures() -> None:
    url = {"url": "https://example.org/a.png", "detail": "low"}
    parts = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": url},
    ]
    assert body_for({"role": "user", "content": parts})["input"][0]["content"] == [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
        {"type": "input_image", "image_url": url["url"], "detail": "low"},
    ]


def test_tools_are_flat_and_strict_only_if_asked() -> None:
    function = {"name": "f", "description": "d", "parameters": SCHEMA}
    strict = {"name": "g", "strict": True}
    native = {"type": "web_search"}
    tools = [{"type": "function", "function": function}, {"type": "function", "function": strict}]
    body = body_for(tools=[*tools, native], tool_choice="required", parallel_tool_calls=False)
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", **function, "strict": False},
        {"type": "function", "name": "g", "parameters": empty, "strict": True},
        native,
    ]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    one = {"type": "function", "function": {"name": "f"}}
    assert body_for(tools=tools, tool_choice=one)["tool_choice"] == {
        "type": "function",
        "name": "f",
    }
    assert body_for(tools=[native], tool_choice=native)["tool_choice"] == native


def test_options_have_other_names() -> None:
    body = body_for(
        max_completion_tokens=100,
        temperature=0.5,
        top_p=0.9,
        reasoning_effort="high",
        reasoning={"summary": "auto"},
        verbosity="low",
        user="me",
        include=["reasoning.encrypted_content"],
        n=1,
        stop=None,
        stream_options={"include_usage": True},
    )
    assert {name: body[name] for name in body.keys() - {"model", "input", "stream", "store"}} == {
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"verbosity": "low"},
        "user": "me",
        "include": ["reasoning.encrypted_content"],
    }


def test_formats() -> None:
    schema = {"name": "a", "schema": SCHEMA, "strict": True}
    made = body_for(response_format={"type": "json_schema", "json_schema": schema})["text"]
    assert made == {"format": {"type": "json_schema", **schema}}
    made = body_for(response_format={"type": "json_object"}, verbosity="high")["text"]
    assert made == {"format": {"type": "json_object"}, "verbosity": "high"}
    assert "text" not in body_for(response_format={"type": "text"})


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 2},
        {"frequency_penalty": 0.5},
        {"presence_penalty": 0.5},
        {"logit_bias": {"1": 2}},
        {"functions": [{"name": "f"}]},
        {"top_k": 4},
        {"background": True},
        {"nonsense": 1},
    ],
    ids=lambda asked: str(*asked),
)
def test_refuses_by_name_what_the_api_has_not(asked: dict[str, Any]) -> None:
    name = next(iter(asked))
    with pytest.raises(RequestError, match=rf'"openai-responses" cannot ask for "{name}"') as no:
        body_for(**asked)
    assert no.value.code == "unsupported_option"


def test_takes_no_other_options_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match='no option "thinks"'):
        OpenAIResponses({"thinks": True})


def test_thinking_written_into_the_text_is_told_apart_if_asked_to() -> None:
    found = read(
        OpenAIResponses({"think": True}),
        b'{"type":"response.output_text.delta","delta":"<think>hm"}',
        b'{"type":"response.output_text.delta","delta":"</think>Hi"}',
        b'{"type":"response.completed","response":{"status":"completed","output":[{"type":'
        b'"message","content":[{"type":"output_text","text":"<think>hm</think>Hi"}]}]}}',
    )
    assert (text_of(found, "reasoning"), text_of(found)) == ("hm", "Hi")
    assert found[-1]["type"] == "finished"


def test_nothing_follows_the_end() -> None:
    dialect = OpenAIResponses()
    assert len(read(dialect, b'{"type":"error","message":"out of memory"}')) == 1
    late = b'{"type":"response.output_text.delta","delta":"late"}'
    assert read(dialect, late, b"nonsense") == []
    assert not list(dialect.close(clean=True))


@pytest.mark.parametrize(
    "line", [b"5", b'"text"', b"nonsense", b"{" * 100_000], ids=lambda line: repr(line)[:50]
)
def test_what_cannot_be_understood_is_one_clear_error(line: bytes) -> None:
    with pytest.raises(UpstreamError, match="the upstream sent") as caught:
        list(OpenAIResponses().events(Chunk(line)))
    assert caught.value.code == "upstream_malformed"


STRANGE = [None, 5, "x", [], {}, [5], {"a": 1}, [{"type": 5}], [None]]


@given(
    st.sampled_from(
        [
            "response.output_text.delta",
            "response.output_text.done",
            "response.output_item.added",
            "response.output_item.done",
            "response.content_part.done",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.completed",
            "response.failed",
            "response.incomplete",
            "response.",
            "error",
        ]
    ),
    st.sampled_from(STRANGE),
    st.sampled_from(STRANGE),
    st.sampled_from(STRANGE),
)
def test_strange_fields_never_raise_anything_else(
    kind: str, item: object, delta: object, index: object
) -> None:
    event = {
        "type": kind,
        "item": item,
        "part": item,
        "response": item,
        "delta": delta,
        "text": delta,
        "arguments": delta,
        "output_index": index,
        "content_index": index,
        "item_id": index,
        "output": delta,
        "usage": index,
        "error": delta,
        "incomplete_details": index,
    }
    nested = {**event, "item": event, "response": event, "part": event}
    for each in (event, nested):
        dialect = OpenAIResponses()
        try:
            read(dialect, orjson.dumps(each))
        except UpstreamError:
            continue
        read(dialect, b'{"type":"response.completed","response":{}}')


def test_too_many_items_are_an_error() -> None:
    dialect = OpenAIResponses()
    item = b'{"type":"response.output_item.done","output_index":%d,"item":{"type":"message"}}'
    with pytest.raises(UpstreamError, match="items in one reply"):
        read(dialect, *(item % number for number in range(1_001)))


FULL = [
    Transcript("openai-responses", name)
    for name in (
        "text",
        "two_messages",
        "reasoning_summary",
        "refusal",
        "tools",
        "tools_after_text",
    )
]


@pytest.mark.parametrize("transcript", FULL, ids=str)
@given(choice=st.randoms(use_true_random=False))
def test_whatever_events_a_server_leaves_out_nothing_is_lost_or_doubled(
    transcript: Transcript, choice: random.Random
) -> None:
    """Of all but the deltas any may be missing, or all the deltas of the reply."""
    blocks = [block + b"\n\n" for block in transcript.body.split(b"\n\n") if block]
    left = [
        block
        for block in blocks
        if b"event: response.completed" in block or b".delta" in block or choice.random() < 0.5
    ]
    if choice.random() < 0.3:
        left = [block for block in left if b".delta" not in block]
    assert _sum(replay(OpenAIResponses(), left)) == _sum(transcript.expected)


def _sum(events: list[Any]) -> Any:
    calls: dict[int, dict[str, str]] = {}
    for tool in (event["tool"] for event in events if "tool" in event):
        call = calls.setdefault(tool["index"], {"id": "", "name": "", "arguments": ""})
        for name in call:
            call[name] += tool.get(name) or ""
    made = sorted(calls.values(), key=lambda call: call["id"])
    return sorted(text_of(events)), sorted(text_of(events, "reasoning")), made, events[-1]
