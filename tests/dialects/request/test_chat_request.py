"""A prompt, read once for all dialects: what stands in it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hub.dialects.request.chat_request import (
    ChatMessage,
    ChatRequest,
    ChatToolCall,
    Output,
    Picture,
    Tool,
)
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from tests.support.counted_names import Name

EVERY = (
    "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "temperature",
)  # fmt: skip


def asked(*messages: Any, **options: Any) -> ChatRequest:
    return ChatRequest("some", Prompt(messages, "m", options), EVERY)


def refused(*messages: Any, **options: Any) -> RequestError:
    try:
        made = asked(*messages, **options)
        taken = made.stop, made.max_tokens, made.tools, made.tool_choice, made.output
    except RequestError as error:
        return error
    raise AssertionError(f"it is taken: {taken}")


def test_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    made = asked(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, "b"], "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c9", "content": "?", "name": "g"},
        {"role": "assistant", "content": "No", "refusal": "!"},
        {"role": "system", "content": "Now."},
    )
    shown = [(each.role, each.text, each.call_id, each.name) for each in made.messages]
    assert shown == [
        ("system", "Be brief.", "", ""),
        ("user", "ab", "", "Ann"),
        ("assistant", "", "", ""),
        ("tool", "42", "c1", "f"),
        ("tool", "?", "c9", "g"),
        ("assistant", "No!", "", ""),
        ("system", "Now.", "", ""),
    ]
    assert made.messages[2].calls == (ChatToolCall("c1", "f", {"a": 1}),)
    assert made.messages[2].calls[0].arguments_text == '{"a":1}'
    assert made.system == "Be brief.\n\nNow."
    assert made.messages[0].raw["role"] == "developer"
    assert made.model == "m"


@pytest.mark.parametrize(
    ("call", "made"),
    [
        ({"function": {"name": "f"}}, ChatToolCall("call_0", "f", {})),
        ({"id": "", "function": {"name": "f", "arguments": ""}}, ChatToolCall("call_0", "f", {})),
        (
            {"id": "x", "function": {"name": "f", "arguments": {"a": 1}}},
            ChatToolCall("x", "f", {"a": 1}),
        ),
    ],
)
def test_calls_loosely_held(call: dict[str, Any], made: ChatToolCall) -> None:
    (message,) = asked({"role": "assistant", "tool_calls": [call]}).messages
    assert message == ChatMessage("assistant", (), (made,), raw=message.raw)


PICTURES = {
    "https://example.org/a.png": Picture("https://example.org/a.png"),
    "data:image/png;base64,iVBO\nRw0=": Picture(
        "data:image/png;base64,iVBO\nRw0=", "image/png", "iVBORw0="
    ),
    "DATA:Image/PNG;charset=x;BASE64,AAAA": Picture(
        "DATA:Image/PNG;charset=x;BASE64,AAAA", "image/png", "AAAA"
    ),
    "data:image/svg+xml,%3Csvg/%3E": Picture(
        "data:image/svg+xml,%3Csvg/%3E", "image/svg+xml", "PHN2Zy8+"
    ),
}


@pytest.mark.parametrize("url", PICTURES)
def test_pictures(url: str) -> None:
    for part in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "input_image", "image_url": url},
    ):
        (message,) = asked({"role": "user", "content": [part]}).messages
        assert message.pictures == (PICTURES[url],)
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    (message,) = asked({"role": "user", "content": [part]}).messages
    assert message.pictures[0].detail == "low"


@pytest.mark.parametrize(
    "message",
    [
        5,
        {},
        {"role": "function", "content": "x"},
        {"role": ["user"], "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [5]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "tool_calls": {"a": 1}},
        {"role": "assistant", "tool_calls": [5]},
        {"role": "assistant", "tool_calls": [{"function": {"name": ""}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]},
    ],
    ids=str,
)
def test_messages_that_have_not_the_shape(message: Any) -> None:
    assert isinstance(refused(message), RequestError)


def test_a_part_that_nobody_can_take_is_named() -> None:
    error = refused({"role": "user", "content": [{"type": "input_video", "input_video": {}}]})
    assert "a part of type input_video" in error.message
    assert error.code == "unsupported_option"


def test_stop_and_max_tokens() -> None:
    assert asked().stop == []
    assert asked(stop="END").stop == ["END"]
    assert asked(stop=["a", "b"]).stop == ["a", "b"]
    assert asked().max_tokens is None
    assert asked(max_tokens=5).max_tokens == 5
    assert asked(max_tokens=5, max_completion_tokens=6).max_tokens == 6


SCHEMA = {"type": "object"}


def test_tools() -> None:
    function = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
    tools = [{"type": "function", "function": function}, {"function": {"name": "g"}}]
    made = asked(tools=tools)
    assert made.tools == [Tool("f", "d", SCHEMA, True), Tool("g")]
    assert made.tool_choice is None
    assert asked(tools=tools, tool_choice="required").tool_choice == "required"
    one = {"type": "function", "function": {"name": "f"}}
    assert asked(tools=tools, tool_choice=one).tool_choice == Tool("f", "d", SCHEMA, True)
    assert asked(tool_choice=one).tool_choice == Tool("f")


@pytest.mark.parametrize(
    ("wanted", "output"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, Output()),
        ({"type": "json_object", "schema": SCHEMA}, Output(SCHEMA)),
        ({"type": "json_schema"}, Output()),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, Output(SCHEMA)),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
            },
            Output(SCHEMA, "n", True, "d"),
        ),
    ],
)
def test_output(wanted: Any, output: Output | None) -> None:
    assert asked(response_format=wanted).output == output


@pytest.mark.parametrize(
    "options",
    [
        {"stop": 5},
        {"stop": [5]},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": "5"},
        {"tools": 5},
        {"tools": [5]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
        {"tool_choice": "any"},
        {"tool_choice": 5},
        {"tool_choice": {"type": "function"}},
        {"tool_choice": {"type": "custom", "function": {"name": "f"}}},
        {"response_format": 5},
        {"response_format": {"type": "grammar"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
    ],
    ids=str,
)
def test_options_that_have_not_the_shape(options: dict[str, Any]) -> None:
    assert isinstance(refused(**options), RequestError)


def test_copied() -> None:
    made = asked(temperature=0.5, max_tokens=None)
    assert made.copied({"temperature": "heat", "max_tokens": "most"}) == {"heat": 0.5}
    assert made.copied(("temperature", "stop")) == {"temperature": 0.5}


def test_allowed_tools_are_not_compared_with_each_tool() -> None:
    def named(letter: str) -> list[Any]:
        return [{"type": "function", "function": {"name": Name(f"{letter}{n}")}} for n in range(99)]

    tools = [*named("a"), {"type": "function", "function": {"name": ["b1"]}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"tools": [*named("b"), tools[1]]}}
    request = asked({"role": "user", "content": "Hi"}, tools=tools, tool_choice=choice)
    Name.compared = 0
    assert request.raw_tools == tools[1:2]
    assert Name.compared < 10
