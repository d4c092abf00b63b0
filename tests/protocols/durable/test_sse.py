"""Records as server-sent events of the Durable Streams Protocol."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.frames.encoder import Batch
from hub.protocols.durable.sse import (
    BINARY,
    JSON_ARRAYS,
    TEXT_LINES,
    DurableEvents,
    data_writer,
    interval,
    unfinished,
)

BEGAN = 1728432000  # 2024-10-09T00:00:00Z


def batches(pieces: list[bytes]) -> list[Batch]:
    """Each piece as a record in a batch of its own."""
    before = [b"".join(pieces[:place])[-3:] for place in range(len(pieces))]
    return [
        Batch("s", [Record(place, piece, None)], Position(0, place + 1), before[place])
        for place, piece in enumerate(pieces)
    ]


def read(text: bytes) -> tuple[list[str], list[Any]]:
    """What an EventSource makes of it (WHATWG HTML section 9.2.6): data, and control events."""
    data: list[str] = []
    control: list[Any] = []
    for block in text.decode().split("\n\n")[:-1]:
        name, lines = "", []
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                lines.append(value)
        if name == "data":
            data.append("\n".join(lines))
        else:
            control.append(json.loads("\n".join(lines)))
    return data, control


@given(st.text(alphabet=" :\nabdt中é👩\r\x00\u2028"), st.data())
def test_text_is_whole_however_it_is_cut(text: str, draw: st.DataObject) -> None:
    written = text.encode()
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(written)))))
    ends = [*cuts, len(written)]
    pieces = [written[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    held = batches([piece for piece in pieces if piece])
    data, control = read(b"".join(TEXT_LINES.events(batch) for batch in held))
    assert "".join(data) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert [told["streamNextOffset"] for told in control] == [str(b.position) for b in held]


def test_bytes_that_are_no_text_do_not_break_the_response() -> None:
    data, _ = read(TEXT_LINES.events(batches([b"a\xffb"])[0]))
    assert data == ["a\ufffdb"]


def test_there_is_no_space_unless_the_line_has_one() -> None:
    frame = TEXT_LINES.events(batches([b"a\n b"])[0])
    assert frame.startswith(b"event: data\ndata:a\ndata:  b\n\nevent: control\ndata:{")


def test_a_record_of_nothing_but_line_ends_takes_a_few_times_its_bytes() -> None:
    """The lines of 20 MB would be gigabytes, and half a minute in which nobody is answered."""
    (batch,) = batches([b"\n" * 1_000_000])
    tracemalloc.start()
    try:
        TEXT_LINES.events(batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


def test_what_a_batch_says_cannot_be_taken_for_a_field() -> None:
    data, control = read(TEXT_LINES.events(batches([b"x\n\nevent: control\ndata: {}\n\n"])[0]))
    assert data == ["x\n\nevent: control\ndata: {}\n\n"]
    assert len(control) == 1


def test_json_is_an_array_and_all_else_is_base64() -> None:
    batch = Batch("s", [Record(0, b"1", None), Record(1, b'"x"', None)], Position(0, 2))
    assert read(JSON_ARRAYS.events(batch))[0] == ['[1,"x"]']
    assert base64.b64decode(read(BINARY.events(batch))[0][0]) == b'1"x"'
    for kind, encoder in {
        "application/json": JSON_ARRAYS,
        "text/markdown": TEXT_LINES,
        "text/plain; charset=latin1": BINARY,
        "image/png": BINARY,
    }.items():
        assert data_writer(StreamSettings(kind)) is encoder.write


def test_control_says_where_it_is_and_whether_that_is_all() -> None:
    here = Batch("s", [], Position(1, 5))
    data, (told,) = read(JSON_ARRAYS.events(here))
    assert (data, told.keys()) == ([], {"streamNextOffset", "streamCursor"})
    _, (told,) = read(JSON_ARRAYS.events(here._replace(latest=True)))
    assert told["upToDate"] is True
    _, (told,) = read(JSON_ARRAYS.closed("s", Position(1, 5)))
    assert told == {
        "streamNextOffset": str(Position(1, 5)),
        "streamClosed": True,
        "upToDate": True,
    }


def test_intervals_are_of_twenty_seconds_and_never_stand_still() -> None:
    assert interval(now=BEGAN) == 0
    assert interval(now=BEGAN + 39.9) == 1
    assert interval(0, now=BEGAN + 20) == 1
    for _ in range(50):
        assert 1 < interval(1, now=BEGAN + 20) <= 181
    encoder = DurableEvents(JSON_ARRAYS.write, known=10**9)
    _, (told,) = read(encoder.events(Batch("s", [], Position(0, 0))))
    assert int(told["streamCursor"]) > 10**9


@given(st.text(), st.integers(0, 3))
def test_only_the_beginning_of_a_character_is_unfinished(text: str, more: int) -> None:
    body = text.encode()
    assert unfinished(body) == b""
    whole = "👩".encode()
    assert unfinished(body + whole[:more]) == whole[:more]
