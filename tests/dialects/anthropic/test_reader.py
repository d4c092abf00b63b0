"""Anthropic: the call, and what no transcript shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects import KeyHeader, find
from hub.dialects.anthropic.reader import Anthropic
from hub.domain.errors import ConfigError, UpstreamError
from hub.domain.events import Delta, Finished, ToolCall, Usage
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.strange_chunks import reads_without_breaking, strange_chunks, strange_values
from tests.support.strategies import examples
from tests.support.transcripts import read, replay

HI = Prompt(({"role": "user", "content": "Hi"},), "claude-sonnet-4-5")


def data(**held: Any) -> bytes:
    return orjson.dumps(held)


def start(**block: Any) -> bytes:
    return data(type="content_block_start", index=0, content_block=block)


def piece(**delta: Any) -> bytes:
    return data(type="content_block_delta", index=0, delta=delta)


def test_is_found_by_its_name() -> None:
    assert find("anthropic") is Anthropic


def test_asks_for_a_stream() -> None:
    call = Anthropic().call(HI)
    assert call.path == "/messages"
    assert call.key == KeyHeader("x-api-key")
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.body == {
        "model": "claude-sonnet-4-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 8192,
        "stream": True,
    }


def test_options() -> None:
    asked = Prompt(HI.messages, "glm-4.6", {"reasoning_effort": "low"})
    body = Anthropic({"max_tokens": 100, "thinking": "adaptive"}).call(asked).body
    assert body["max_tokens"] == 100
    assert body["thinking"] == {"type": "adaptive"}
    for options in ({"max_tokens": 0}, {"thinking": "much"}, {"max": 1}):
        with pytest.raises(ConfigError):
            Anthropic(options)


def test_the_end_is_near_once_there_is_a_reason_and_there_with_message_stop() -> None:
    dialect = Anthropic()
    read(dialect, data(type="message_start", message={"usage": {"input_tokens": 3}}))
    assert dialect.usage == Usage(prompt_tokens=3)
    assert not dialect.ending
    read(dialect, data(type="message_delta", delta={"stop_reason": "max_tokens"}))
    assert dialect.ending
    (finished,) = dialect.events(Chunk(data(type="message_stop")))
    assert finished == Finished(reason="length", usage=Usage(prompt_tokens=3))


@pytest.mark.parametrize("clean", [True, False])
def test_a_reason_and_a_clean_end_are_an_end_without_message_stop(clean: bool) -> None:
    body = b"data: %b\n\ndata: %b\n\n" % (
        piece(type="text_delta", text="Hi"),
        data(type="message_delta", delta={"stop_reason": "end_turn"}),
    )
    end = [{"type": "finished", "reason": "stop"}] if clean else []
    assert replay(Anthropic(), [body], clean=clean) == [{"type": "delta", "text": "Hi"}, *end]


def test_what_was_held_back_comes_before_a_failure() -> None:
    dialect = Anthropic()
    half = piece(type="text_delta", text="HALF").replace(b"HALF", b"\\ud83d")
    assert read(dialect, half) == []
    left, _ = dialect.events(Chunk(data(type="error", error={"message": "no"})))
    assert left == Delta(text="\ufffd")
    assert read(dialect, start(type="text", text="late")) == []
    assert not list(dialect.close(clean=True))


def test_a_cut_off_call_keeps_what_came_and_is_not_completed() -> None:
    dialect = Anthropic()
    begun = list(dialect.events(Chunk(start(type="tool_use", id="t", name="f", input={}))))
    assert begun == [Delta(tool=ToolCall(0, "t", "f"))]
    assert not list(dialect.close(clean=True))


def test_an_input_that_comes_as_an_object_in_a_piece() -> None:
    dialect = Anthropic()
    read(dialect, start(type="tool_use", id="t", name="f", input={}))
    (event,) = read(dialect, piece(type="input_json_delta", partial_json={"a": 1}))
    assert event["tool"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b"nonsense",
        b'{"type":',
        start(type="tool_use", id="t"),
        start(type="tool_use", id="t", name=5),
        start(type="text", text=5),
        data(type="content_block_start", content_block="text"),
        data(type="message_start", message={"content": {"type": "text"}}),
        data(type="message", content=["text"]),
        piece(type="text_delta", text={"a": 1}),
        b"{" * 100_000,
    ],
    ids=lambda body: repr(body)[:60],
)
def test_what_cannot_be_understood_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match=r"the upstream (sent|stopped)"):
        list(Anthropic().events(Chunk(body)))


def test_more_calls_than_there_can_be_are_refused() -> None:
    dialect = Anthropic()
    starts = (start(type="tool_use", id=f"t{n}", name="f", input={}) for n in range(1001))
    chunks = [*map(Chunk, starts)]
    with pytest.raises(UpstreamError, match="more than 1000 tool calls"):
        list(map(list, map(dialect.events, chunks)))


WORDS = (
    "cache_read_input_tokens content content_block content_block_delta content_block_start"
    " content_block_stop delta end_turn error id index input input_json_delta input_tokens"
    " message message_delta message_start message_stop name output_tokens"
    " output_tokens_details partial_json stop_reason text text_delta thinking thinking_delta"
    " thinking_tokens tool_use type usage"
)
PLACES = (
    lambda value: {"type": "message_start", "message": value},
    lambda value: {"type": "message_start", "message": {"content": [value], "usage": value}},
    lambda value: {"type": "content_block_start", "index": 0, "content_block": value},
    lambda value: {"type": "content_block_start", "index": value, "content_block": {
        "type": "tool_use", "name": "f", "id": value, "input": value}},
    lambda value: {"type": "content_block_delta", "index": 0, "delta": value},
    lambda value: {"type": "content_block_delta", "index": 0, "delta": {
        "type": "input_json_delta", "partial_json": value}},
    lambda value: {"type": "content_block_delta", "index": value, "delta": {
        "type": "text_delta", "text": value}},
    lambda value: {"type": "content_block_stop", "index": value},
    lambda value: {"type": "message_delta", "delta": {"stop_reason": value}, "usage": value},
    lambda value: {"type": "error", "error": value},
    lambda value: {"type": "message", "content": value, "stop_reason": value},
    lambda value: {"type": value},
)  # fmt: skip


@examples(300)
@given(chunks=strange_chunks(strange_values(WORDS), PLACES))
def test_strange_chunks(chunks: list[Chunk]) -> None:
    reads_without_breaking(Anthropic(), chunks)


@examples(200)
@given(
    pieces=st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"event: error\n", b"data: ", b"\n\n", b'{"type":"message_stop"}'])
    )
)
def test_strange_bytes(pieces: list[bytes]) -> None:
    replay(Anthropic(), pieces)


@examples(200)
@given(
    blocks=st.lists(
        st.tuples(st.sampled_from(["text", "thinking", "tool_use"]), st.text(max_size=12)),
        max_size=5,
    ),
    order=st.randoms(use_true_random=False),
)
def test_blocks_may_come_in_any_mixture(blocks: list[tuple[str, str]], order: Any) -> None:
    """Whatever the order in which blocks go on, each one's pieces stay in theirs."""
    kinds = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}
    field = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
    told = [
        [data(type="content_block_start", index=index,
              content_block={"type": kind, "id": f"t{index}", "name": "f", "input": {}}),
         *(data(type="content_block_delta", index=index,
                delta={"type": kinds[kind], field[kind]: letter}) for letter in letters),
         data(type="content_block_stop", index=index)]
        for index, (kind, letters) in enumerate(blocks)
    ]  # fmt: skip
    dialect = Anthropic()
    arguments: dict[str, str] = {}
    names: dict[int, str] = {}
    while queues := [queue for queue in told if queue]:
        for event in dialect.events(Chunk(order.choice(queues).pop(0))):
            assert isinstance(event, Delta)
            if event.tool is not None:
                key = names.setdefault(event.tool.index, event.tool.id or "")
                arguments[key] = arguments.get(key, "") + event.tool.arguments
    assert arguments == {
        f"t{index}": letters or "{}"
        for index, (kind, letters) in enumerate(blocks)
        if kind == "tool_use"
    }
