"""Every frame is what its standard says, read by parsers that know nothing of the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import Delta, Other, encode
from hub.domain.records import Position, Record
from hub.frames.chunked import Chunked, for_text
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch, Encoder
from hub.frames.ndjson import LINES, OBJECTS
from hub.frames.sse import EVENT_STREAM
from hub.frames.text import BYTES, TEXT
from hub.frames.websocket import WEBSOCKET, text_frame
from tests.support.reference_parsers import Chunks, Frames, Lines, Objects, ServerEvents
from tests.support.strategies import quick, records, runs_of_deltas, texts

ENCODERS = [WEBSOCKET, EVENT_STREAM, LINES, OBJECTS, TEXT]
BETWEEN = Position(7, 41)

Feed = Callable[[bytes], Iterable[Any]]


def batch_of(held: list[Record], epoch: int = 7) -> Batch:
    end = held[-1].offset + 1 if held else 0
    return Batch("a/chat", held, Position(epoch, end))


def bodies(held: list[Record]) -> list[Any]:
    return [json.loads(record.body) for record in held]


def cut(frame: bytes, places: Iterable[int], feed: Feed) -> list[Any]:
    """What a parser makes of a frame that comes in pieces."""
    found: list[Any] = []
    start = 0
    for place in [*sorted({p % (len(frame) + 1) for p in places}), len(frame)]:
        found.extend(feed(frame[start:place]))
        start = place
    return found


places = st.lists(st.integers(0, 10_000), max_size=3)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537, 200_000])
def test_a_text_frame_has_the_shortest_length_that_holds_it(size: int) -> None:
    body = b"x" * size
    frames = Frames()
    (frame,) = frames.feed(text_frame(body))
    assert frame == (1, body)
    assert frames.between
    header = 2 if size < 126 else 4 if size < 65536 else 10
    assert len(text_frame(body)) == header + size


@quick
@given(records.filter(bool), places)
def test_a_websocket_batch_is_one_text_frame(held: list[Record], where: list[int]) -> None:
    frames = Frames()
    (frame,) = cut(WEBSOCKET.events(batch_of(held)), where, frames.feed)
    assert frame.opcode == 1
    assert json.loads(frame.body) == {
        "type": "events",
        "stream": "a/chat",
        "position": str(Position(7, held[-1].offset + 1)),
        "events": bodies(held),
    }
    assert frames.between


@quick
@given(records, places)
def test_an_event_stream_has_the_position_after_each_event_as_its_id(
    held: list[Record], where: list[int]
) -> None:
    reader = ServerEvents()
    said = cut(EVENT_STREAM.events(batch_of(held)), where, reader.feed)
    assert [json.loads(event.data) for event in said] == bodies(held)
    assert [event.last_id for event in said] == [str(Position(7, r.offset + 1)) for r in held]
    assert {event.event for event in said} <= {"message"}
    assert reader.between


@quick
@given(records.filter(bool), places)
def test_lines_and_objects_tell_the_position_after_each_batch(
    held: list[Record], where: list[int]
) -> None:
    told = [*bodies(held), {"type": "position", "position": str(Position(7, held[-1].offset + 1))}]
    lines, objects = Lines(), Objects()
    assert cut(LINES.events(batch_of(held)), where, lines.feed) == told
    assert lines.between
    assert cut(OBJECTS.events(batch_of(held)), where, objects.feed) == told
    assert objects.between


@quick
@given(records)
def test_text_is_the_answer_and_nothing_else(held: list[Record]) -> None:
    told = [record.event.text for record in held if isinstance(record.event, Delta)]
    assert TEXT.events(batch_of(held)).decode() == "".join(told)


@quick
@given(records, places)
def test_a_chunked_frame_is_whole_chunks_around_the_same_bytes(
    held: list[Record], where: list[int]
) -> None:
    for encoder in ENCODERS:
        chunks = Chunks()
        frame = Chunked(encoder).events(batch_of(held))
        assert b"".join(cut(frame, where, chunks.feed)) == encoder.events(batch_of(held))
        assert not chunks.whole, "a chunk of nothing would end the body"
        assert list(chunks.feed(b"0\r\n\r\n")) == []
        assert chunks.whole


@quick
@given(texts)
def test_what_stands_in_a_text_never_ends_a_frame(text: str) -> None:
    """Line ends, quotes, NUL and the like are escaped by JSON before a framing sees them."""
    event = Delta("g", text=text + '\r\n\n\r"}\x00\u2028data: x\n\n' + text)
    held = [Record(3, encode(event), event)]
    (line, _) = Lines().feed(LINES.events(batch_of(held)))
    (said,) = ServerEvents().feed(EVENT_STREAM.events(batch_of(held)))
    assert line == json.loads(said.data) == bodies(held)[0]


def told_by(encoder: Encoder, frame: bytes) -> dict[str, Any]:
    """The one thing that a frame says beside events."""
    if encoder is WEBSOCKET:
        (message,) = Frames().feed(frame)
        said: dict[str, Any] = json.loads(message.body)
        assert said.pop("stream") == "a/chat"
        return said
    if encoder is EVENT_STREAM:
        (event,) = ServerEvents().feed(frame)
        said = json.loads(event.data)
        assert event.event == said["type"]
        assert event.last_id == said["position"], "an EventSource comes back from there"
        return said
    (said,) = (Lines() if encoder is LINES else Objects()).feed(frame)
    return said


@pytest.mark.parametrize("encoder", [WEBSOCKET, EVENT_STREAM, LINES, OBJECTS])
def test_a_reset_and_the_end_are_told_with_their_position(encoder: Encoder) -> None:
    reset = encoder.reset("a/chat", BETWEEN, "trimmed")
    assert reset is not None
    assert told_by(encoder, reset) == {
        "type": "reset",
        "position": str(BETWEEN),
        "reason": "trimmed",
    }
    closed = encoder.closed("a/chat", BETWEEN)
    assert told_by(encoder, closed) == {"type": "closed", "position": str(BETWEEN)}


def test_text_cannot_tell_a_reset_and_says_so() -> None:
    assert TEXT.reset("a/chat", BETWEEN, "trimmed") is None
    assert Chunked(TEXT).reset("a/chat", BETWEEN, "trimmed") is None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_in_chunks_everything_else_says_the_same(encoder: Encoder) -> None:
    chunked = Chunked(encoder)
    for frame, inner in [
        (chunked.reset("a/chat", BETWEEN, "trimmed"), encoder.reset("a/chat", BETWEEN, "trimmed")),
        (chunked.closed("a/chat", BETWEEN), encoder.closed("a/chat", BETWEEN)),
        (chunked.beat(), encoder.beat()),
        (chunked.retry(700), encoder.retry(700)),
    ]:
        assert b"".join(Chunks().feed(frame or b"")) == (inner or b"")


def test_a_beat_is_a_sign_of_life_that_no_reader_takes_for_an_event() -> None:
    (message,) = Frames().feed(WEBSOCKET.beat())
    assert json.loads(message.body) == {"type": "beat"}
    reader = ServerEvents()
    assert list(reader.feed(EVENT_STREAM.beat())) == []
    assert reader.comments == ["beat"]
    assert list(Lines().feed(LINES.beat())) == [{"type": "beat"}]
    assert list(Objects().feed(OBJECTS.beat())) == []
    assert OBJECTS.beat()
    assert TEXT.beat() == b"", "whatever was sent would be text"


def test_an_event_source_is_told_when_to_come_back() -> None:
    reader = ServerEvents()
    assert list(reader.feed(EVENT_STREAM.retry(1234))) == []
    assert reader.retry == 1234


@quick
@given(st.lists(runs_of_deltas | records, max_size=4), st.integers(0, 1000), st.data())
def test_with_any_merging_the_offsets_tell_each_events_place(
    parts: list[list[Record]], first: int, draw: st.DataObject
) -> None:
    """So a client that reads half a frame's events knows where each of them stands."""
    events = [record.event for part in parts for record in part if record.event is not None]
    held = [Record(first + at, encode(event), event) for at, event in enumerate(events)]
    start = draw.draw(st.integers(0, len(held)))
    sent = merge(held[start:])
    told = json.loads(next(iter(Frames().feed(WEBSOCKET.events(batch_of(sent))))).body)
    after = Position.parse(told["position"]).offset
    count = len(told["events"])
    places = told.get("offsets", [after - (count - 1 - at) for at in range(count)])
    assert places == [record.offset + 1 for record in sent]
    assert ("offsets" in told) == (len(sent) > 1 and after - sent[0].offset != len(sent))
    assert not held[start:] or places[-1] == after


def test_as_long_as_nothing_is_merged_no_offsets_are_told() -> None:
    held = [Record(at, b"{}", Other({})) for at in range(5, 9)]
    assert b"offsets" not in WEBSOCKET.events(batch_of(held))
    assert b"offsets" not in WEBSOCKET.events(batch_of(held[:1]))
    assert b'"offsets":[6,8]' in WEBSOCKET.events(batch_of([held[0], held[2]]))


def test_text_has_an_encoder_of_its_own_shared_by_all() -> None:
    chunked = Chunked(TEXT)
    assert for_text(TEXT) is BYTES
    assert for_text(chunked) is for_text(chunked)
    assert for_text(chunked) is not None
    for encoder in (WEBSOCKET, EVENT_STREAM, LINES, OBJECTS, BYTES):
        assert for_text(encoder) is None
        assert for_text(Chunked(encoder)) is None
