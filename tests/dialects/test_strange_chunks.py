"""Whatever an upstream sends, reading it ends in events or in one `UpstreamError`."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.reply.error_reports import find_error
from hub.domain.errors import UpstreamError
from hub.domain.events import Event
from hub.framing import Chunk
from hub.upstreams.http_errors import explain
from tests.support.strategies import examples
from tests.support.transcripts import READERS, ended, replay, shown

# The names that dialects look for, so that strange values stand where they look.
NAMES = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_content",
        "thinking",
        "refusal",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "id",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "prompt_tokens_details",
        "x_groq",
        "error",
        "detail",
        "object",
        "code",
        "type",
        "text",
        "response",
        "done",
        "done_reason",
        "eval_count",
        "state",
    ]
)
STRINGS = st.text(st.sampled_from('a<think>/{}" \n字\ud83d\ude00'), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | STRINGS
    | st.sampled_from(["stop", "error", 10**400, "[DONE]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
# Right down to one place, where anything may stand.
NEARLY: st.SearchStrategy[Any] = st.one_of(
    VALUES.map(lambda value: {"choices": value}),
    VALUES.map(lambda value: {"choices": [value]}),
    VALUES.map(lambda value: {"choices": [{"delta": value}]}),
    VALUES.map(lambda value: {"choices": [{"delta": {"content": value}}]}),
    VALUES.map(lambda value: {"choices": [{"delta": {"content": [value]}}]}),
    VALUES.map(lambda value: {"choices": [{"delta": {"tool_calls": value}}]}),
    VALUES.map(lambda value: {"choices": [{"delta": {"tool_calls": [{"function": value}]}}]}),
    VALUES.map(lambda value: {"choices": [{"delta": {}, "finish_reason": value}]}),
    VALUES.map(lambda value: {"choices": [], "usage": value}),
    VALUES.map(lambda value: {"message": value}),
    VALUES.map(lambda value: {"message": {"content": value}}),
    VALUES.map(lambda value: {"message": {"tool_calls": [{"function": value}]}}),
    VALUES.map(lambda value: {"message": {}, "done": True, "done_reason": value}),
    VALUES.map(lambda value: {"error": value}),
    VALUES.map(lambda value: {"error": {"message": value, "code": value}}),
    VALUES,
)
JSON = NEARLY.map(lambda value: json.dumps(value).encode())
CHUNKS = st.lists(
    st.builds(Chunk, JSON, st.sampled_from(["", "error"]))
    | st.builds(Chunk, st.binary(max_size=20))
    | st.just(Chunk(b"[DONE]")),
    max_size=6,
)

each_reader = pytest.mark.parametrize("reader", READERS)


@each_reader
@examples(200)
@given(chunks=CHUNKS)
def test_strange_chunks(reader: str, chunks: list[Chunk]) -> None:
    dialect = READERS[reader]()
    events: list[Event] = []
    with suppress(UpstreamError):
        for chunk in chunks:
            found = list(dialect.events(chunk))
            assert not (ended(events) and found), "nothing follows the end"
            events += found
    events += dialect.close(clean=True)
    assert sum(ended([event]) for event in events) <= 1
    assert not ended(events[:-1])
    for event in events:
        shown(event)


@each_reader
@examples(100)
@given(
    pieces=st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b'{"a":', b"}"]))
)
def test_strange_bytes(reader: str, pieces: list[bytes]) -> None:
    replay(READERS[reader](), pieces)


@examples(300)
@given(value=NEARLY)
def test_strange_complaints(value: Any) -> None:
    found = find_error(value)
    assert found is None or shown(found.failure(None))["code"].startswith("upstream_")


@examples(200)
@given(
    status=st.integers(300, 599),
    reason=st.text(max_size=10),
    body=st.binary(max_size=60) | JSON,
)
def test_strange_rejections(status: int, reason: str, body: bytes) -> None:
    error = explain(status, reason, {"Retry-After": reason}, body)
    assert error.code.startswith("upstream_")
    assert len(error.message) <= 300
    assert error.message.encode()
