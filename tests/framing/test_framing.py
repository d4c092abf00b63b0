"""What every framing promises: the same however cut, bounded, and no surprise at the end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import FramingError
from hub.framing import (
    NDJSON,
    SSE,
    ConcatenatedJSON,
    Framing,
    JSONArray,
    JSONSeq,
    Sniffed,
    Text,
    for_content_type,
)
from tests.support.cut_bodies import (
    Outcome,
    byte_by_byte,
    cuttings,
    outcome,
    same_however_cut,
    written_with,
)

LIMIT = 12

FRAMINGS: dict[str, Callable[[int], Framing]] = {
    "SSE": SSE,
    "NDJSON": NDJSON,
    "JSONSeq": JSONSeq,
    "ConcatenatedJSON": ConcatenatedJSON,
    "JSONArray": JSONArray,
    "Sniffed SSE": lambda limit: Sniffed(SSE(limit), limit),
    "Sniffed NDJSON": lambda limit: Sniffed(NDJSON(limit), limit),
    "Sniffed JSONArray": lambda limit: Sniffed(JSONArray(limit), limit),
}
ALL = {**FRAMINGS, "Text": Text, "Sniffed Text": lambda limit: Sniffed(Text(limit), limit)}

every_framing = pytest.mark.parametrize("make", FRAMINGS.values(), ids=FRAMINGS)
text_too = pytest.mark.parametrize("make", ALL.values(), ids=ALL)

# A whole body in each framing, and the data of its chunks.
BODIES: dict[str, tuple[bytes, list[bytes]]] = {
    "SSE": (b'data: {"a":1}\n\ndata: {"a":2}\n\n', [b'{"a":1}', b'{"a":2}']),
    "NDJSON": (b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
    "JSONSeq": (b'\x1e{"a":1}\n\x1e{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
    "ConcatenatedJSON": (b'{"a":1}{"a":2}', [b'{"a":1}', b'{"a":2}']),
    "JSONArray": (b'[{"a":1},{"a":2}]', [b'{"a":1}', b'{"a":2}']),
    "Sniffed SSE": (b'data: {"a":1}\n\n', [b'{"a":1}']),
    "Sniffed NDJSON": (b'{"a":1}\n', [b'{"a":1}']),
    "Sniffed JSONArray": (b'[{"a":1}]', [b'{"a":1}']),
    "Text": (b'{"a":1}', [b'{"a":1}']),
    "Sniffed Text": (b"<p>", [b"<p>"]),
}
every_body = pytest.mark.parametrize(
    ("make", "body", "found"), [(ALL[name], *BODIES[name]) for name in ALL], ids=ALL
)

# One chunk of n bytes in each framing; of its data, n bytes are JSON in all of them.
SIZED: dict[str, Callable[[int], bytes]] = {
    "SSE": lambda n: b"data: " + b'"%s"\n\n' % (b"x" * (n - 2)),
    "NDJSON": lambda n: b'"%s"\n' % (b"x" * (n - 2)),
    "JSONSeq": lambda n: b'\x1e"%s"\n' % (b"x" * (n - 2)),
    "ConcatenatedJSON": lambda n: b'"%s"' % (b"x" * (n - 2)),
    "JSONArray": lambda n: b'["%s"]' % (b"x" * (n - 2)),
    "Sniffed SSE": lambda n: b'data:"%s"\r\n\r\n' % (b"x" * (n - 2)),
    "Sniffed NDJSON": lambda n: b'"%s"\r\n' % (b"x" * (n - 2)),
    "Sniffed JSONArray": lambda n: b'[ "%s" ]' % (b"x" * (n - 2)),
}
every_size = pytest.mark.parametrize(
    ("make", "sized"), [(FRAMINGS[name], SIZED[name]) for name in FRAMINGS], ids=FRAMINGS
)

HARD = written_with(
    *(b"data: ", b"data:", b"data", b"event: e", b"error: ", b"id: 1", b":", b": c"),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"\t", b"\x1e", b"\xef\xbb\xbf", b"\x00", b"\xff"),
    *(b"{", b"}", b"[", b"]", b",", b'"', b"\\", b'\\"', b'"a"', b'{"a":1}', b"[1,2]", b"[DONE]"),
    *(b"12", b"true", b"-1.5e3", b"xxxxxxxxxxxxx", b"<html>", b"\\ud83d"),
    *("é".encode(), "😀".encode(), "\u2028\u2029\u0085".encode(), b"\xf0\x9f\x98"),
)


@every_framing
@given(cut=cuttings(HARD | st.binary(max_size=60)), limit=st.sampled_from([LIMIT, 4096]))
def test_any_cutting_gives_the_same_chunks_and_the_same_fault(
    make: Callable[[int], Framing], cut: tuple[bytes, list[bytes]], limit: int
) -> None:
    """Also of bytes that mean nothing: a `FramingError` is the only exception there is."""
    whole = same_however_cut(lambda: make(limit), *cut)
    assert all(len(chunk.data) <= limit for chunk in whole.chunks)
    assert all(chunk.data or chunk.event for chunk in whole.chunks)


@every_body
def test_a_body_cut_in_two_anywhere(
    make: Callable[[int], Framing], body: bytes, found: list[bytes]
) -> None:
    for at in range(len(body) + 1):
        both = outcome(make(4096), [body[:at], body[at:]])
        assert (b"".join(both.data), both.code) == (b"".join(found), None)


@every_body
def test_a_byte_order_mark_is_no_part_of_the_body(
    make: Callable[[int], Framing], body: bytes, found: list[bytes]
) -> None:
    marked = b"\xef\xbb\xbf" + body
    assert outcome(make(4096), [marked]) == outcome(make(4096), [body])
    apart = outcome(make(4096), byte_by_byte(marked))
    assert (b"".join(apart.data), apart.code) == (b"".join(found), None)


def test_half_a_byte_order_mark_is_not_one() -> None:
    assert outcome(NDJSON(), [b"\xef", b"\xbb"]).data == [b"\xef\xbb"]
    assert outcome(NDJSON(), byte_by_byte(b"\xef\xbbx\n")).data == [b"\xef\xbbx"]


@every_size
def test_a_chunk_may_have_as_many_bytes_as_the_limit_says(
    make: Callable[[int], Framing], sized: Callable[[int], bytes]
) -> None:
    for reads in ([sized(LIMIT)], byte_by_byte(sized(LIMIT))):
        whole = outcome(make(LIMIT), reads)
        assert ([len(data) for data in whole.data], whole.code) == ([LIMIT], None)


@every_size
def test_one_byte_more_is_a_fault_after_the_chunks_before_it(
    make: Callable[[int], Framing], sized: Callable[[int], bytes]
) -> None:
    body = sized(LIMIT).rstrip(b"]") + sized(LIMIT + 1).replace(b"[", b",")
    for reads in ([body], byte_by_byte(body)):
        whole = outcome(make(LIMIT), reads)
        assert ([len(data) for data in whole.data], whole.code) == ([LIMIT], "chunk_too_large")


@every_size
def test_a_chunk_without_end_is_given_up_and_not_kept(
    make: Callable[[int], Framing], sized: Callable[[int], bytes]
) -> None:
    limit, read = 100_000, b"x" * 1000
    framing = make(limit)
    tracemalloc.start()
    try:
        endless = outcome(framing, [sized(10).partition(b"x")[0], *[read] * 1000])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert endless == Outcome([], "chunk_too_large")
    assert peak < 4 * limit


@every_size
def test_a_fault_stays(make: Callable[[int], Framing], sized: Callable[[int], bytes]) -> None:
    framing = make(LIMIT)
    assert outcome(framing, [sized(LIMIT + 1)]).code == "chunk_too_large"
    for again in (framing.feed(sized(3)), framing.flush(), framing.flush()):
        with pytest.raises(FramingError) as fault:
            list(again)
        assert fault.value.code == "chunk_too_large"


@every_body
def test_bytes_are_taken_in_though_nobody_iterates(
    make: Callable[[int], Framing], body: bytes, found: list[bytes]
) -> None:
    for at in range(len(body)):
        heard, unheard = make(4096), make(4096)
        given = b"".join(chunk.data for chunk in heard.feed(body[:at]))
        unheard.feed(body[:at])
        rest = b"".join(outcome(unheard, [body[at:]]).data)
        assert given + rest == b"".join(found)


@every_body
def test_a_framing_reads_one_body(
    make: Callable[[int], Framing], body: bytes, found: list[bytes]
) -> None:
    framing = make(4096)
    assert b"".join(outcome(framing, [body]).data) == b"".join(found)
    assert list(framing.flush()) == []
    with pytest.raises(RuntimeError, match="one body"):
        framing.feed(b"")


@text_too
def test_an_empty_body_has_no_chunks(make: Callable[[int], Framing]) -> None:
    assert outcome(make(LIMIT), [b"", b""]).chunks == []


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [
        ("text/event-stream", SSE),
        ("Text/Event-Stream; charset=UTF-8", SSE),
        ("application/x-ndjson", NDJSON),
        ("application/ndjson", NDJSON),
        ("application/jsonl ; charset=utf-8", NDJSON),
        ("application/json-seq", JSONSeq),
        ("text/plain; charset=utf-8", Text),
        ("application/json", None),
        ("text/html", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_content_type_names_its_framing(content_type: str, framing: type | None) -> None:
    found = for_content_type(content_type, LIMIT)
    assert found is None if framing is None else type(found) is framing


def test_the_limit_goes_to_the_framing_of_a_content_type() -> None:
    framing = for_content_type("application/x-ndjson", LIMIT)
    assert framing is not None
    assert outcome(framing, [b"x" * 20]).code == "chunk_too_large"


def test_the_binary_format_of_amazon_is_refused_by_name() -> None:
    with pytest.raises(FramingError, match=r"vnd\.amazon\.eventstream") as refused:
        for_content_type("application/vnd.amazon.eventstream")
    assert refused.value.code == "upstream_unsupported"
