"""JSON values one after another, after 0x1E and in arrays: whole, unchanged, and valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.framing import Chunk, ConcatenatedJSON, Framing, JSONArray, JSONSeq
from hub.framing.values import MAX_DEPTH, MAX_DIGITS, has_long_number
from tests.support.cut_bodies import Outcome, cuttings, outcome, same_however_cut

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(['"', "\\", '\\"', "}", "]", "{[", "\u2028\u2029\u0085", "\ud83d", "\x1e"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SPACES = st.sampled_from([b"", b"", b" ", b"\n", b"\r\n", b"\t \n"])


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> bytes:
    """A JSON value as somebody might write it: compact or not, escaped or not."""
    value = draw(values)
    indent = draw(st.sampled_from([None, None, 1]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair can only be written escaped
        return json.dumps(value).encode()


@st.composite
def bodies(draw: st.DrawFn, write: Callable[[list[bytes]], bytes]) -> tuple[bytes, list[bytes]]:
    values = draw(st.lists(written(), max_size=5))
    return write(values), values


@st.composite
def concatenated(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Nothing between values that end by themselves, space where it is needed."""
    values = draw(st.lists(written(), max_size=5))
    body = b""
    for value in values:
        between = draw(SPACES | st.just(b"\x1e"))
        if body and not (body[-1:] in b'}]"' or value[:1] in b'{["'):
            between = between or b" "
        body += between + value
    return body + draw(SPACES), values


