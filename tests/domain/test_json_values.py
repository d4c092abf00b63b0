"""JSON from outside is read tolerantly, and refused with one clear error."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import UpstreamError
from hub.domain.json_values import as_count, as_object, as_text, parse

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' {"a": [1, "\xc3\xa9"]}\n', {"a": [1, "é"]}),
        (b'"\\ud83d"', "\ud83d"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\xed\xa0\xbd"', "\ud83d"),
        (b"-Infinity", -math.inf),
        (
            b'["\\ud83d", 123456789012345678901234567890]',
            ["\ud83d", 123456789012345678901234567890],
        ),
    ],
)
def test_reads(body: bytes, value: object) -> None:
    assert parse(body) == value


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"<html>", "upstream_malformed", "not JSON"),
        (b"{'a': 1}", "upstream_malformed", "not JSON"),
        (b'{"a": 1} {"a": 2}', "upstream_malformed", "not JSON"),
        (b'{"a": "\xff\xfe"}', "upstream_malformed", "not UTF-8"),
        (b'{"a": "\xe5\xad', "upstream_truncated", "in the middle"),
        (b'{"a": tr', "upstream_truncated", "in the middle"),
        (b'{"a": "\\ude00", "b', "upstream_truncated", "in the middle"),
        (b'{"a": "\xed\xb8\x80 \\\\ud83d', "upstream_truncated", "in the middle"),
        (b'{"a": "b\\u12', "upstream_truncated", "in the middle"),
        (b"[" * 200_000, "upstream_malformed", "nested too deeply"),
        (b'{"a":' * 200_000, "upstream_malformed", "nested too deeply"),
        (b'["\\ud83d",' * 200_000, "upstream_malformed", "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "upstream_malformed", "not JSON"),
        (b"", "upstream_malformed", "not JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_refuses(body: bytes, code: str, says: str) -> None:
    with pytest.raises(UpstreamError, match=says) as caught:
        parse(body)
    assert caught.value.code == code


@given(value=VALUES, place=st.integers(0, 1000))
def test_the_beginning_of_an_object_is_called_cut_off(value: Any, place: int) -> None:
    body = b'{"a":' + as_text(value).encode() + b"}"
    with pytest.raises(UpstreamError) as caught:
        parse(body[: 1 + place % (len(body) - 1)])
    assert caught.value.code == "upstream_truncated"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True], "b": "字"}, '{"a":[1,null,true],"b":"字"}'),
        ({"a": "x\ud83d"}, '{"a":"x\ufffd"}'),
        ({"a": 2**70}, '{"a":1180591620717411303424}'),
    ],
)
def test_writes(value: object, text: str) -> None:
    assert as_text(value) == text


def test_writes_what_orjson_finds_too_deep() -> None:
    value: Any = "x"
    for _ in range(500):
        value = [value]
    assert as_text(value) == "[" * 500 + '"x"' + "]" * 500


def test_refuses_to_write_what_is_nested_without_end() -> None:
    value: Any = "x"
    for _ in range(200_000):
        value = [value]
    with pytest.raises(UpstreamError, match="nested too deeply"):
        as_text(value)


@given(VALUES)
def test_what_is_written_reads_the_same(value: Any) -> None:
    text = as_text(value)
    assert parse(text.encode()) == value
    orjson.dumps(text)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ((3,), 3),
        ((None, 0, 5), 0),
        ((9.0,), 9),
        ((True, "3", 2.5, -1.0, 1e300, float("inf"), float("nan"), -1, 2**53), None),
        ((), None),
    ],
)
def test_counts(values: tuple[object, ...], count: int | None) -> None:
    assert as_count(*values) == count


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_what_is_no_object_is_an_empty_one(value: object) -> None:
    assert as_object({"a": value}) == {"a": value}
    assert dict(as_object(value)) == {}
