"""Bodies that are not what was expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import FramingError
from hub.framing import NDJSON, SSE, ConcatenatedJSON, JSONArray, JSONSeq, Sniffed, Text
from tests.support.cut_bodies import Make, Outcome, byte_by_byte, outcome, same_however_cut

OBJECT = b'{"error":{"message":"no"}}'
INDENTED = b'{\r\n "error": 1\n}'


@pytest.mark.parametrize(
    ("expected", "body", "found"),
    [
        (SSE, b"data: a\n\n", SSE),
        (SSE, b"\n\ndata: a\n\n", SSE),
        (SSE, b" data: ignored\ndata: a\n\n", SSE),
        (SSE, b": ping\n\ndata: a\n\n", SSE),
        (SSE, OBJECT, ConcatenatedJSON),
        (SSE, b" \r\n\t" + OBJECT + b"\n", ConcatenatedJSON),
        (SSE, b"\xef\xbb\xbf" + OBJECT, ConcatenatedJSON),
        (SSE, b"\xef\xbb\xbf \n" + OBJECT, ConcatenatedJSON),
        (SSE, INDENTED, ConcatenatedJSON),
        (SSE, b"[" + OBJECT + b"]", JSONArray),
        (SSE, b"\x1e{}\n\x1e1\n", JSONSeq),
        (SSE, b"Service unavailable", SSE),
        (SSE, b"\xff\xfe", SSE),
        (SSE, b"\xef", SSE),
        (NDJSON, OBJECT + b"\n" + OBJECT, NDJSON),
        (NDJSON, b'{ "a":1}\n', NDJSON),
        (NDJSON, b'{        "a":1}\n', NDJSON),
        (NDJSON, INDENTED, ConcatenatedJSON),
        (NDJSON, b"{", NDJSON),
        (NDJSON, b"{  ", NDJSON),
        (NDJSON, b"[" + OBJECT + b"]", JSONArray),
        (NDJSON, b"\n data: a\n\ndata: b\n\n", SSE),
        (NDJSON, b"data:{}\n\n", SSE),
        (NDJSON, b"event: e\ndata: a\n\n", SSE),
        (NDJSON, b": ping\n\ndata: a\n\n", SSE),
        (NDJSON, b"id: 1\ndata: a\n\n", SSE),
        (NDJSON, b"retry: 1\ndata: a\n\n", SSE),
        (NDJSON, b"error: {}\n\n", SSE),
        (NDJSON, b"internal server error\n", NDJSON),
        (NDJSON, b"data", NDJSON),
        (NDJSON, b"dat\n", NDJSON),
        (NDJSON, b"\x1e{}\n", JSONSeq),
        (JSONArray, b"[1,2]", JSONArray),
        (JSONArray, OBJECT, ConcatenatedJSON),
        (JSONArray, b"data: a\n\n", SSE),
        (ConcatenatedJSON, b"[1][2]", ConcatenatedJSON),
        (ConcatenatedJSON, b"data: a\n\n", SSE),
        (JSONSeq, b"\x1e{}\n", JSONSeq),
        (Text, b"<p>", Text),
        (Text, b"data: a\n\n", Text),
        (Text, b"{", Text),
        (SSE, b"", SSE),
        (JSONArray, b" \n", JSONArray),
    ],
)
def test_the_first_bytes_tell_the_framing(expected: Make, body: bytes, found: Make) -> None:
    """What was looked at is not lost: all comes out as from the framing itself."""
    sniffed = outcome(Sniffed(expected()), [body])
    assert sniffed == outcome(found(), [body])
    apart = outcome(Sniffed(expected()), byte_by_byte(body))
    assert b"".join(apart.data) == b"".join(sniffed.data)
    assert apart.code == sniffed.code


@pytest.mark.parametrize("expected", [SSE, NDJSON, JSONArray, ConcatenatedJSON, JSONSeq])
@pytest.mark.parametrize("before", [b"", b"\n \t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_page_is_a_fault_that_says_what_to_look_at(expected: Make, before: bytes) -> None:
    body = before + b"<!DOCTYPE html><title>data: {}</title>"
    found = same_however_cut(lambda: Sniffed(expected()), body, [body])
    assert found == Outcome([], "upstream_html")
    framing = Sniffed(expected())
    with pytest.raises(FramingError, match="check its url"):
        list(framing.feed(body))
    with pytest.raises(FramingError, match="check its url"):
        list(framing.flush())


def test_an_expected_event_is_not_held_back() -> None:
    framing = Sniffed(SSE())
    assert [chunk.data for chunk in framing.feed(b"data: a\n\n")] == [b"a"]


def test_space_without_end_is_given_up() -> None:
    assert outcome(Sniffed(SSE(), 10), [b"\n"] * 10 + [b"data: a\n\n"]).data == [b"a"]
    assert outcome(Sniffed(SSE(), 10), [b"\n"] * 1000).code == "chunk_too_large"


@given(st.binary(max_size=20), st.sampled_from([SSE, NDJSON, JSONArray, ConcatenatedJSON, JSONSeq]))
def test_it_reads_as_some_framing_whatever_comes(body: bytes, expected: Make) -> None:
    sniffed = outcome(Sniffed(expected()), [body])
    each = [outcome(make(), [body]) for make in (SSE, NDJSON, JSONArray, ConcatenatedJSON, JSONSeq)]
    assert sniffed in [*each, Outcome([], "upstream_html")]