@st.composite
def array(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    values = draw(st.lists(written(), max_size=5))
    comma = draw(st.sampled_from([b",", b"\n,\r\n", b" , "]))
    inside = comma.join(values)
    space = draw(SPACES)
    return space + b"[" + space + inside + space + b"]" + draw(SPACES), values


def sequence(values: list[bytes]) -> bytes:
    return b"".join(b"\x1e" + value + b"\n" for value in values)


KINDS: dict[str, tuple[Callable[[], Framing], st.SearchStrategy[tuple[bytes, list[bytes]]]]] = {
    "ConcatenatedJSON": (ConcatenatedJSON, concatenated()),
    "JSONArray": (JSONArray, array()),
    "JSONSeq": (JSONSeq, bodies(sequence)),
}
every_kind = pytest.mark.parametrize(("make", "kind"), KINDS.values(), ids=KINDS)


@every_kind
@given(data=st.data())
def test_values_come_out_as_they_were_written(
    make: Callable[[], Framing],
    kind: st.SearchStrategy[tuple[bytes, list[bytes]]],
    data: st.DataObject,
) -> None:
    """To the byte: no number, escape, half surrogate or space is written anew."""
    body, values = data.draw(kind)
    _, reads = data.draw(cuttings(st.just(body)))
    assert same_however_cut(make, body, reads) == Outcome([Chunk(v) for v in values], None)


@every_kind
@given(data=st.data())
def test_a_body_cut_off_gives_the_values_before_and_then_a_fault(
    make: Callable[[], Framing],
    kind: st.SearchStrategy[tuple[bytes, list[bytes]]],
    data: st.DataObject,
) -> None:
    """Wherever it stops. Only between two values does it look whole, if it is no array."""
    body, values = data.draw(kind)
    short = body[: data.draw(st.integers(0, len(body)))]
    found = outcome(make(), [short])
    count = len(found.data)
    if found.code is None and make is not JSONArray:
        # A number, cut or not, is all that can look whole.
        assert found.data[:-1] == values[: max(count - 1, 0)]
        assert all(v.startswith(f) for f, v in zip(found.data, values, strict=False))
    elif found.code is None:
        assert (found.data, short.rstrip()) == (values, body.rstrip())
    else:
        assert found.data == values[:count]
        assert found.code in {"upstream_truncated", "upstream_malformed"}


def test_a_value_is_given_with_its_last_byte() -> None:
    framing = ConcatenatedJSON()
    assert [chunk.data for chunk in framing.feed(b'{"a":1}"b')] == [b'{"a":1}']
    assert [chunk.data for chunk in framing.feed(b'"12')] == [b'"b"']
    assert [chunk.data for chunk in framing.feed(b"3 ")] == [b"123"]
    framing = JSONSeq()
    assert [chunk.data for chunk in framing.feed(b'\x1e{"a":1}')] == [b'{"a":1}']
    framing = JSONArray()
    assert [chunk.data for chunk in framing.feed(b'[{"a":1}')] == [b'{"a":1}']


@pytest.mark.parametrize(
    ("body", "values", "code"),
    [
        (b'{"a":1}{"a":2}', [b'{"a":1}', b'{"a":2}'], None),
        (b'\x1e\x1e{"a":1}\x1e', [b'{"a":1}'], None),
        (b'"a""b"12"c"true[]null', [b'"a"', b'"b"', b"12", b'"c"', b"true", b"[]", b"null"], None),
        (b'{"n":18446744073709551616}', [b'{"n":18446744073709551616}'], None),
        (b'{"n":0.10000000000000000000001}', [b'{"n":0.10000000000000000000001}'], None),
        (b'"\\ud83d"', [b'"\\ud83d"'], None),
        (b'{"a":1}{"a"', [b'{"a":1}'], "upstream_truncated"),
        (b'{"a":"}', [], "upstream_truncated"),
        (b'{"a":"\\', [], "upstream_truncated"),
        (b'"abc', [], "upstream_truncated"),
        (b"tru", [], "upstream_malformed"),
        (b"{]", [], "upstream_malformed"),
        (b"}", [], "upstream_malformed"),
        (b'{"a":1},{"a":2}', [b'{"a":1}'], "upstream_malformed"),
        (b'{"a" 1}', [], "upstream_malformed"),
        (b'{"a":1} oops {}', [b'{"a":1}'], "upstream_malformed"),
        (b'{"a":"\n"}', [], "upstream_malformed"),
        (b'{"a":"\xff"}', [], "upstream_malformed"),
        (b'{"a":01}', [], "upstream_malformed"),
        (b"1e99999999999999999999 ", [], "upstream_malformed"),
        (b"<html>", [], "upstream_malformed"),
    ],
)
def test_concatenated(body: bytes, values: list[bytes], code: str | None) -> None:
    found = same_however_cut(ConcatenatedJSON, body, [body])
    assert (found.data, found.code) == (values, code)


@pytest.mark.parametrize(
    ("body", "values", "code"),
    [
        (b"[]", [], None),
        (b" [ ] \n", [], None),
        (b'[{"a":1}\n,\r\n{"a":2}]', [b'{"a":1}', b'{"a":2}'], None),
        (b'[1,"a",[2,[]],null]', [b"1", b'"a"', b"[2,[]]", b"null"], None),
        (b"", [], "upstream_truncated"),
        (b"[", [], "upstream_truncated"),
        (b"[1", [], "upstream_truncated"),
        (b"[1,", [b"1"], "upstream_truncated"),
        (b'[{"a":1}', [b'{"a":1}'], "upstream_truncated"),
        (b'[{"a":1},{"a"', [b'{"a":1}'], "upstream_truncated"),
        (b"[1,]", [b"1"], "upstream_malformed"),
        (b"[,1]", [], "upstream_malformed"),
        (b"[1 2]", [b"1"], "upstream_malformed"),
        (b"[1,,2]", [b"1"], "upstream_malformed"),
        (b'["a":1]', [b'"a"'], "upstream_malformed"),
        (b"[1}", [b"1"], "upstream_malformed"),
        (b"[1]]", [b"1"], "upstream_malformed"),
        (b"[1][2]", [b"1"], "upstream_malformed"),
        (b"[1] x", [b"1"], "upstream_malformed"),
        (b'{"a":1}', [], "upstream_malformed"),
        (b"<html>", [], "upstream_malformed"),
    ],
)
def test_array(body: bytes, values: list[bytes], code: str | None) -> None:
    found = same_however_cut(JSONArray, body, [body])
    assert (found.data, found.code) == (values, code)


@pytest.mark.parametrize(
    ("body", "values", "code"),
    [
        (b'\x1e{"a":1}\n\x1e{"a":2}\n', [b'{"a":1}', b'{"a":2}'], None),
        (b"\x1e12\n\x1etrue\n\x1enull\n", [b"12", b"true", b"null"], None),
        (b'\x1e{\n "a": 1\n}\n', [b'{\n "a": 1\n}'], None),
        (b'\x1e\x1e\x1e{"a":1}\n\x1e', [b'{"a":1}'], None),
        (b'\x1e{"a":1}', [b'{"a":1}'], None),
        (b'{"a":1}\n', [b'{"a":1}'], None),
        (b"\x1e12", [], "upstream_truncated"),
        (b"\x1e12\x1e34\n", [], "upstream_truncated"),
        (b"\x1e1\n\x1etrue", [b"1"], "upstream_truncated"),
        (b'\x1e1\n\x1e{"a"', [b"1"], "upstream_truncated"),
        (b'\x1e1\n\x1e{"a"\x1e2\n', [b"1"], "upstream_truncated"),
        (b'\x1e"a\x1e2\n', [], "upstream_truncated"),
        (b"\x1e{]\n", [], "upstream_malformed"),
        (b"\x1ex\n", [], "upstream_malformed"),
    ],
)
def test_sequence(body: bytes, values: list[bytes], code: str | None) -> None:
    """A text that may have lost something is a fault (RFC 7464, section 2.4)."""
    found = same_however_cut(JSONSeq, body, [body])
    assert (found.data, found.code) == (values, code)


@pytest.mark.parametrize("make", [ConcatenatedJSON, JSONArray, JSONSeq])
def test_deep_nesting_is_refused_before_it_is_all_there(make: type[ConcatenatedJSON]) -> None:
    around = (b"[", b"]") if make is JSONArray else (b"", b"")
    for opening, middle, closing in ((b"[", b"", b"]"), (b'{"a":', b"1", b"}")):
        value = opening * MAX_DEPTH + middle + closing * MAX_DEPTH
        assert outcome(make(), [value.join(around)]).data == [value]
        bomb = around[0] + opening * (MAX_DEPTH + 1)
        assert same_however_cut(make, bomb, [bomb]).code == "upstream_malformed"
    assert outcome(make(), [b"[" * 1_000_000]).code == "upstream_malformed"


def test_too_large_wins_over_too_deep_beyond_the_limit() -> None:
    """Else the fault would depend on how much of the value one read brought."""
    body = b" " * 300 + b"[" * (MAX_DEPTH + 10)
    found = same_however_cut(lambda: ConcatenatedJSON(MAX_DEPTH), body, [body])
    assert found.code == "chunk_too_large"


def test_a_number_that_python_refuses_to_convert_is_malformed() -> None:
    for number in (b"9" * 5000, b"9" * (MAX_DIGITS + 1), b"0." + b"9" * 5000):
        for body in (number, b"[" + number + b"]", b'{"a":"b","c":' + number + b"}"):
            assert outcome(ConcatenatedJSON(), [body]).code == "upstream_malformed"
    assert outcome(ConcatenatedJSON(), [b"9" * MAX_DIGITS]).code is None


def test_digits_in_a_string_are_no_number() -> None:
    body = b'{"pi":"%s","say":"\\"%s"}' % (b"3" * 5000, b"1" * 5000)
    assert outcome(ConcatenatedJSON(), [body]).data == [body]


def test_a_long_number_is_one_run_of_digits() -> None:
    digits = (b"1234567890" * MAX_DIGITS)[: MAX_DIGITS + 1]
    assert has_long_number(b"[1," + digits + b"]")
    assert not has_long_number(b"[" + digits[1:] + b"," + digits[1:] + b"]")


def test_a_long_string_in_small_reads() -> None:
    """With quotes, brackets and backslashes where the reads are cut."""
    body = b'{"a":"' + b'\\"}\\\\{[' * 20_000 + b'"}'
    reads = [body[at : at + 7] for at in range(0, len(body), 7)]
    assert outcome(ConcatenatedJSON(), reads) == outcome(ConcatenatedJSON(), [body])
    assert outcome(ConcatenatedJSON(), [body]).data == [body]


@pytest.mark.parametrize("kind", [ConcatenatedJSON, JSONSeq, JSONArray])
def test_half_an_emoji_alone_in_a_value_is_cut_out_as_it_came(kind: type[ConcatenatedJSON]) -> None:
    """Servers that cut UTF-16 send the second half of a pair in an object of its own."""
    value = b'{"text":"\\ude00","not":"\\\\ud83d"}'
    text = {
        ConcatenatedJSON: value,
        JSONSeq: b"\x1e" + value + b"\n",
        JSONArray: b"[" + value + b"]",
    }
    framing = kind()
    assert [chunk.data for chunk in [*framing.feed(text[kind]), *framing.flush()]] == [value]
