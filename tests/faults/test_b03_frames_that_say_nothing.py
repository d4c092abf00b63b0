"""Fault B3: a frame that says nothing killed the answer.

Gateways put their heartbeats into ``data:``, and break a frame after the finish. Unknown is
skipped; what is broken in the middle of an answer is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.replies import chat, finish, read

FRAMES: dict[str, list[Any]] = {
    "openai-chat": [chat({"content": "one "}), chat({"content": "two"}), finish(), "[DONE]"],
    "anthropic": [
        {"type": "message_start", "message": {"id": "m", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "one two"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ],
    "gemini": [
        {"candidates": [{"content": {"parts": [{"text": "one "}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "two"}]}, "finishReason": "STOP"}]},
    ],
    "openai-responses": [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "one two"},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
    "cohere": [
        {"type": "message-start", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "one two"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ],
    "ollama": [
        {"message": {"content": "one "}, "done": False},
        {"message": {"content": "two"}, "done": True, "done_reason": "stop"},
    ],
    "json": [{"text": "one "}, {"text": "two"}, "[DONE]"],
}
PADDING = [
    "data: null\n\n",
    "data: {}\n\n",
    "data: []\n\n",
    "data:\n\n",
    "data: \n\n",
    'data: ""\n\n',
    "data: : keepalive\n\n",
    "data: :\n\n",
    "data: : OPENROUTER PROCESSING\n\n",
    "data: ping\n\n",
    "data: [KEEPALIVE]\n\n",
    "data: keep-alive\n\n",
    'data: "heartbeat"\n\n',
    ": comment\n\n",
    ":\n\n",
    "event: ping\n\n",
    "event: ping\ndata: null\n\n",
    "event: ping\ndata: {}\n\n",
    "event: keepalive\ndata:\n\n",
    "id: 5\n\n",
    "retry: 100\n\n",
]
Place = Callable[[list[str], str], list[str]]
PLACES: dict[str, Place] = {
    "first": lambda frames, padding: [padding, *frames],
    "between": lambda frames, padding: [x for frame in frames for x in (padding, frame)],
    "last": lambda frames, padding: [*frames, padding],
}


def framed(dialect: str) -> list[str]:
    held = [frame if isinstance(frame, str) else json.dumps(frame) for frame in FRAMES[dialect]]
    return [f"data: {frame}\n\n" for frame in held]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("dialect", FRAMES)
def test_is_skipped(dialect: str, padding: str, place: str) -> None:
    body = "".join(PLACES[place](framed(dialect), padding)).encode()
    seen = read(dialect, body)
    assert (seen.text, seen.end) == ("one two", "stop")


@pytest.mark.parametrize("line", ["null", "{}", "[]", " ", ": keepalive", "ping"])
def test_is_skipped_among_lines(line: str) -> None:
    frames = [json.dumps(frame) for frame in FRAMES["ollama"]]
    for lines in ([frames[0], line, frames[1]], [*frames, line]):
        seen = read("ollama", "\n".join(lines).encode())
        assert (seen.text, seen.end) == ("one two", "stop")


BROKEN = ['{"usage":', '{"choices":[{"delta":', "nonsense", '{"a" 1}', "\x00", "5", '"text"']


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("dialect", FRAMES)
def test_a_broken_frame_behind_the_finish_is_skipped(dialect: str, broken: str) -> None:
    frames = framed(dialect)
    behind = f"data: {broken}\n\n"
    for at in {"openai-chat": [3, 4], "anthropic": [5, 6]}.get(dialect, [len(frames)]):
        seen = read(dialect, "".join([*frames[:at], behind, *frames[at:]]).encode())
        assert (seen.text, seen.end) == ("one two", "stop")


@pytest.mark.parametrize("dialect", FRAMES)
def test_a_broken_frame_in_the_middle_is_a_failure(dialect: str) -> None:
    frames = framed(dialect)
    for broken in ('{"choices":[{"delta":{"content":"o', '{"a" 1}'):
        seen = read(dialect, "".join([frames[0], f"data: {broken}\n\n", *frames[1:]]).encode())
        assert seen.end in ("upstream_malformed", "upstream_truncated")


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic", "gemini"])
def test_an_error_behind_the_finish_is_still_one(dialect: str) -> None:
    frames = [frame for frame in framed(dialect) if "[DONE]" not in frame and '_stop"' not in frame]
    error = 'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert read(dialect, "".join([*frames, error]).encode()).end == "upstream_overloaded"
