"""A JSON body is cut into its messages, and each keeps what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import RequestError, TooLarge
from hub.domain.events import Message, Other, recorded
from hub.framing.values import MAX_DEPTH, MAX_DIGITS
from hub.protocols.durable.json_messages import one, split
from tests.support.strategies import examples

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@examples(50)
@given(st.lists(VALUES), st.sampled_from([None, 0, 2]), st.booleans())
def test_an_array_is_taken_apart_by_one_level(
    held: list[Any], indent: int | None, escaped: bool
) -> None:
    found = split(json.dumps(held, indent=indent, ensure_ascii=escaped).encode("utf-8", "replace"))
    assert [json.loads(message) for message in found] == json.loads(
        json.dumps(held, ensure_ascii=escaped).encode("utf-8", "replace")
    )
    assert not any(b"\n" in message or b"\r" in message for message in found)


@pytest.mark.parametrize("body", [b"1", b'"x"', b"null", b'{"a":[1]}', b"1.50e+2", b'"\\ud800"'])
def test_a_lone_value_is_one_message_as_it_was_written(body: bytes) -> None:
    assert split(b" \r\n" + body + b"\t\n") == [body]


def test_what_was_written_stays() -> None:
    """Neither numbers nor escapes nor the order of keys are written anew."""
    assert split(b'[1.50, {"b" :1,"a":"\\u0041"},[ ]]') == [
        b"1.50",
        b'{"b" :1,"a":"\\u0041"}',
        b"[ ]",
    ]


def test_a_byte_order_mark_is_none_of_it() -> None:
    assert split(b"\xef\xbb\xbf[1,2]") == [b"1", b"2"]


def test_an_empty_array_holds_none() -> None:
    assert split(b"[ ]") == []


@pytest.mark.parametrize("body", [b"", b"x", b"[1", b"1,2", b"[1 2]", b"[1]2", b"{'a':1}", b"\xff"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        split(body)
    assert refused.value.code == "bad_json"


def test_more_messages_than_are_written_at_once_are_refused() -> None:
    assert len(split(json.dumps([0] * 10_000).encode())) == 10_000
    with pytest.raises(TooLarge):
        split(json.dumps([0] * 10_001).encode())


def test_only_an_object_of_the_right_form_is_an_event() -> None:
    assert recorded(b'{"type":"message","role":"user","text":"a"}') == Message("user", "a")
    other = {"type": "message", "role": "nobody"}
    assert recorded(b'{"type":"message","role":"nobody"}') == Other(other)
    assert recorded(b"1") is None


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_long_values_are_as_deep_as_short_ones(opening: bytes) -> None:
    """However many brackets there are: only how deep they stand in each other counts."""
    closing = b"]" if opening == b"[" else b"}"

    def nested(depth: int) -> bytes:
        return opening * depth + b"0" + closing * depth

    wide = b"[" + b",".join([nested(MAX_DEPTH - 1)] * 5) + b"]"
    assert one(wide.decode(), "it") == wide
    with pytest.raises(RequestError):
        one((b"[" + nested(MAX_DEPTH) + b"]").decode(), "it")


@pytest.mark.parametrize("digits", [MAX_DIGITS, MAX_DIGITS + 1])
def test_a_long_value_has_no_longer_numbers_than_a_short_one(digits: int) -> None:
    text = '{"a":"' + "9" * 5000 + '","b":' + "9" * digits + "}"
    if digits > MAX_DIGITS:
        with pytest.raises(RequestError):
            one(text, "it")
    else:
        assert one(text, "it") == text.encode()
