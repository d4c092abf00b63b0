"""Events in the AI SDK's chunks: each part begins, grows and ends, and the end is what it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Started,
    ToolCall,
    Usage,
    encode,
)
from hub.domain.records import Record
from hub.protocols.aisdk.chunks import SOURCES, UIChunks

G = "gen_1"


def chunks(*events: Event, message: str | None = None, last: str = G) -> list[dict[str, Any]]:
    told = UIChunks(last, message)
    records = [Record(offset, encode(event), event) for offset, event in enumerate(events)]
    return [chunk for record in records for chunk in told.add(record)]


def kinds(*events: Event) -> list[str]:
    return [chunk["type"] for chunk in chunks(*events)]


def text(said: str) -> Delta:
    return Delta(G, said)


def thought(said: str) -> Delta:
    return Delta(G, reasoning=said)


def tool(arguments: str, name: str | None = None, number: int = 0, id: str | None = None) -> Delta:  # noqa: A002
    return Delta(G, tool=ToolCall(number, id, name, arguments))


def test_text() -> None:
    assert chunks(Started(G), text("Hel"), text("lo"), Finished(G, "stop", Usage(7, 2))) == [
        {"type": "start", "messageId": G},
        {"type": "start-step"},
        {"type": "text-start", "id": "0"},
        {"type": "text-delta", "id": "0", "delta": "Hel"},
        {"type": "text-delta", "id": "0", "delta": "lo"},
        {"type": "text-end", "id": "0"},
        {"type": "finish-step"},
        {
            "type": "finish",
            "finishReason": "stop",
            "messageMetadata": {"usage": {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}},
        },
    ]


def test_a_part_ends_where_another_begins() -> None:
    events = (Started(G), thought("a"), text("b"), thought("c"), tool("{}", "t"), Finished(G))
    assert kinds(*events)[2:] == [
        "reasoning-start", "reasoning-delta", "reasoning-end",
        "text-start", "text-delta", "text-end",
        "reasoning-start", "reasoning-delta", "reasoning-end",
        "tool-input-start", "tool-input-delta", "tool-input-available",
        "finish-step", "finish",
    ]  # fmt: skip
    ids = [c["id"] for c in chunks(*events) if c["type"].endswith("-start") and "id" in c]
    assert len(set(ids)) == len(ids)


def test_calls_at_once_keep_apart() -> None:
    told = chunks(
        Started(G),
        tool('{"a":', "one", 0, "c0"),
        tool("{}", "two", 1, "c1"),
        tool("1}", None, 0),
        Finished(G, "tool"),
    )
    ready = [c for c in told if c["type"] == "tool-input-available"]
    assert [(c["toolCallId"], c["toolName"], c["input"]) for c in ready] == [
        ("c0", "one", {"a": 1}),
        ("c1", "two", {}),
    ]
    assert told[-1]["finishReason"] == "tool-calls"


def test_what_comes_before_the_name_of_a_tool_is_held_back() -> None:
    told = chunks(Started(G), tool('{"a"'), tool(":1}", "late"), Finished(G, "tool"))
    assert [c["type"] for c in told[2:5]] == [
        "tool-input-start",
        "tool-input-delta",
        "tool-input-available",
    ]
    assert told[3]["inputTextDelta"] == '{"a":1}'
    assert told[2]["toolCallId"], "made up where the upstream gave none"


@pytest.mark.parametrize("arguments", ["", "{}"])
def test_a_call_without_arguments(arguments: str) -> None:
    told = chunks(Started(G), tool(arguments, "now"), Finished(G, "tool"))
    (ready,) = [c for c in told if c["type"] == "tool-input-available"]
    assert ready["input"] == {}


def test_arguments_that_are_no_json() -> None:
    told = chunks(Started(G), tool('{"a":', "broken"), Finished(G, "tool"))
    (wrong,) = [c for c in told if c["type"] == "tool-input-error"]
    assert wrong["input"] == '{"a":'


@pytest.mark.parametrize(
    ("end", "chunk"),
    [
        (Failed(G, "upstream_truncated", "cut"), {"type": "error", "errorText": "cut"}),
        (Failed(G, "upstream_truncated"), {"type": "error", "errorText": "upstream_truncated"}),
        (Cancelled(G), {"type": "abort", "reason": "stopped"}),
    ],
)
def test_other_endings(end: Event, chunk: dict[str, Any]) -> None:
    told = chunks(Started(G), text("Half"), tool("{", "t"), end)
    assert told[-1] == chunk
    assert not [c for c in told if c["type"] in ("finish", "tool-input-available")]


def test_an_interrupted_answer_is_an_error() -> None:
    assert kinds(Started(G), text("Half"), Interrupted(G))[-1] == "error"


def test_nothing_of_others_and_nothing_after_the_end() -> None:
    other = (Started("gen_2"), Delta("gen_2", "no"), Finished("gen_2"))
    told = chunks(
        Message("user", "Hi"), *other, Started(G), Delta("gen_2", "no"), Finished(G), *other
    )
    assert [c["type"] for c in told] == ["start", "start-step", "finish-step", "finish"]


def test_the_message_that_a_reply_goes_on_with() -> None:
    told = chunks(Started(G, extra={"message": "m1"}), Finished(G))
    assert told[0] == {"type": "start", "messageId": "m1"}


def test_a_message_whole() -> None:
    """Earlier steps, what the tools gave, and the last; of this message alone."""
    named = {"message": "gen_0"}
    result = {"tool_call_id": "c0", "json": True, **named}
    error = {"tool_call_id": "c1", "failed": True, **named}
    events = (
        Started("other"), Delta("other", "no"), Finished("other"),
        Started("gen_0"), Delta("gen_0", "Look"),
        Delta("gen_0", tool=ToolCall(0, "c0", "a", "{}")),
        Delta("gen_0", tool=ToolCall(1, "c1", "b", "{}")), Finished("gen_0", "tool"),
        Message("tool", "[1]", extra=result), Message("tool", "bad", extra=error),
        Message("tool", "x", extra={"tool_call_id": "foreign"}), Message("user", "hey"),
        Started(G, extra=named), text("Done"), Finished(G),
    )  # fmt: skip
    told = chunks(*events, message="gen_0")
    assert [c["type"] for c in told] == [
        "start", "start-step", "text-start", "text-delta", "text-end",
        "tool-input-start", "tool-input-delta", "tool-input-start", "tool-input-delta",
        "tool-input-available", "tool-input-available", "finish-step",
        "tool-output-available", "tool-output-error",
        "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish",
    ]  # fmt: skip
    assert told[12]["output"] == [1]
    assert told[13]["errorText"] == "bad"
    assert chunks(*events)[0]["messageId"] == "gen_0"
    assert len(chunks(*events)) == 7, "and a reader who has the rest is told the last step alone"


PIECES = st.one_of(
    st.text(min_size=1).map(text),
    st.text(min_size=1).map(thought),
    st.builds(tool, st.text(), st.sampled_from([None, "a", "b"]), st.integers(0, 2)),
)


@given(st.lists(PIECES), st.sampled_from([Finished(G), Cancelled(G), Failed(G, "x", "y")]))
def test_every_sequence_is_one_that_the_sdk_takes(deltas: list[Delta], end: Event) -> None:
    """It throws at a delta of a part that is not open, and at an end of one."""
    told = chunks(Started(G), *deltas, end)
    open_parts: set[tuple[str, str]] = set()
    begun: set[str] = set()
    said = {"text": "", "reasoning": ""}
    for chunk in told:
        kind, _, what = chunk["type"].rpartition("-")
        if kind in said:
            part = (kind, chunk["id"])
            if what == "start":
                assert not open_parts
                open_parts.add(part)
            elif what == "end":
                open_parts.remove(part)
            else:
                assert part in open_parts
                said[kind] += chunk["delta"]
        elif chunk["type"] == "tool-input-start":
            assert chunk["toolCallId"] not in begun
            begun.add(chunk["toolCallId"])
        elif "toolCallId" in chunk:
            assert chunk["toolCallId"] in begun
    assert said["text"] == "".join(delta.text for delta in deltas)
    assert said["reasoning"] == "".join(delta.reasoning for delta in deltas)
    assert not open_parts or isinstance(end, Failed)


def test_a_message_has_at_most_so_many_sources() -> None:
    cited = [
        {"type": "url_citation", "url_citation": {"url": f"https://e.org/{number}"}}
        for number in range(SOURCES + 1)
    ]
    told = chunks(Started(G), Delta(G, extra={"annotations": cited}))
    assert sum(chunk["type"] == "source-url" for chunk in told) == SOURCES
