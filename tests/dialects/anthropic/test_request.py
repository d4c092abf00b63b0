"""Prompts as bodies for Anthropic's Messages API."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.dialects.anthropic.request import request_body
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt

HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "does f", "parameters": SCHEMA, "strict": True},
}
BARE = {"type": "function", "function": {"name": "g"}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def body_for(
    *messages: dict[str, Any], model: str | None = "claude-sonnet-4-5", **options: Any
) -> dict[str, Any]:
    prompt = Prompt(messages or (HI,), model, options)
    body = request_body(prompt, max_tokens=8192, thinking=None)
    orjson.dumps(body)
    return body


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def called(key: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def refusal(**options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        body_for(**options)
    assert caught.value.code == "unsupported_option"
    return caught.value.message


def test_system_messages_stand_apart_wherever_they_came() -> None:
    body = body_for(
        {"role": "system", "content": "Be brief."},
        HI,
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "again"},
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    assert body["messages"] == [{"role": "user", "content": [text("Hi"), text("again")]}]
    assert "system" not in body_for({"role": "system", "content": " "}, HI)


def test_roles_take_turns_and_empty_text_is_left_out() -> None:
    body = body_for(
        HI,
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " \n"}, text("there")]},
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": None, "refusal": "no"},
    )
    assert body["messages"] == [
        {"role": "user", "content": [text("Hi"), text("there")]},
        {"role": "assistant", "content": [text("Hello"), text("no")]},
    ]


def test_a_conversation_with_tools() -> None:
    body = body_for(
        HI,
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [called("call_1", "f", '{"a":"x"}'), called("fc|2.x", "g", "")],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        {"role": "tool", "tool_call_id": "fc|2.x", "content": ""},
        {"role": "user", "content": "And?"},
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                text("Let me look."),
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": "x"}},
                {"type": "tool_use", "id": "fc_2_x", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("42")]},
                {"type": "tool_result", "tool_use_id": "fc_2_x"},
                text("And?"),
            ],
        },
    ]


def test_pictures() -> None:
    parts = [
        text("What is this?"),
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    content = body_for({"role": "user", "content": parts})["messages"][0]["content"]
    assert [block.get("source") for block in content] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        {"type": "url", "url": "https://example.org/a.png"},
    ]


def test_tools_and_which_to_call() -> None:
    body = body_for(tools=[TOOL, BARE])
    assert body["tools"] == [
        {"name": "f", "description": "does f", "input_schema": SCHEMA, "strict": True},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert "tool_choice" not in body
    assert "tool_choice" not in body_for(tool_choice="auto")


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", True, {"type": "auto"}),
        ("required", True, {"type": "any"}),
        ("none", True, {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, True, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
    ],
)
def test_tool_choices(choice: Any, parallel: bool, expected: Any) -> None:
    body = body_for(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel)
    assert body["tool_choice"] == expected


def test_options_have_other_names() -> None:
    body = body_for(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_completion_tokens=100,
        stop="END",
        user="u1",
        n=1,
        logprobs=False,
    )
    assert {name: held for name, held in body.items() if name not in ("messages", "model")} == {
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 100,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
    }
    assert body_for(stop=["a", "b"])["stop_sequences"] == ["a", "b"]
    assert "stop_sequences" not in body_for(stop=[])


def test_json_by_a_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = body_for(response_format=wanted, reasoning_effort="high", model="claude-opus-4-6")
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": SCHEMA},
        "effort": "high",
    }
    assert "output_config" not in body_for(response_format={"type": "text"})
    assert "json_schema" in refusal(response_format={"type": "json_object"})


@pytest.mark.parametrize(
    ("option", "held"),
    [
        ("n", 2),
        ("logit_bias", {"1": 2}),
        ("logprobs", True),
        ("frequency_penalty", 0.5),
        ("presence_penalty", 0.5),
        ("temperature", 1.5),
        ("reasoning_effort", "extreme"),
        ("reasoning_effort", 5),
        ("functions", [{"name": "f"}]),
        ("modalities", ["audio"]),
    ],
)
def test_what_it_does_not_have_is_refused_by_name(option: str, held: Any) -> None:
    said = refusal(**{option: held})
    assert f'"{option}"' in said
    assert '"anthropic"' in said


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-6", "claude-opus-4-7-20260301", "anthropic/claude-sonnet-4.6",
     "claude-fable-5", "us.anthropic.claude-opus-5-v1:0"],
)  # fmt: skip
def test_the_newer_models_think_adaptively(model: str) -> None:
    body = body_for(model=model, reasoning_effort="minimal")
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "low"}
    assert body["max_tokens"] == 8192


@pytest.mark.parametrize(
    "model",
    ["claude-sonnet-4-5-20250929", "claude-opus-4-20250514", "claude-opus-4-1",
     "claude-haiku-4-5", "claude-3-7-sonnet-latest", "kimi-k2", "deepseek-reasoner", None],
)  # fmt: skip
def test_others_think_by_a_budget(model: str | None) -> None:
    body = body_for(model=model, reasoning_effort="medium")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert body["max_tokens"] == 8192 + 8192
    assert "output_config" not in body


def test_a_budget_stays_within_what_the_client_allows() -> None:
    body = body_for(reasoning_effort="high", max_tokens=4000)
    assert body["thinking"]["budget_tokens"] == 2000
    assert body["max_tokens"] == 4000
    assert "raise max_tokens" in refusal(reasoning_effort="low", max_tokens=2000)


def test_no_thinking_and_thinking_by_the_client_itself() -> None:
    assert body_for(reasoning_effort="none")["thinking"] == {"type": "disabled"}
    own = {"type": "enabled", "budget_tokens": 2000}
    assert body_for(thinking=own)["thinking"] == own
    refusal(thinking=own, reasoning_effort="low")


def test_between_a_call_and_the_answer_no_budget_is_sent() -> None:
    messages = (
        HI,
        {"role": "assistant", "tool_calls": [called("c", "f")]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    )
    body = body_for(*messages, reasoning_effort="high")
    assert "thinking" not in body
    assert body["max_tokens"] == 8192
    assert "thinking" not in body_for(*messages, HI, reasoning_effort="high")
    answered = (*messages, {"role": "assistant", "content": "1"}, HI)
    assert "thinking" in body_for(*answered, reasoning_effort="high")
    assert "thinking" in body_for(*messages, reasoning_effort="high", model="claude-opus-4-6")
