"""Ollama: the request, and what no transcript shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.dialects.ollama import Ollama
from hub.domain.errors import RequestError, UpstreamError
from hub.domain.events import Finished, Usage
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.transcripts import read, replay

HI = ({"role": "user", "content": "Hi"},)


def body_for(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = dict(Ollama().call(Prompt(messages or HI, "llama3.2", options)).body)
    orjson.dumps(body)
    return body


def test_asks_for_a_stream() -> None:
    call = Ollama().call(Prompt(HI, "llama3.2"))
    assert call.path == "/api/chat"
    assert call.body == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    assert "model" not in Ollama().call(Prompt(HI)).body


def test_options_have_other_names() -> None:
    body = body_for(temperature=0.5, top_p=0.9, max_tokens=100, stop="END", seed=7, n=1)
    assert body["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "num_predict": 100,
        "stop": ["END"],
        "seed": 7,
    }
    assert body.keys() == {"model", "messages", "stream", "options"}


def test_options_that_are_null_are_not_sent() -> None:
    assert "options" not in body_for(temperature=None, stop=None)
    assert body_for(stop=["a", "b"])["options"] == {"stop": ["a", "b"]}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("wanted", "format_"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, SCHEMA),
        ({"type": "json_schema"}, "json"),
        ({"type": "text"}, None),
        (None, None),
    ],
)
def test_formats(wanted: object, format_: object) -> None:
    assert body_for(response_format=wanted).get("format") == format_


def test_tools_and_thinking() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    assert body_for(tools=tools, tool_choice="auto")["tools"] == tools
    assert "tools" not in body_for(tools=tools, tool_choice="none")
    assert body_for(reasoning_effort="high")["think"] == "high"
    assert body_for(reasoning_effort="none")["think"] is False


def test_tool_calls_of_the_conversation_have_their_arguments_as_objects() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    bare = {"function": {"name": "g", "arguments": ""}}
    body = body_for(
        {"role": "assistant", "content": None, "tool_calls": [call, bare]},
        {"role": "tool", "content": "42", "tool_call_id": "1", "name": "f"},
    )
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"function": {"name": "f", "arguments": {"a": 1}}},
                {"function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "42", "tool_name": "f"},
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "5", 5, ["a"]])
def test_refuses_arguments_that_are_no_object(arguments: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    with pytest.raises(RequestError, match="must be a JSON object"):
        body_for({"role": "assistant", "tool_calls": [call]})


def test_text_and_pictures_stand_apart() -> None:
    parts = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "text", "text": "this?"},
    ]
    assert body_for({"role": "user", "content": parts})["messages"] == [
        {"role": "user", "content": "What is this?", "images": ["iVBORw0KGgo="]}
    ]


def test_refuses_pictures_that_stand_elsewhere() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(RequestError, match="data: URLs") as caught:
        body_for({"role": "user", "content": [part]})
    assert caught.value.code == "unsupported_option"


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 2},
        {"logit_bias": {"1": 1}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"parallel_tool_calls": False, "tools": [{"function": {"name": "f"}}]},
        {"nonsense": 1},
    ],
    ids=lambda asked: str(next(iter(asked))),
)
def test_refuses_by_name_what_ollama_cannot_take(asked: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=rf'"ollama" cannot ask for "{next(iter(asked))}"') as no:
        body_for(**asked)
    assert no.value.code == "unsupported_option"


def test_its_own_options_are_taken() -> None:
    body = body_for(num_ctx=8192, top_k=40, keep_alive="5m", think="low", format="json")
    assert body["options"] == {"num_ctx": 8192, "top_k": 40}
    assert (body["keep_alive"], body["think"], body["format"]) == ("5m", "low", "json")


def test_a_result_names_its_tool_by_the_call_that_it_answers() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = body_for(
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    )
    assert body["messages"][1] == {"role": "tool", "content": "42", "tool_name": "f"}


def test_thinking_written_into_the_text_is_told_apart_if_asked_to() -> None:
    lines = [
        b'{"message":{"content":"<thi"},"done":false}',
        b'{"message":{"content":"nk>hm</think>Hi"},"done":true}',
    ]
    found = read(Ollama({"think": True}), *lines)
    assert found == [{"type": "delta", "reasoning": "hm"}, {"type": "delta", "text": "Hi"}]


def test_the_end_is_the_end_of_the_body_after_a_line_that_is_done() -> None:
    dialect = Ollama()
    assert read(dialect, b'{"message":{"content":"a"},"done":false}') != []
    assert not dialect.ending
    assert read(dialect, b'{"done":true,"prompt_eval_count":3,"eval_count":4}') == []
    assert dialect.ending
    assert dialect.usage == Usage(3, 4)
    assert list(dialect.close(clean=False)) == [Finished(usage=Usage(3, 4))]
    assert not list(dialect.close(clean=True))


def test_nothing_follows_an_error() -> None:
    dialect = Ollama()
    assert len(read(dialect, b'{"error":"out of memory","done":true}')) == 1
    assert read(dialect, b'{"message":{"content":"a"},"done":true}', b"nonsense") == []
    assert not list(dialect.close(clean=True))


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b'"text"',
        b"nonsense",
        b'{"message":"text"}',
        b'{"message":["text"]}',
        b'{"message":{"content":5}}',
        b'{"response":{"a":1}}',
        b'{"message":{"tool_calls":{"a":1}}}',
        b'{"message":{"tool_calls":[5]}}',
        b'{"message":{"tool_calls":[{"function":{"name":5}}]}}',
        b"{" * 100_000,
    ],
    ids=lambda line: repr(line)[:50],
)
def test_what_cannot_be_understood_is_one_clear_error(line: bytes) -> None:
    with pytest.raises(UpstreamError, match="the upstream sent") as caught:
        list(Ollama().events(Chunk(line)))
    assert caught.value.code == "upstream_malformed"


def test_an_indented_error_under_a_good_status_is_an_error() -> None:
    (failed,) = replay(Ollama(), [b'{\n  "error": "model not loaded"\n}\n'])
    assert failed["type"] == "failed"
    assert failed["message"].endswith("model not loaded")
