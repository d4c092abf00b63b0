"""Server-sent events, against the standard read aloud and against what servers do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from hub.framing import SSE, Chunk
from tests.support.cut_bodies import (
    byte_by_byte,
    cuttings,
    outcome,
    same_however_cut,
    written_with,
)

LINE_ENDS = (b"\n", b"\r\n", b"\r")


def as_the_standard_says(body: bytes) -> list[Chunk]:
    """WHATWG HTML 9.2.6 word for word, but for the one rule that is ours (see below)."""
    lines = re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf"))
    lines.pop()  # not ended by a line end
    events, data, event_type = [], b"", b""
    for line in lines:
        if line == b"":
            if data != b"":
                events.append(Chunk(data.removesuffix(b"\n"), event_type.decode()))
            data, event_type = b"", b""
            continue
        field, colon, value = line.partition(b":")
        if colon and field == b"":
            continue
        if value.startswith(b" "):
            value = value[1:]
        if field == b"event":
            event_type = value
        if field == b"data":
            data += value + b"\n"
    # Ours: an event without data and name says nothing.
    return [event for event in events if event.data or event.event]


STREAMS = written_with(
    *(*LINE_ENDS, *LINE_ENDS, b"\n\n", b"\r\n\r\n", b"data: a\n\n", b'data: {"b":1}\n\n'),
    *(b"data: ", b"data:", b"data", b"data:  ", b"dat", b" data: x", b"Data: x", b"data : x"),
    *(b"event: ", b"event:e", b"event", b"id: 7", b"retry: 10", b":", b": ping", b"x: y"),
    *(b"\xef\xbb\xbf", b"a", b" ", b"{}", "\u2028\u2029\u0085😀".encode(), b"\x00", b"\x0b\x0c"),
    max_size=40,
)


@given(cut=cuttings(STREAMS))
def test_the_standard_is_followed_however_the_bytes_are_cut(cut: tuple[bytes, list[bytes]]) -> None:
    body, reads = cut
    expected = as_the_standard_says(body)
    for pieces in ([body], reads, byte_by_byte(body)):
        framing = SSE()
        assert [chunk for data in pieces for chunk in framing.feed(data)] == expected
    same_however_cut(SSE, body, reads)


def events(body: bytes) -> list[tuple[bytes, str]]:
    """The chunks of a body without fault, however it is cut."""
    found = same_however_cut(SSE, body, [body[: len(body) // 2], body[len(body) // 2 :]])
    assert found.code is None
    return [(chunk.data, chunk.event) for chunk in found.chunks]


@pytest.mark.parametrize("end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [(b"a", ""), (b"b", "")]),
        (b"event: e\ndata: a\n\n", [(b"a", "e")]),
        (b"data: a\nevent: e\n\n", [(b"a", "e")]),
        (b"event: e\ndata: a\n\ndata: b\n\n", [(b"a", "e"), (b"b", "")]),
        (b"event: e\nevent: f\ndata: a\n\n", [(b"a", "f")]),
        (b"event: e\n\ndata: a\n\n", [(b"a", "")]),
        (b"data: a\ndata: b\ndata:\n\n", [(b"a\nb\n", "")]),
        (b"data:a\n\ndata:  a\n\n", [(b"a", ""), (b" a", "")]),
        (b"\n\n\ndata: a\n\n\n\n", [(b"a", "")]),
        (b": OPENROUTER PROCESSING\n\n:\n: ping - 2025\n\ndata: a\n\n", [(b"a", "")]),
        (b"data: a\n: in between\ndata: b\n\n", [(b"a\nb", "")]),
        (b"id: 1\nretry: 5\nunknown: x\ndata: a\n\n", [(b"a", "")]),
        (b"data:\n\ndata\n\ndata: \n\n", []),
        (b"data: \n\n", []),
        (b"data: a\n\ndata: \n\ndata: b\n\n", [(b"a", ""), (b"b", "")]),
        (b"event: end\ndata:\n\n", [(b"", "end")]),
        (b"event: end\n\n", []),
        (b'data: {"a":1}\n\nerror: {"b":2}\n\n', [(b'{"a":1}', ""), (b'{"b":2}', "error")]),
        (b"data: a\nerror: b\n\ndata: c\n\n", [(b"a", ""), (b"b", "error"), (b"c", "")]),
        (b"data: a\n\ndata: [DONE]\n\n", [(b"a", ""), (b"[DONE]", "")]),
        ("data: \u2028\u2029\u0085é\n\n".encode(), [("\u2028\u2029\u0085é".encode(), "")]),
        (b"data: \x0b\x0c\x1c\x1d\x1e\n\n", [(b"\x0b\x0c\x1c\x1d\x1e", "")]),
        (b"event: \xff\ndata: \xff\n\n", [(b"\xff", "\ufffd")]),
    ],
)
def test_what_servers_send(lines: bytes, end: bytes, expected: list[tuple[bytes, str]]) -> None:
    assert events(lines.replace(b"\n", end)) == expected


def test_line_ends_may_be_mixed() -> None:
    assert events(b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\rdata: e\n\r") == [
        (b"a\nb\nc", ""),
        (b"d", ""),
        (b"e", ""),
    ]


def test_a_cr_ends_a_line_at_once_and_its_lf_may_come_later() -> None:
    """Waiting for the LF would hold back an event for as long as the upstream thinks."""
    framing = SSE()
    assert list(framing.feed(b"data: a\r\n\r")) == [Chunk(b"a")]
    assert list(framing.feed(b"\ndata: b\r")) == []
    assert list(framing.feed(b"")) == []
    assert list(framing.feed(b"\ndata: c\r\n\r\n")) == [Chunk(b"b\nc")]


def test_an_event_is_given_with_the_read_that_completes_it() -> None:
    framing = SSE()
    assert list(framing.feed(b"data: a\n\ndata: b\n\nda")) == [Chunk(b"a"), Chunk(b"b")]
    assert list(framing.feed(b"ta: c\n")) == []
    assert list(framing.feed(b"\n")) == [Chunk(b"c")]


@pytest.mark.parametrize(
    ("tail", "last"),
    [
        (b'data: {"a":1}\n', [(b'{"a":1}', "")]),
        (b'data: {"a":1}\r', [(b'{"a":1}', "")]),
        (b'event: e\ndata: {"a":1}\n', [(b'{"a":1}', "e")]),
        (b'data: {"a":1}', [(b'{"a":1}', "")]),
        (b'data: {"a":1} ', [(b'{"a":1} ', "")]),
        (b'data:\ndata: {"a":\ndata: 1}', [(b'\n{"a":\n1}', "")]),
        (b'data: {"a":1}\ndata: {"b', [(b'{"a":1}', "")]),
        (b'data: {"a":1}\neve', [(b'{"a":1}', "")]),
        (b"data: [DONE]\n", [(b"[DONE]", "")]),
        (b"data: [DONE]", [(b"[DONE]", "")]),
        (b'data: "\\ud83d"', [(b'"\\ud83d"', "")]),
        (b'error: {"a":1}\n', [(b'{"a":1}', "error")]),
        (b'error: {"a":1}', [(b'{"a":1}', "error")]),
        (b'data: {"a":1}\nerror: {"b":2}', [(b'{"a":1}', ""), (b'{"b":2}', "error")]),
        (b"data: 12\n", [(b"12", "")]),
        (b"data: 12", []),
        (b"data: true", []),
        (b'data: {"a":1', []),
        (b'data: {"a":1\n', []),
        (b"data: [DONE", []),
        (b"data: words\n", []),
        (b'da: {"a":1}', []),
        (b'event: {"a":1}', []),
        (b"data: \xff\n", []),
        (b"data: " + b"[" * 100_000 + b"\n", []),
        (b'data: {"a":1}\nevent: e', [(b'{"a":1}', "")]),
        (b"event: e\n", []),
        (b"data:\n", []),
    ],
)
def test_the_end_without_a_blank_line(tail: bytes, last: list[tuple[bytes, str]]) -> None:
    """An unfinished block is used if it is surely whole, and dropped if it may not be."""
    found = outcome(SSE(), [b"data: first\n\n", tail])
    assert found.chunks == [(b"first", ""), *last]
    assert found.code is None


LIMIT = 10


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"data: 0123456789\n\n", None),
        (b"data:0123456789\n\n", None),
        (b"data: 0123456789a\n\n", "chunk_too_large"),
        (b"data:0123456789a\n\n", "chunk_too_large"),
        (b"data: 01234\ndata: 6789\n\n", None),
        (b"data: 01234\ndata: 6789\n\n" * 3, None),
        (b"data: 01234\ndata: 6789a\n\n", "chunk_too_large"),
        (b"data\n" * 11 + b"\n", None),
        (b"data\n" * 12 + b"\n", "chunk_too_large"),
        (b":" + b"x" * 15 + b"\n", None),
        (b":" + b"x" * 16 + b"\n", "chunk_too_large"),
        (b": ping\n" * 1000, None),
        (b"event: e\n" * 1000, None),
        (b"error: 0123456789\n\n", "chunk_too_large"),  # one byte longer than a data line
        (b"data: 0123456789", None),
        (b'data: "2345678"\ndata: "0123456789"', "chunk_too_large"),
    ],
)
def test_the_limit_holds_for_the_data_and_for_every_line(body: bytes, code: str | None) -> None:
    whole = same_however_cut(lambda: SSE(LIMIT), body, [body])
    assert whole.code == code


GOOGLE = b"""\
{
  "error": {
    "code": 503,
    "message": "The model is overloaded.",
    "status": "UNAVAILABLE"
  }
}"""


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("after", [b"\n\n", b"\n", b""])
def test_an_error_that_stands_bare_among_events_is_a_chunk(end: bytes, after: bytes) -> None:
    body = (b'data: {"a":1}\n\n' + GOOGLE + after).replace(b"\n", end)
    first, second = outcome(SSE(), byte_by_byte(body)).chunks
    assert first == Chunk(b'{"a":1}')
    assert (second.event, second.data.replace(b" ", b"")) == ("error", GOOGLE.replace(b" ", b""))


def test_other_bare_lines_are_ignored_as_the_standard_says() -> None:
    for bare in (b'{"text":"x"}', b"{", b'{"error":', b"{{}", b'{"error":1', b"{" + b"x" * 70_000):
        body = b"data: 1\n\n" + bare + b"\n\ndata: 2\n\n" + bare + b"\ndata: 3\n\n"
        assert outcome(SSE(), byte_by_byte(body)).chunks == [Chunk(b"1"), Chunk(b"2"), Chunk(b"3")]


def test_an_object_inside_a_block_is_nothing() -> None:
    body = b'data: 1\n{"error":{"message":"x"}}\ndata: 2\n\n'
    assert outcome(SSE(), byte_by_byte(body)).chunks == [Chunk(b"1\n2")]
