"""Fault B1: the whole message after its pieces was the answer twice.

Pieces, then everything once more: in ``message`` beside an empty, null or absent delta, in a
chunk without ``object``, after the finish. Of the whole only what the pieces lacked counts.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.replies import chat, finish, named, read, sse

PIECES = [chat({"content": "one "}), chat({"content": "two"})]
MESSAGE = {"role": "assistant", "content": "one two"}


def message(content: Any = "one two", **more: Any) -> dict[str, Any]:
    """A chunk that holds a whole message."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, **more}]}


@pytest.mark.parametrize(
    "last",
    [
        [chat({}, "stop", message=MESSAGE)],
        [{"choices": [{"index": 0, "delta": None, "message": MESSAGE, "finish_reason": "stop"}]}],
        [message(finish_reason="stop")],
        [{**message(finish_reason="stop"), "object": "chat.completion.chunk"}],
        [{**message(finish_reason="stop"), "object": "chat.completion"}],
        [chat({"content": ""}, "stop", message=MESSAGE)],
        [chat({"role": "assistant"}, "stop", message=MESSAGE)],
        [finish(), message()],
        [finish(), message(finish_reason="stop")],
        [finish(), {**message(), "object": "chat.completion"}],
        [message(), finish()],
        [message([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]), finish()],
        [{"choices": [{"index": 0, "text": "one two", "finish_reason": "stop"}]}],
        [chat({"content": "one two"}, "stop")],
        [finish(), chat({"content": "one two"})],
        [message(finish_reason="stop"), message(finish_reason="stop")],
        [message("another text", finish_reason="stop")],
        [message("one", finish_reason="stop")],
        [message(None, finish_reason="stop")],
    ],
    ids=str,
)
def test_the_whole_after_the_pieces_adds_nothing(last: list[Any]) -> None:
    seen = read("openai-chat", sse(*PIECES, *last, "[DONE]"))
    assert (seen.text, seen.end) == ("one two", "stop")


@pytest.mark.parametrize(
    "last",
    [
        [message("one two three", finish_reason="stop")],
        [finish(), message("one two three")],
        [chat({}, "stop", message={"content": "one two three"})],
        [{"choices": [{"index": 0, "text": "one two three", "finish_reason": "stop"}]}],
    ],
    ids=str,
)
def test_a_whole_that_goes_on_is_completed(last: list[Any]) -> None:
    seen = read("openai-chat", sse(*PIECES, *last, "[DONE]"))
    assert (seen.text, seen.end) == ("one two three", "stop")


def test_a_whole_alone_is_the_answer() -> None:
    for last in (message(finish_reason="stop"), chat({}, "stop", message=MESSAGE)):
        assert read("openai-chat", sse(last, "[DONE]")).text == "one two"


def test_reasoning_and_refusal_are_not_doubled() -> None:
    whole = {"reasoning_content": "so", "content": "yes", "refusal": "no"}
    pieces = [chat({name: half}) for name, text in whole.items() for half in (text[:1], text[1:])]
    seen = read("openai-chat", sse(*pieces, chat({}, "stop", message=whole), "[DONE]"))
    assert (seen.reasoning, seen.text) == ("so", "yesno")


def test_calls_of_the_whole_are_those_of_the_pieces() -> None:
    def held(arguments: str, **more: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "f", "arguments": arguments}, **more}

    pieces = [
        chat({"tool_calls": [held('{"a":', index=0, id="1")]}),
        chat({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
    ]
    for whole in (
        [held('{"a":1}', id="1")],
        [held('{ "a": 1 }', id="1")],
        [held('{"a":1}')],
    ):
        last = {"choices": [{"message": {"tool_calls": whole}, "finish_reason": "tool_calls"}]}
        assert read("openai-chat", sse(*pieces, last)).tools == [("f", '{"a":1}')]
    more = [held('{"a":1}', id="1"), held('{"b":2}', id="2")]
    last = {"choices": [{"message": {"tool_calls": more}, "finish_reason": "tool_calls"}]}
    assert read("openai-chat", sse(*pieces, last)).tools == [("f", '{"a":1}'), ("f", '{"b":2}')]
    # A call that was cut off is completed.
    last = {"choices": [{"message": {"tool_calls": more[:1]}, "finish_reason": "tool_calls"}]}
    assert read("openai-chat", sse(pieces[0], last)).tools == [("f", '{"a":1}')]


def test_messages_in_place_of_deltas_are_pieces_or_all_so_far() -> None:
    pieces = [message("one "), message("two"), message("", finish_reason="stop")]
    assert read("openai-chat", sse(*pieces)).text == "one two"
    growing = [message("one "), message("one two"), message("one two", finish_reason="stop")]
    assert read("openai-chat", sse(*growing)).text == "one two"


def test_completions_before_there_was_a_chat() -> None:
    pieces = [{"object": "text_completion", "choices": [{"index": 0, "text": text}]} for text in
              ("one ", "two")]  # fmt: skip
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    assert read("openai-chat", sse(*pieces, end, "[DONE]")).text == "one two"


def test_a_repeated_word_is_no_repetition() -> None:
    seen = read(
        "openai-chat", sse(*([chat({"content": "ha"})] * 3), chat({"content": "ha"}, "stop"))
    )
    assert seen.text == "hahahaha"


BEGINNING: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "two"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
]


@pytest.mark.parametrize("text", ["one two", "one two three", "another"])
def test_anthropic(text: str) -> None:
    whole: dict[str, Any] = {
        "type": "message",
        "id": "m",
        "content": [{"type": "text", "text": text}],
    }
    expected = text if text.startswith("one") else "one two"
    for last in (whole, {"type": "message_stop", "message": whole}):
        seen = read("anthropic", named(*BEGINNING, last))
        assert (seen.text, seen.end) == (expected, "stop")


@pytest.mark.parametrize("text", ["one two", "one two three", "another"])
def test_cohere(text: str) -> None:
    expected = text if text.startswith("one") else "one two"
    pieces = [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
        for piece in ("one ", "two")
    ]
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    ends = [
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "message": message}},
        {"finish_reason": "COMPLETE", "message": message},
    ]
    for end in ends:
        seen = read("cohere", sse(*pieces, end))
        assert (seen.text, seen.end) == (expected, "stop")
    old = [{"event_type": "text-generation", "text": piece} for piece in ("one ", "two")]
    response = {"text": text, "finish_reason": "COMPLETE"}
    end = {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": response}
    assert read("cohere", sse(*old, end)).text == expected


def test_ollama() -> None:
    lines = [
        b'{"message":{"content":"one "},"done":false}\n',
        b'{"message":{"content":"two"},"done":false}\n',
        b'{"message":{"content":"one two"},"done":true,"done_reason":"stop"}\n',
    ]
    assert read("ollama", b"".join(lines)).text == "one two"


def test_responses() -> None:
    def item(text: str) -> dict[str, Any]:
        return {"type": "message", "id": "i", "content": [{"type": "output_text", "text": text}]}

    pieces = [
        {"type": "response.output_text.delta", "item_id": "i", "delta": piece}
        for piece in ("one ", "two")
    ]
    for text in ("one two", "one two three"):
        end = {"type": "response.completed", "response": {"output": [item(text)]}}
        done = {"type": "response.output_item.done", "item": item(text)}
        assert read("openai-responses", named(*pieces, done, end)).text == text
