"""OpenAI chat completions: the request, and what no transcript shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.dialects.openai_chat import OpenAIChat
from hub.domain.errors import RequestError, UpstreamError
from hub.domain.events import Finished, Usage
from hub.domain.prompt import Prompt
from hub.framing import SSE, Chunk
from tests.support.transcripts import read, replay

ASKED = Prompt(({"role": "user", "content": "Hi"},), "gpt-x", {"temperature": 0.5, "seed": 7})


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    return orjson.dumps(
        {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    )


def test_asks_for_a_stream_with_usage() -> None:
    call = OpenAIChat().call(ASKED)
    assert call.path == "/chat/completions"
    assert call.body == {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    orjson.dumps(call.body)


def test_does_not_ask_for_usage_where_that_is_refused() -> None:
    prompt = Prompt((), None, {"stream": False, "stream_options": {"include_usage": True}})
    assert OpenAIChat({"include_usage": False}).call(prompt).body == {
        "messages": [],
        "stream": True,
    }


@pytest.mark.parametrize("n", [2, 0, "1"])
def test_refuses_to_ask_for_several_choices(n: object) -> None:
    with pytest.raises(RequestError, match="one choice"):
        OpenAIChat().call(Prompt((), None, {"n": n}))


def test_takes_a_prompt_that_asks_for_one_choice() -> None:
    assert OpenAIChat().call(Prompt((), None, {"n": 1})).body["n"] == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool"),
        ("function_call", "tool"),
        ("MAX_TOKENS", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filter", "filter"),
        ("content_filter: RECITATION", "filter"),
        ("safety", "filter"),
        (7, "stop"),
    ],
)
def test_reasons(said: object, reason: str) -> None:
    (finished,) = read(OpenAIChat(), chunk(finish=said), b"[DONE]")
    assert finished == {"type": "finished", "reason": reason}


@pytest.mark.parametrize("said", ["error", "abort", "TIMEOUT", "malformed_function_call"])
def test_a_reason_that_is_no_good_end_is_a_failure(said: str) -> None:
    (failed,) = read(OpenAIChat(), chunk(finish=said), b"[DONE]")
    assert (failed["type"], failed["code"]) == ("failed", "upstream_error")
    assert f'"{said}"' in failed["message"]


@pytest.mark.parametrize("said", [None, "", "null", False])
def test_no_reason_is_no_end(said: object) -> None:
    dialect = OpenAIChat()
    assert read(dialect, chunk({"content": "a"}, said)) == [{"type": "delta", "text": "a"}]
    assert not dialect.ending
    assert not list(dialect.close(clean=True))


def test_ending_begins_with_the_reason_and_the_end_waits_for_what_follows() -> None:
    dialect = OpenAIChat()
    assert read(dialect, chunk({"content": "a"}, "stop")) == [{"type": "delta", "text": "a"}]
    assert dialect.ending
    assert read(dialect, b'{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}') == []
    assert list(dialect.close(clean=False)) == [Finished(usage=Usage(2, 1))]


def test_usage_is_known_before_the_end() -> None:
    dialect = OpenAIChat()
    assert dialect.usage is None
    read(dialect, chunk({"content": "a"}, usage={"prompt_tokens": 2, "completion_tokens": 1}))
    read(dialect, chunk({"content": "b"}, usage={"completion_tokens": 2}))
    assert dialect.usage == Usage(2, 2)


@pytest.mark.parametrize(
    "usage",
    [5, [], "x", {"prompt_tokens": "2"}, {"completion_tokens": -1}, {"prompt_tokens": 2**60}],
)
def test_usage_that_is_none_is_ignored(usage: object) -> None:
    dialect = OpenAIChat()
    assert read(dialect, chunk({"content": "a"}, usage=usage)) == [{"type": "delta", "text": "a"}]
    assert dialect.usage is None


def test_an_error_keeps_the_usage_so_far() -> None:
    failed = read(
        OpenAIChat(),
        chunk(usage={"prompt_tokens": 2, "completion_tokens": 1}),
        b'{"error":{"message":"gone","code":503}}',
    )
    assert failed == [
        {
            "type": "failed",
            "code": "upstream_overloaded",
            "message": "the upstream reports an error: gone",
            "usage": {"prompt_tokens": 2, "completion_tokens": 1},
        }
    ]


@pytest.mark.parametrize("end", [b"[DONE]", b" [DONE] ", b'{"error":"x"}'])
def test_nothing_follows_the_end(end: bytes) -> None:
    dialect = OpenAIChat()
    assert len(read(dialect, end)) == 1
    assert read(dialect, chunk({"content": "a"}), b"[DONE]", b'{"error":"y"}', b"<html>") == []
    assert not list(dialect.close(clean=True))


@pytest.mark.parametrize(
    "said", [b"overloaded", b'"overloaded"', b'{"message":"overloaded"}', b'{"error":"overloaded"}']
)
def test_an_event_called_error_is_one(said: bytes) -> None:
    (failed,) = read(OpenAIChat(), Chunk(said, "error"))
    assert failed["type"] == "failed"
    assert "overloaded" in failed["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b'"text"',
        b"[{}]",
        b"nonsense",
        b'{"choices":{"a":1}}',
        b'{"choices":[5]}',
        b'{"choices":[{"delta":"a"}]}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"tool_calls":{"a":1}}}]}',
        b'{"choices":[{"delta":{"tool_calls":["a"]}}]}',
        b"{" * 100_000,
        b'{"choices":' * 100_000,
    ],
    ids=lambda body: repr(body)[:50],
)
def test_what_cannot_be_understood_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="the upstream sent") as caught:
        list(OpenAIChat().events(Chunk(body)))
    assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"[]",
        b": keepalive",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[{}]}',
        b'{"choices":[{"delta":null}]}',
        b'{"choices":[{"delta":{"role":"assistant"}}]}',
        b'{"choices":[{"delta":{"content":null,"tool_calls":null,"refusal":null}}]}',
        b'{"choices":[{"delta":{"content":[{"type":"reference","reference_ids":[1]}]}}]}',
        b'{"choices":[{"delta":{"reasoning":{"effort":"low"}}}]}',
        b'{"choices":[{"index":1,"delta":{"content":"other"},"finish_reason":"stop"}]}',
    ],
)
def test_what_says_nothing_gives_nothing(body: bytes) -> None:
    dialect = OpenAIChat()
    assert read(dialect, body) == []
    assert not list(dialect.close(clean=True))


def test_takes_parts_of_text_beside_parts_of_reasoning() -> None:
    parts = [
        {"type": "thinking", "thinking": "a"},
        {"type": "thinking", "thinking": [{"text": "b"}, {"text": None}, 5]},
        {"type": "text", "text": "c"},
        "d",
    ]
    assert read(OpenAIChat(), chunk({"content": parts})) == [
        {"type": "delta", "reasoning": "a"},
        {"type": "delta", "reasoning": "b"},
        {"type": "delta", "text": "c"},
    ]


def test_what_was_held_back_is_given_when_the_body_breaks_off() -> None:
    dialect = OpenAIChat({"think": True})
    body = b'data: {"choices":[{"delta":{"content":"<think>a</th"}}]}\n\n'
    assert replay(dialect, [body], clean=False) == [
        {"type": "delta", "reasoning": "a"},
        {"type": "delta", "reasoning": "</th"},
    ]


def test_the_framing_is_an_event_stream_unless_the_body_is_not() -> None:
    (found,) = OpenAIChat().framing(1000).feed(b"data: [DONE]\n\n")
    assert [found] == list(SSE(1000).feed(b"data: [DONE]\n\n"))


def test_an_html_page_under_a_good_status_is_an_error() -> None:
    assert replay(OpenAIChat(), [b"<!doctype html><p>Sign in</p>"]) == [{"raised": "upstream_html"}]
