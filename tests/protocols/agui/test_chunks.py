"""A conversation in AG-UI's events: everybody's messages, and every run with its end."""

from __future__ import annotations

from typing import Any

import pytest

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Started,
    ToolCall,
    Usage,
    encode,
)
from hub.domain.records import Record
from hub.protocols.agui.chunks import RUNS, AGUIChunks

G = "gen_1"


def chunks(*events: Event) -> list[dict[str, Any]]:
    told = AGUIChunks("chat")
    records = [Record(offset, encode(event), event) for offset, event in enumerate(events)]
    return [chunk for record in records for chunk in told.add(record)]


def kinds(*events: Event) -> list[str]:
    return [chunk["type"] for chunk in chunks(*events)]


def test_a_message_and_its_answer() -> None:
    hi = Message("user", "Hi", extra={"id": "m1"})
    assert chunks(hi, Started(G), Delta(G, "Hello"), Finished(G, "stop", Usage(1, 2))) == [
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "user"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "Hi"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "RUN_STARTED", "threadId": "chat", "runId": G},
        {"type": "TEXT_MESSAGE_START", "messageId": G, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": G, "delta": "Hello"},
        {"type": "TEXT_MESSAGE_END", "messageId": G},
        {
            "type": "RUN_FINISHED",
            "threadId": "chat",
            "runId": G,
            "finishReason": "stop",
            "usage": {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3},
        },
    ]


def test_messages_without_an_id_are_named_after_their_place() -> None:
    names = [c["messageId"] for c in chunks(Message("user", "a"), Message("user", ""))]
    assert names == ["message_0"] * 3 + ["message_1"] * 2


def test_reasoning_and_tools() -> None:
    piece = ToolCall(0, "c0", "t", '{"a":')
    events = (
        Started(G), Delta(G, reasoning="Hm"), Delta(G, reasoning="."), Delta(G, "Look"),
        Delta(G, tool=piece), Delta(G, tool=ToolCall(0, None, None, "1}")), Finished(G, "tool"),
    )  # fmt: skip
    assert kinds(*events)[2:] == [
        "REASONING_START", "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END", "REASONING_END",
        "TEXT_MESSAGE_CONTENT", "TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_ARGS",
        "TOOL_CALL_END", "CUSTOM", "TEXT_MESSAGE_END", "RUN_FINISHED",
    ]  # fmt: skip
    ready = next(c for c in chunks(*events) if c["type"] == "CUSTOM")
    assert ready["value"] == {"toolCallId": "c0", "toolName": "t", "input": {"a": 1}}


def test_what_a_tool_gave() -> None:
    told = chunks(Message("tool", "clear", extra={"tool_call_id": "c0"}))
    assert told == [
        {
            "type": "TOOL_CALL_RESULT",
            "toolCallId": "c0",
            "messageId": "message_0",
            "content": "clear",
            "role": "tool",
        }
    ]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (Failed(G, "cut", "it was cut"), "cut"),
        (Cancelled(G), "aborted"),
        (Interrupted(G), "interrupted"),
    ],
)
def test_an_answer_without_an_end_is_an_error(end: Event, code: str) -> None:
    call = Delta(G, tool=ToolCall(0, "c0", "t", "{"))
    told = chunks(Started(G), Delta(G, "Half"), call, end)
    assert told[-1]["type"] == "RUN_ERROR"
    assert told[-1]["code"] == code
    assert told[-1]["message"]
    assert told[-1]["runId"] == G
    assert not {"RUN_FINISHED", "TOOL_CALL_END", "CUSTOM"} & {c["type"] for c in told}


def test_two_runs_keep_apart_and_strangers_say_nothing() -> None:
    """Producers of their own may write such events into a stream, in any order."""
    told = chunks(
        Started("a"), Started("b"), Delta("a", "1"), Delta("b", "2"), Delta("c", "?"),
        Finished("c"), Finished("a"), Delta("a", "late"), Other({"type": "x"}), Finished("b"),
    )  # fmt: skip
    said = [(c["messageId"], c["delta"]) for c in told if c["type"] == "TEXT_MESSAGE_CONTENT"]
    assert said == [("a", "1"), ("b", "2")]
    assert [c["runId"] for c in told if c["type"] == "RUN_FINISHED"] == ["a", "b"]


def test_the_oldest_of_too_many_unended_runs_ends_where_another_begins() -> None:
    begun = [Started(f"r{number}") for number in range(RUNS + 1)]
    told = chunks(*begun, Delta("r0", "late"), Delta("r1", "on time"))
    assert [chunk["type"] for chunk in told[2 * RUNS :]] == [
        *("TEXT_MESSAGE_END", "RUN_ERROR", "RUN_STARTED", "TEXT_MESSAGE_START"),
        "TEXT_MESSAGE_CONTENT",
    ]
    assert told[2 * RUNS + 1]["runId"] == "r0"
    assert told[-1]["messageId"] == "r1"
