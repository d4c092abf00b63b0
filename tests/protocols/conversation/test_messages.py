"""Messages of chat libraries in the shape that models are asked in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import HubError, RequestError
from hub.domain.provider_fields import EXTRA, seal
from hub.protocols.conversation.messages import (
    chat_messages,
    message_id,
    new_messages,
    reply_fields,
)
from tests.support.operations import is_linear

PNG = "data:image/png;base64,iVBORw=="


def message(*parts: dict[str, Any], role: str = "user", **more: Any) -> dict[str, Any]:
    return {"id": "m1", "role": role, "parts": list(parts), **more}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def call(id: str = "c1", state: str = "output-available", **more: Any) -> dict[str, Any]:  # noqa: A002
    part = {"type": "tool-weather", "toolCallId": id, "state": state, "input": {"city": "Paris"}}
    return {**part, **more}


CALLED = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
}


@pytest.mark.parametrize(
    "given_",
    [
        message(text("Hel"), text("lo")),
        {"role": "user", "content": "Hello"},
        message({"type": "text", "content": "Hello"}),
        message(text("Hello"), {"type": "data-mood", "data": 1}, {"type": "source-url", "url": ""}),
    ],
)
def test_text_in_every_shape(given_: dict[str, Any]) -> None:
    assert chat_messages([given_]) == ({"role": "user", "content": "Hello"},)


def test_roles() -> None:
    messages = [
        message(text("Be brief."), role="system"),
        message(text("Hi")),
        message({"type": "reasoning", "text": "Hm."}, text("Hello"), role="assistant"),
    ]
    assert chat_messages(messages) == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    )


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "mediaType": "image/png", "url": PNG},
        {"type": "image", "source": {"type": "url", "value": PNG}},
        {"type": "image", "source": {"type": "data", "value": "iVBORw==", "mimeType": "image/png"}},
    ],
)
def test_pictures(part: dict[str, Any]) -> None:
    (found,) = chat_messages([message(text("What is this?"), part)])
    assert found["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "mediaType": "application/zip", "url": "data:,"},
        {"type": "audio", "source": {"type": "url", "value": "https://x", "mimeType": "audio/wav"}},
        {"type": "video", "source": {"type": "url", "value": "https://x"}},
        {"type": "file", "mediaType": "audio/ogg", "url": "data:,"},
        {"type": "file", "mediaType": "image/png"},
        {"type": "file"},
    ],
)
def test_other_files_are_refused_by_name(part: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        chat_messages([message(part)])
    assert refused.value.code == "unsupported_part"
    assert str(part.get("mediaType", part["type"])) in refused.value.message or "URL" in str(
        refused
    )


def test_a_call_and_its_result() -> None:
    messages = [message(text("Look: "), call(output={"sky": "clear"}), role="assistant")]
    assert chat_messages(messages) == (
        {"role": "assistant", "content": "Look: ", "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky":"clear"}'},
    )


def test_steps_are_messages_of_their_own() -> None:
    step = {"type": "step-start"}
    parts = (step, call(output="1"), call("c2", output="2"), step, text("Done."))
    roles = [m["role"] for m in chat_messages([message(*parts, role="assistant")])]
    assert roles == ["assistant", "tool", "tool", "assistant"]


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (call(state="output-error", errorText="no network"), "no network"),
        (call(state="output-denied"), "the call was not allowed"),
        (call(type="dynamic-tool", toolName="weather", output="clear"), "clear"),
    ],
)
def test_other_results(part: dict[str, Any], content: str) -> None:
    first, second = chat_messages([message(part, role="assistant")])
    assert first["tool_calls"] == [CALLED]
    assert second["content"] == content


@pytest.mark.parametrize("state", ["input-streaming", "input-available", "approval-requested"])
def test_a_call_without_a_result_is_left_out(state: str) -> None:
    """No provider takes a call that nobody has answered."""
    messages = [message(call(state=state), role="assistant"), message(text("Never mind."))]
    assert chat_messages(messages) == ({"role": "user", "content": "Never mind."},)
    mixed = message(call(state=state), call("c2", output="x"), role="assistant")
    assert [m["role"] for m in chat_messages([mixed])] == ["assistant", "tool"]


def test_tanstacks_calls() -> None:
    made = {"type": "tool-call", "id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'}
    result = {"type": "tool-result", "toolCallId": "c1", "content": "clear", "state": "complete"}
    done = {"type": "text", "content": "Sunny."}
    expected = (
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c1", "content": "clear"},
        {"role": "assistant", "content": "Sunny."},
    )
    assert chat_messages([message(made, result, done, role="assistant")]) == expected
    assert (
        chat_messages([message({**made, "output": "clear"}, done, role="assistant")])[:2]
        == expected[:2]
    )


def test_what_is_new_is_the_last_message() -> None:
    earlier = message(text("Hi"))
    (new,) = new_messages((earlier, message(text("And?"), id="m2")))
    assert (new.role, new.text, new.extra) == ("user", "And?", {"id": "m2"})
    results = new_messages((earlier, message(call(output={"a": 1}), role="assistant", id="a1")))
    assert [(m.role, m.text, dict(m.extra)) for m in results] == [
        (
            "tool",
            '{"a":1}',
            {"tool_call_id": "c1", "name": "weather", "json": True, "message": "a1"},
        )
    ]
    assert new_messages((earlier, message(text("Hello"), role="assistant"))) == ()


def test_names() -> None:
    reply = message(text("Hello"), role="assistant", id="a1")
    assert message_id(reply) == "a1"
    assert message_id({"role": "user"}) is None


@pytest.mark.parametrize("again", [False, True])
def test_what_a_reply_says_beside_its_own(again: bool) -> None:
    reply = message(text("Hello"), role="assistant", id="a1")
    question = message(text("Hi"), id="q1")
    assert reply_fields((question, reply), again=again) == {"message": "a1"}
    assert reply_fields((question,), again=again) == ({"after": "q1"} if again else {})
    assert reply_fields(({"role": "user", "content": "Hi"},), again=again) == {}


@pytest.mark.parametrize(
    "broken",
    [
        {"role": "wizard", "parts": []},
        {"parts": []},
        {"role": "user", "parts": {"type": "text"}},
        {"role": "user", "parts": ["text"]},
        {"role": "user", "content": 7},
    ],
)
def test_what_is_no_message(broken: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        chat_messages([broken])


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = (
    "type", "text", "content", "toolCallId", "toolName", "state", "input", "output", "errorText",
    "id", "name", "arguments", "source", "mediaType", "url", "error", "rawInput",
)  # fmt: skip
KINDS = (
    "text", "file", "image", "tool-x", "tool-call", "tool-result", "dynamic-tool", "step-start",
)  # fmt: skip
PART = st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(KINDS))
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | JSON},
    optional={"parts": st.lists(PART) | JSON, "content": JSON, "id": JSON, "toolCalls": JSON},
)


@given(st.lists(MESSAGE, min_size=1))
def test_whatever_is_sent_is_understood_or_refused(messages: list[dict[str, Any]]) -> None:
    try:
        found = chat_messages(messages)
        new_messages(tuple(messages))
    except HubError:
        return
    assert all(isinstance(m["role"], str) for m in found)


def _answered(count: int) -> list[dict[str, Any]]:
    return [call(str(n), output=1) for n in range(count)]


def _open_and_texts(count: int) -> list[dict[str, Any]]:
    return [part for n in range(count) for part in (call(str(n), "input-available"), text("And: "))]


def _steps_and_results(count: int) -> list[dict[str, Any]]:
    result = {"type": "tool-result", "toolCallId": "nobody's", "content": "x"}
    return [{"type": "step-start"}] * count + [result] * count


def _steps_and_thoughts(count: int) -> list[dict[str, Any]]:
    thought = {"type": "thinking", "signature": seal({EXTRA: [{"id": "nobody's"}]})}
    return [{"type": "step-start"}] * count + [thought] * count


@pytest.mark.parametrize(
    "parts", [_answered, _open_and_texts, _steps_and_results, _steps_and_thoughts]
)
def test_no_part_costs_a_walk_over_the_others(parts: Callable[[int], list[Any]]) -> None:
    def work(count: int) -> None:
        said = message(*parts(count), role="assistant")
        chat_messages([said])
        new_messages((said,))

    assert is_linear(work)


def test_the_output_of_a_providers_call_is_sent_once() -> None:
    """Once for each of a million empty objects beside it would be more memory than there is."""
    tools = {"streamhub": {"executed_tools": [{"name": "search"}, {}, {}]}}
    part = call(output="found", providerExecuted=True, callProviderMetadata=tools)
    (said,) = chat_messages([message(part, text("Look."), role="assistant")])
    (tool,) = said["executed_tools"]
    assert tool == {"name": "search", "arguments": '{"city":"Paris"}', "output": "found"}


def test_a_result_is_for_the_last_call_of_its_id() -> None:
    """Also if it comes in a later step."""
    made = {"type": "tool-call", "id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'}
    step, done = {"type": "step-start"}, {"type": "tool-result", "toolCallId": "c1"}
    parts = (made, step, made, text("Hm."), step, {**done, "content": "clear"}, text("Sunny."))
    assert chat_messages([message(*parts, role="assistant")]) == (
        {"role": "assistant", "content": "Hm.", "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c1", "content": "clear"},
        {"role": "assistant", "content": "Sunny."},
    )
