"""`hub.protocols.openai.chat_chunks`: the same answer in chunks and whole, from any events in
any frames.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Other,
    Started,
    ToolCall,
    Usage,
)
from hub.domain.generation import Generation
from hub.domain.records import Position, Record
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch
from hub.protocols.openai.chat_chunks import Chunks, completion, seconds_since_1970


def generation() -> Generation:
    return Generation("s", "up", "m-1")


def records(own: Generation, *events: Event) -> list[Record]:
    """As they stand in the stream: applied, and numbered."""
    applied = [own.apply(event) for event in (Started(), *events)]
    return [Record(offset, b"", event) for offset, event in enumerate(applied)]


def blocks(frame: bytes) -> list[Any]:
    *found, rest = frame.split(b"\n\n")
    assert rest == b""
    told = [block.removeprefix(b"data: ") for block in found]
    return [json.loads(block) if block != b"[DONE]" else "[DONE]" for block in told]


def batch(found: list[Record]) -> Batch:
    return Batch("s", found, Position(0, len(found)))


def deltas_of(own: Generation, *events: Event) -> list[dict[str, Any]]:
    frame = Chunks(own, include_usage=False).events(batch(records(own, *events)))
    return [
        block["choices"][0]["delta"]
        for block in blocks(frame)
        if block != "[DONE]" and "choices" in block
    ]


def test_every_chunk_has_the_same_head() -> None:
    own = generation()
    found = blocks(
        Chunks(own, include_usage=True).events(
            batch(
                records(own, Delta(text="Hi"), Delta(reasoning="so"), Finished(usage=Usage(1, 2)))
            )
        )
    )
    *chunks, done = found
    assert done == "[DONE]"
    names = ("id", "object", "created", "model")
    (head,) = {tuple(chunk[name] for name in names) for chunk in chunks}
    assert head[0] == f"chatcmpl-{own.id[4:]}"
    assert head[1:] == ("chat.completion.chunk", seconds_since_1970(own.started_at), "m-1")
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 3


def test_a_refusal_is_told_as_one() -> None:
    own = generation()
    refused = Delta(text="I cannot", extra={"refusal": True})
    assert deltas_of(own, refused, Finished())[1] == {"refusal": "I cannot"}
    whole = completion(own, Finished(), [refused])["choices"][0]["message"]
    assert (whole["content"], whole["refusal"]) == (None, "I cannot")


def test_a_call_without_an_id_has_the_same_one_streamed_and_whole() -> None:
    own = generation()
    said = [
        Delta(tool=ToolCall(0, None, "look", '{"a"')),
        Delta(tool=ToolCall(1, "call_x", "see")),
        Delta(tool=ToolCall(0, arguments=":1}")),
    ]
    streamed = [d["tool_calls"][0] for d in deltas_of(own, *said, Finished())[1:-1]]
    whole = completion(own, Finished(reason="tool"), said)["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    calls = whole["message"]["tool_calls"]
    assert [piece.get("id") for piece in streamed] == [calls[0]["id"], "call_x", None]
    assert [piece.get("type") for piece in streamed] == ["function", "function", None]
    assert calls[0]["function"] == {"name": "look", "arguments": '{"a":1}'}


def test_others_in_the_stream_are_not_heard() -> None:
    own = generation()
    mine = records(own, Delta(text="Hi"), Finished())
    others: list[Event] = [Delta("gen_x", "evil"), Finished("gen_x"), Other({"generation": own.id})]
    mixed = [mine[0], *(Record(9, b"", event) for event in others), *mine[1:]]
    chunks = Chunks(own, include_usage=False)
    assert chunks.events(batch(mixed)) == chunks.events(batch(mine))


def test_what_broke_off_ends_in_an_error_and_nothing_else() -> None:
    for end, code in (
        (Failed(code="upstream_reset", message="gone"), "upstream_reset"),
        (Cancelled(), "generation_stopped"),
        (Interrupted(), "generation_stopped"),
    ):
        own = generation()
        frame = Chunks(own, include_usage=True).events(batch(records(own, Delta(text="Hi"), end)))
        *_, last = blocks(frame)
        assert last["error"]["code"] == code
        assert b"[DONE]" not in frame
        assert b'"finish_reason":"' not in frame


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
pieces = st.one_of(
    texts.map(lambda text: Delta(text=text)),
    texts.map(lambda text: Delta(reasoning=text)),
    texts.map(lambda text: Delta(text=text, extra={"refusal": True})),
    st.builds(lambda n, text: Delta(tool=ToolCall(n, arguments=text)), st.integers(0, 2), texts),
)


@given(st.lists(pieces, max_size=12), st.integers(0, 14))
def test_however_it_is_framed_it_is_the_whole_answer(said: list[Delta], cut: int) -> None:
    own = generation()
    calls = [Delta(tool=ToolCall(number, None, f"f{number}")) for number in range(3)]
    found = records(own, *calls, *said, Finished())
    chunks = Chunks(own, include_usage=False)
    frame = chunks.events(batch(merge(found[:cut]))) + chunks.events(batch(merge(found[cut:])))
    joined: dict[str, str] = {"content": "", "refusal": "", "reasoning_content": ""}
    arguments = ["", "", ""]
    for block in blocks(frame)[:-1]:
        delta = block["choices"][0]["delta"]
        for name in joined:
            joined[name] += delta.get(name) or ""
        for piece in delta.get("tool_calls", []):
            arguments[piece["index"]] += piece["function"]["arguments"]
    whole = completion(own, Finished(), [*calls, *said])["choices"][0]["message"]
    assert {name: whole.get(name) or "" for name in joined} == joined
    assert [call["function"]["arguments"] for call in whole["tool_calls"]] == arguments


def test_a_time_that_is_none_is_the_beginning() -> None:
    assert seconds_since_1970("1970-01-01T00:00:01.5Z") == 1
    assert [seconds_since_1970(at) for at in (None, "", "never")] == [0, 0, 0]
