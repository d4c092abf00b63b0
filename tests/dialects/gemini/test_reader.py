"""Gemini: the call, and what no transcript shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects import KeyHeader, find
from hub.dialects.gemini.reader import Gemini
from hub.domain.errors import ConfigError, UpstreamError
from hub.domain.events import Finished, Usage
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.strange_chunks import reads_without_breaking, strange_chunks, strange_values
from tests.support.strategies import examples
from tests.support.transcripts import read, replay

HI = Prompt(({"role": "user", "content": "Hi"},), "gemini-2.5-flash")


def response(*parts: Any, **candidate: Any) -> bytes:
    return orjson.dumps({"candidates": [{"content": {"parts": parts}, **candidate}]})


def test_is_found_by_its_name() -> None:
    assert find("gemini") is Gemini


def test_asks_for_a_stream() -> None:
    call = Gemini().call(HI)
    assert call.path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert call.key == KeyHeader("x-goog-api-key")
    assert call.body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_thoughts_are_asked_for_by_option() -> None:
    body = Gemini({"thoughts": True}).call(HI).body
    assert body["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}}
    with pytest.raises(ConfigError):
        Gemini({"thoughts": "yes"})


def test_the_reply_ends_with_the_body_once_there_is_a_reason() -> None:
    dialect = Gemini()
    read(dialect, response({"text": "Hi"}))
    assert not dialect.ending
    read(dialect, response(finishReason="STOP"))
    assert dialect.ending
    read(dialect, b'{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}')
    assert dialect.ending
    assert dialect.usage == Usage(3, 4)
    assert list(dialect.close(clean=False)) == [Finished(usage=Usage(3, 4))]
    assert not list(dialect.close(clean=True))


def test_a_server_that_always_says_stop_is_not_taken_to_be_near_its_end() -> None:
    dialect = Gemini()
    read(dialect, response({"text": "a"}, finishReason="STOP"))
    assert dialect.ending
    read(dialect, response({"text": "b"}, finishReason="STOP"))
    assert not dialect.ending
    assert list(dialect.close(clean=True)) == [Finished()]


def test_an_empty_stop_at_the_beginning_is_not_near_the_end() -> None:
    """CLIProxyAPI gives one for each piece of reasoning: the text may be long in coming."""
    dialect = Gemini()
    read(dialect, response(finishReason="STOP"))
    assert not dialect.ending
    read(dialect, response({"text": "a"}), response(finishReason="STOP"))
    assert list(dialect.close(clean=True)) == [Finished()]


def test_a_refusal_without_a_word_is_the_end() -> None:
    dialect = Gemini()
    read(dialect, response(finishReason="SAFETY"))
    assert dialect.ending


@pytest.mark.parametrize("clean", [True, False])
def test_without_a_reason_there_is_no_end(clean: bool) -> None:
    events = replay(Gemini(), [b"data: " + response({"text": "Hi"}) + b"\n\n"], clean=clean)
    assert events == [{"type": "delta", "text": "Hi"}]


@pytest.mark.parametrize("clean", [True, False])
def test_a_server_that_always_says_stop_must_end_its_body_itself(clean: bool) -> None:
    """Else a connection that broke between two chunks would look like the end."""
    pieces = [
        b"data: " + response({"text": text}, finishReason="STOP") + b"\n\n" for text in ("H", "i")
    ]
    ended = [event for event in replay(Gemini(), pieces, clean=clean) if event["type"] != "delta"]
    assert ended == ([{"type": "finished", "reason": "stop"}] if clean else [])


@pytest.mark.parametrize("clean", [True, False])
def test_a_whole_answer_without_a_reason_must_end_its_body_itself(clean: bool) -> None:
    pieces = [response({"text": "Hi"}).replace(b"[", b"[\n")]
    ended = [event for event in replay(Gemini(), pieces, clean=clean) if event["type"] != "delta"]
    assert ended == ([{"type": "finished", "reason": "stop"}] if clean else [])


def test_nothing_follows_an_error() -> None:
    dialect = Gemini()
    assert len(read(dialect, b'{"error":{"code":500,"message":"no"}}')) == 1
    assert read(dialect, response({"text": "late"}, finishReason="STOP")) == []
    assert not list(dialect.close(clean=True))


def test_a_finish_message_shows_no_key() -> None:
    dialect = Gemini()
    said = "Malformed: f(key=AIzaSyA1234567890abcdefghijklmnopqrs)"
    read(dialect, response(finishReason="MALFORMED_FUNCTION_CALL", finishMessage=said))
    (failed,) = dialect.close(clean=True)
    assert "AIzaSyA" not in str(failed)
    assert "Malformed" in str(failed)


def test_a_streamed_call_that_is_named_again_goes_on() -> None:
    def call(text: str, **more: Any) -> bytes:
        pieces = [{"jsonPath": "$.a", "stringValue": text}]
        return response({"functionCall": {"name": "f", "id": "1", "partialArgs": pieces, **more}})

    dialect = Gemini()
    events = read(dialect, call("x", willContinue=True), call("y"))
    assert {event["tool"]["index"] for event in events} == {0}
    assert "".join(event["tool"]["arguments"] for event in events) == '{"a":"xy"}'


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b"nonsense",
        b'{"candidates":',
        b'{"candidates":{"a":1}}',
        b'{"candidates":["text"]}',
        b'{"candidates":[{"content":"text"}]}',
        b'{"candidates":[{"content":{"parts":{"text":"a"}}}]}',
        response("text"),
        response({"text": 5}),
        response({"functionCall": "f"}),
        response({"functionCall": {"name": 5}}),
        response({"functionCall": {"name": "f", "args": "text"}}),
        response({"functionCall": {"name": "f", "partialArgs": {"a": 1}}}),
        response({"functionCall": {"name": "f", "partialArgs": [{"stringValue": "a"}]}}),
        b"{" * 100_000,
    ],
    ids=lambda body: repr(body)[:60],
)
def test_what_cannot_be_understood_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match=r"the upstream (sent|stopped)"):
        list(Gemini().events(Chunk(body)))


def test_more_calls_than_there_can_be_are_refused() -> None:
    with pytest.raises(UpstreamError, match="more than 1000 tool calls"):
        list(Gemini().events(Chunk(response(*[{"functionCall": {"name": "f"}}] * 1001))))


WORDS = (
    "$.a $.a[0] $.a.b FINISH_REASON_UNSPECIFIED MALFORMED_FUNCTION_CALL STOP args blockReason"
    " boolValue candidates candidatesTokenCount content error finishMessage finishReason"
    " functionCall id index jsonPath name nullValue numberValue partialArgs parts"
    " promptFeedback promptTokenCount stringValue text thought thoughtsTokenCount"
    " usageMetadata willContinue"
)
PLACES = (
    lambda value: {"candidates": value},
    lambda value: {"candidates": [value]},
    lambda value: {"candidates": [{"content": value, "finishReason": value}]},
    lambda value: {"candidates": [{"content": {"parts": value}, "finishMessage": value}]},
    lambda value: {"candidates": [{"content": {"parts": [value, value]}}]},
    lambda value: {"candidates": [{"content": {"parts": [{"text": value, "thought": value}]}}]},
    lambda value: {"candidates": [{"content": {"parts": [{"functionCall": value}]}}]},
    lambda value: {"candidates": [{"content": {"parts": [{"functionCall": {
        "name": "f", "willContinue": True}}]}}]},
    lambda value: {"candidates": [{"content": {"parts": [{"functionCall": {
        "partialArgs": value, "willContinue": True}}]}}]},
    lambda value: {"candidates": [{"content": {"parts": [{"functionCall": {
        "partialArgs": [{"jsonPath": value, "stringValue": "a"},
                        {"jsonPath": "$.x", "stringValue": value, "numberValue": value}],
        "willContinue": True}}]}}]},
    lambda value: {"promptFeedback": value},
    lambda value: {"promptFeedback": {"blockReason": value}},
    lambda value: {"usageMetadata": value},
    lambda value: {"error": value},
    lambda value: [value],
)  # fmt: skip


@examples(300)
@given(chunks=strange_chunks(strange_values(WORDS), PLACES))
def test_strange_chunks(chunks: list[Chunk]) -> None:
    reads_without_breaking(Gemini(), chunks)


@examples(200)
@given(
    pieces=st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"[", b"data: ", b"\n\n", b'{"candidates":[', b"]}", b",\r\n"])
    )
)
def test_strange_bytes(pieces: list[bytes]) -> None:
    replay(Gemini(), pieces)
