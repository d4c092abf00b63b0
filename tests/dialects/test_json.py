"""JSON objects of any kind: where the text is and what ends a reply is told by options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hub.dialects.json import Json
from hub.domain.errors import UpstreamError
from hub.domain.prompt import Prompt
from hub.framing import NDJSON, SSE, ConcatenatedJSON, JSONArray, JSONSeq
from tests.support.transcripts import read, replay, text_of

ASKED = Prompt(({"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}))
STOP = {"type": "finished", "reason": "stop"}


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, {"messages": list(ASKED.messages)}),
        ({"input": "messages"}, {"messages": list(ASKED.messages)}),
        ({"input": "query"}, {"query": "Hi"}),
        ({"input": "prompt"}, {"prompt": "Hi"}),
    ],
)
def test_asks(options: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    call = Json(options).call(ASKED)
    assert (call.path, call.body) == ("", body)


def test_sends_model_and_options_if_there_are_any() -> None:
    prompt = Prompt(ASKED.messages, "m", {"top_p": 1})
    assert Json({"input": "q"}).call(prompt).body == {"q": "Hi", "model": "m", "top_p": 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("text", b'{"text":"a"}'),
        ("a.b.0.c", b'{"a":{"b":[{"c":"a"}]}}'),
        ("a.0", b'{"a":{"0":"a"}}'),
        ("0", b'["a"]'),
    ],
)
def test_finds_the_text_at_a_path(path: str, body: bytes) -> None:
    assert read(Json({"text": path}), body) == [{"type": "delta", "text": "a"}]


@pytest.mark.parametrize("body", [b"{}", b'{"a":null}', b'{"a":[]}', b'{"a":"b"}', b"[]", b"5"])
def test_a_path_that_leads_nowhere_gives_nothing(body: bytes) -> None:
    assert read(Json({"text": "a.0.c"}), body) == []


@pytest.mark.parametrize("value", [b"5", b"true", b"{}", b'["a"]'])
def test_what_is_not_text_is_one_clear_error(value: bytes) -> None:
    with pytest.raises(UpstreamError, match='not text at "text"') as caught:
        read(Json(), b'{"text":' + value + b"}")
    assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize("clean", [True, False])
def test_without_a_mark_of_the_end_the_transport_decides(clean: bool) -> None:
    events = replay(Json(), [b'{"text":"a"}'], clean=clean)
    assert events == [{"type": "delta", "text": "a"}, *([STOP] if clean else [])]


@pytest.mark.parametrize(
    ("done", "last", "not_last"),
    [
        ("done", b"true", b"false"),
        ("done", b'"yes"', b"null"),
        ("done=stop", b'"stop"', b'"go"'),
        ("done=1", b"1", b"true"),
        ("done=true", b"true", b"1"),
        ("done=a=b", b'"a=b"', b'"a"'),
        ("done=null", b"null", b'"x"'),
        ("done=", b'""', b"null"),
    ],
)
def test_with_a_mark_of_the_end_nothing_else_decides(
    done: str, last: bytes, not_last: bytes
) -> None:
    beginning = b'{"text":"a","done":' + not_last + b"}"
    end = b'{"text":"b","done":' + last + b"}"
    for clean in (True, False):
        events = replay(Json({"done": done}), [beginning, end, b'{"text":"late"}'], clean=clean)
        assert text_of(events) == "ab"
        assert events[-1] == STOP
        events = replay(Json({"done": done}), [beginning], clean=clean)
        assert events == [{"type": "delta", "text": "a"}]


def test_an_error_at_its_path_fails_the_reply() -> None:
    options = {"error": "message", "text": "text"}
    events = replay(
        Json(options), [b'{"text":"a","message":""}{"text":"b","message":"no more"}{"text":"c"}']
    )
    assert events == [
        {"type": "delta", "text": "a"},
        {
            "type": "failed",
            "code": "upstream_error",
            "message": "the upstream reports an error: no more",
        },
    ]


def test_half_a_character_waits_for_the_other() -> None:
    lines = b'{"text":"\\ud83d"}\n{"text":"\\ude00\\ud83d"}\n'
    events = replay(Json({"framing": "ndjson"}), [lines])
    assert events == [
        {"type": "delta", "text": "😀"},
        {"type": "delta", "text": "\ufffd"},
        STOP,
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("array", JSONArray),
        ("concatenated", ConcatenatedJSON),
        ("json-seq", JSONSeq),
        ("ndjson", NDJSON),
        ("sse", SSE),
    ],
)
def test_the_framing_can_be_told(name: str, kind: type) -> None:
    assert type(Json({"framing": name}).framing(100)) is kind


def test_a_json_bomb_is_one_clear_error() -> None:
    for framing in ("ndjson", "concatenated"):
        events = replay(Json({"framing": framing}), [b'{"text":' * 100_000 + b"\n"])
        assert events == [{"raised": "upstream_malformed"}]


def test_thinking_is_split_off_if_asked_for() -> None:
    pieces = [b'{"text":"<thi"}', b'{"text":"nk>Hm.</think>"}', b'{"text":"Yes"}', b'{"text":"."}']
    assert text_of(replay(Json(), pieces)) == "<think>Hm.</think>Yes."
    assert replay(Json({"think": True}), pieces) == [
        {"type": "delta", "reasoning": "Hm."},
        {"type": "delta", "text": "Yes"},
        {"type": "delta", "text": "."},
        STOP,
    ]
    assert text_of(replay(Json({"think": True}), [b'{"text":"<thi"}'], clean=False)) == "<thi"
