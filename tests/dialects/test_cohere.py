"""Cohere: the request, and what no transcript shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.dialects.cohere import Cohere
from hub.domain.errors import ConfigError, RequestError, UpstreamError
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.transcripts import read, text_of

HI = ({"role": "user", "content": "Hi"},)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "g", "description": "d", "parameters": SCHEMA}}


def body_for(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = dict(Cohere().call(Prompt(messages or HI, "command-a-03-2025", options)).body)
    orjson.dumps(body)
    return body


def test_asks_for_a_stream() -> None:
    call = Cohere().call(Prompt(HI, "command-a-03-2025"))
    assert call.path == "/v2/chat"
    assert call.body == {"model": "command-a-03-2025", "messages": list(HI), "stream": True}
    assert "model" not in Cohere().call(Prompt(HI)).body


def test_options_have_other_names() -> None:
    body = body_for(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_tokens=100,
        stop="END",
        seed=7,
        presence_penalty=0.1,
        safety_mode="NONE",
        n=1,
    )
    assert {name: body[name] for name in body.keys() - {"model", "messages", "stream"}} == {
        "temperature": 0.5,
        "p": 0.9,
        "k": 40,
        "max_tokens": 100,
        "stop_sequences": ["END"],
        "seed": 7,
        "presence_penalty": 0.1,
        "safety_mode": "NONE",
    }


def test_a_conversation_with_tools() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = body_for(
        {"role": "developer", "content": "Be brief."},
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
    )
    function = {"name": "f", "arguments": '{"a":1}'}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        *HI,
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]


def test_pictures_are_a_users() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    parts = [{"type": "text", "text": "What?"}, picture]
    assert body_for({"role": "user", "content": parts})["messages"][0]["content"] == parts
    with pytest.raises(RequestError, match="only a user's message"):
        body_for({"role": "tool", "tool_call_id": "1", "content": parts})


def test_tools_and_formats() -> None:
    body = body_for(tools=[TOOL], tool_choice="required")
    assert body["tools"] == [TOOL]
    assert body["tool_choice"] == "REQUIRED"
    assert body_for(tools=[TOOL], tool_choice="none")["tool_choice"] == "NONE"
    assert "tool_choice" not in body_for(tools=[TOOL], tool_choice="auto")
    alone = {"type": "function", "function": {"name": "f"}}
    assert body_for(tools=[TOOL], tool_choice=alone)["tool_choice"] == "REQUIRED"
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    assert body_for(tools=[strict])["strict_tools"] is True
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    made = body_for(response_format=wanted)["response_format"]
    assert made == {"type": "json_object", "json_schema": SCHEMA}
    made = body_for(response_format={"type": "json_object"})["response_format"]
    assert made == {"type": "json_object"}


@pytest.mark.parametrize(("effort", "kind"), [("none", "disabled"), ("high", "enabled")])
def test_thinking_is_on_or_off(effort: str, kind: str) -> None:
    assert body_for(reasoning_effort=effort)["thinking"] == {"type": kind}
    own = {"type": "enabled", "token_budget": 100}
    assert body_for(reasoning_effort=effort, thinking=own)["thinking"] == own


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 2},
        {"logprobs": True, "top_logprobs": 2},
        {"logit_bias": {"1": 2}},
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tools": [TOOL, OTHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [OTHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"nonsense": 1},
    ],
    ids=lambda asked: list(asked)[-1],
)
def test_refuses_by_name_what_cohere_cannot_take(asked: dict[str, Any]) -> None:
    name = list(asked)[-1]
    with pytest.raises(RequestError, match=rf'"cohere" cannot ask for "{name}"') as no:
        body_for(**asked)
    assert no.value.code == "unsupported_option"


def test_takes_no_other_options_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match='no option "thinks"'):
        Cohere({"thinks": True})


def test_thinking_written_into_the_text_is_told_apart_if_asked_to() -> None:
    delta = (
        b'{"type":"content-delta","delta":{"message":{"content":{"text":"<think>hm</think>Hi"}}}}'
    )
    found = read(Cohere({"think": True}), delta)
    assert (text_of(found, "reasoning"), text_of(found)) == ("hm", "Hi")


def test_nothing_follows_the_end() -> None:
    dialect = Cohere()
    end = b'{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}'
    assert read(dialect, end, end, b"nonsense") == [{"type": "finished", "reason": "stop"}]
    assert not list(dialect.close(clean=True))


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b'"text"',
        b"nonsense",
        b'{"type":"content-delta","delta":{"message":"text"}}',
        b'{"type":"content-delta","delta":{"message":{"content":5}}}',
        b'{"type":"content-delta","delta":{"message":{"content":[5]}}}',
        b'{"type":"tool-call-start","delta":{"message":{"tool_calls":5}}}',
        b'{"type":"tool-call-start","delta":{"message":{"tool_calls":[5]}}}',
        b"{" * 100_000,
    ],
    ids=lambda line: repr(line)[:60],
)
def test_what_cannot_be_understood_is_one_clear_error(line: bytes) -> None:
    with pytest.raises(UpstreamError, match="the upstream sent") as caught:
        list(Cohere().events(Chunk(line)))
    assert caught.value.code == "upstream_malformed"
