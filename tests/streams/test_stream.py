"""A stream keeps what its retention says, exactly, and never sends a reader past a hole."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import StreamClosed
from hub.domain.events import Delta, Event, Message, Other, encode
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.frames import coalesce
from hub.stores import Appended, Closed, Raised, Saved, Trimmed
from hub.streams.history import Place, Reset
from hub.streams.stream import Retention, Stream
from tests.support.fake_stores import FakeStore, Notebook
from tests.support.record_writers import Writing
from tests.support.strategies import quick


def said(number: int, size: int = 0) -> Message:
    return Message("user", f"{number}" + "x" * size)


async def held_by(stream: Stream) -> list[Record]:
    """All records, read in batches as a reader does."""
    found: list[Record] = []
    while stream.head + len(found) < stream.tail:
        batch = await stream.fetch(stream.head + len(found), 1000)
        assert batch.records, "there is always one to go on with"
        found += batch.records
    return found


async def events_of(stream: Stream) -> list[Event]:
    return [event async for event in stream.events()]


# Writing


async def test_a_record_stands_at_the_tail_encoded_once() -> None:
    stream = Stream("s")
    first, second = stream.append(said(1)), stream.append(said(2))
    assert [first.offset, second.offset] == [0, 1]
    assert first.body == encode(said(1))
    assert stream.position == Position(0, 2)
    assert stream.last is second
    assert await events_of(stream) == [said(1), said(2)]


def test_a_closed_stream_takes_nothing_and_closing_again_is_nothing() -> None:
    store = Notebook()
    stream = Stream("s", store=store)
    stream.append(said(1))
    stream.close()
    stream.close()
    with pytest.raises(StreamClosed, match='"s" is closed'):
        stream.append(said(2))
    assert stream.tail == 1
    assert store.noted.count(Closed("s")) == 1


def test_what_cannot_be_written_changes_nothing() -> None:
    stream = Stream("s")
    with pytest.raises(Exception, match="JSON"):
        stream.append(Other({"n": 2**70}))
    assert (stream.tail, stream.size) == (0, 0)


sizes = st.lists(st.integers(0, 60), max_size=40)


def size_of(records: Sequence[Record]) -> int:
    return sum(record.size for record in records)


@quick
@given(sizes, st.integers(1, 2000), st.integers(1, 12))
def test_retention_keeps_the_newest_that_fit_and_always_the_last(
    each: list[int], max_bytes: int, max_records: int
) -> None:
    asyncio.run(_retain(each, max_bytes, max_records))


async def _retain(each: list[int], max_bytes: int, max_records: int) -> None:
    store = Notebook()
    stream = Stream("s", store=store, retention=Retention(max_bytes, max_records))
    model: list[Record] = []
    for number, size in enumerate(each):
        model.append(stream.append(said(number, size)))
        assert model[-1].body == encode(said(number, size))
        while len(model) > 1 and (len(model) > max_records or size_of(model) > max_bytes):
            model.pop(0)
        assert await held_by(stream) == model
        assert stream.size == size_of(model)
        assert stream.tail == number + 1
        assert stream.head == stream.tail - len(model)
        assert len(await events_of(stream)) == len(model)
    # The store has been told the same story.
    heads = [change.head for change in store.noted if isinstance(change, Trimmed)]
    assert heads == sorted(set(heads))
    assert (heads or [0])[-1] == stream.head
    assert sum(isinstance(change, Appended) for change in store.noted) == stream.tail


@quick
@given(sizes, st.lists(st.integers(-2, 50), max_size=5), st.integers(-5, 3000))
def test_trim_and_shrink_forget_the_oldest_only(
    each: list[int], trims: list[int], left: int
) -> None:
    asyncio.run(_trim(each, trims, left))


async def _trim(each: list[int], trims: list[int], left: int) -> None:
    stream = Stream("s")
    records = [stream.append(said(number, size)) for number, size in enumerate(each)]
    for offset in trims:
        head = stream.head
        stream.trim(offset)
        assert stream.head == max(head, min(offset, stream.tail))
        assert await held_by(stream) == records[stream.head :]
    stream.shrink(left)
    assert await held_by(stream) == records[stream.head :]
    assert stream.size == size_of(records[stream.head :])
    assert stream.size <= max(0, left) or stream.tail - stream.head <= 1


@quick
@given(sizes, st.lists(st.integers(0, 3000), max_size=5), st.integers(1, 12), st.integers(0, 1200))
def test_where_a_store_has_the_rest_memory_gives_way_and_nothing_is_lost(
    each: list[int], shrinks: list[int], max_records: int, warm_bytes: int
) -> None:
    asyncio.run(_cool(each, shrinks, max_records, warm_bytes))


async def _cool(each: list[int], shrinks: list[int], max_records: int, warm_bytes: int) -> None:
    store = FakeStore()
    retention = Retention(max_records=max_records, warm_bytes=warm_bytes)
    stream = Stream("s", store=store, retention=retention)
    records: list[Record] = []
    for number, size in enumerate(each):
        records.append(stream.append(said(number, size)))
        assert stream.size <= 2 * warm_bytes or stream.tail - stream.warm == 1
        assert stream.last is records[-1]
    for size in shrinks:
        stream.shrink(size)
        assert stream.size <= size or stream.tail - stream.warm <= 1
        assert stream.size == size_of(records[stream.warm :])
    assert await held_by(stream) == records[-max_records:]
    assert await events_of(stream) == [record.event for record in records[-max_records:]]
    assert store.reads > 0 or stream.head == stream.warm


class Tracked(str):
    """A text that can be watched."""


def test_a_trimmed_record_is_let_go_of_at_once() -> None:
    """What no longer counts must not take memory either."""
    stream = Stream("s", retention=Retention(max_records=100))
    event = Delta("g", text=Tracked("first"))
    alive = weakref.ref(event.text)
    stream.append(event)
    del event
    for number in range(100):
        assert alive() is not None
        stream.append(said(number))
    assert alive() is None


def test_in_use_is_written_or_followed() -> None:
    stream = Stream("s")
    assert not stream.in_use
    stream.writer = Writing()
    assert stream.in_use


async def test_an_empty_stream_has_no_last_record() -> None:
    stream = Stream("s")
    assert stream.last is None
    stream.append(said(1))
    stream.trim(1)
    assert stream.last is None
    assert (await stream.fetch(1, 100)).records == []


# Reading: several lives of one stream


class Life(NamedTuple):
    """What one life of a stream held when it died: its epoch, and all records ever at it."""

    epoch: int
    first: int
    contents: tuple[str, ...]


class Lives(NamedTuple):
    """A stream in its last life, and what readers of each life may have seen."""

    stream: Stream
    lives: list[Life]


@st.composite
def lives(draw: st.DrawFn) -> Lives:
    """A stream that wrote, died, lost its newest records, and so on; then was trimmed."""
    told: list[Life] = []
    epochs: list[tuple[int, int]] = []
    kept: tuple[str, ...] = ()
    epoch = draw(st.integers(0, 3))
    for number in range(draw(st.integers(1, 4))):
        epochs.append((epoch, len(kept)))
        written = draw(st.integers(0, 6))
        contents = (*kept, *(f"{number}/{place}" for place in range(written)))
        told.append(Life(epoch, len(kept), contents))
        # The next life begins where this one began or later: what was safe stays safe.
        kept = contents[: draw(st.integers(len(kept), len(contents)))]
        epoch += draw(st.integers(1, 3))
    contents = told[-1].contents
    records = [
        Record(place, text.encode(), Delta("g", text=text)) for place, text in enumerate(contents)
    ]
    # Some are still in memory; the others a store has.
    warm = draw(st.integers(0, len(contents)))
    saved = Saved(
        StreamSettings(), tuple(epochs), tail=len(contents), records=tuple(records[warm:])
    )
    stream = Stream("s", saved, store=FakeStore(records))
    stream.trim(draw(st.just(0) | st.integers(0, len(contents))))
    return Lives(stream, told)


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first are the same."""
    same = [a == b for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


@given(lives())
def test_a_reader_goes_on_if_what_it_has_seen_is_what_there_is_and_else_is_reset(
    told: Lives,
) -> None:
    stream, now = told.stream, told.lives[-1].contents
    with patch.object(coalesce, "SPAN", 4):
        _look_at_every_position(stream, told, now)


def _look_at_every_position(stream: Stream, told: Lives, now: Sequence[str]) -> None:
    for life in told.lives:
        for offset in range(len(life.contents) + 1):
            # Between the beginnings of this and the next life every reader is in this one.
            seen = life.contents[:offset]
            same = common(seen, now)
            place = stream.place(Position(life.epoch, offset))
            if same < offset:
                right = coalesce.boundary(same)
                assert place.offset == right
                assert place.reset is not None
                assert (place.reset.position.offset, place.reset.reason) == (right, "unwritten")
            elif offset < stream.head:
                assert place == Place(stream.head, stream.trimmed())
            else:
                assert place == Place(offset)


@given(lives(), st.integers(0, 20), st.integers(0, 30))
def test_any_position_leads_to_a_place_that_can_be_read(
    told: Lives, epoch: int, offset: int
) -> None:
    stream = told.stream
    with patch.object(coalesce, "SPAN", 4):
        place = stream.place(Position(epoch, offset))
    assert place.offset <= stream.tail
    if place.reset is None:
        assert place.offset == offset >= stream.head
    elif place.offset >= stream.head:
        # Going back to where it was told is not answered with another reset.
        assert stream.place(place.reset.position) == Place(place.offset)
    else:
        assert stream.place(place.reset.position) == Place(stream.head, stream.trimmed())
    assert stream.place(stream.trimmed().position) == Place(stream.head)


@given(lives())
def test_a_position_from_a_life_that_is_not_known_yet_takes_everything_back(told: Lives) -> None:
    stream = told.stream
    for position in (Position(stream.epoch, stream.tail + 1), Position(stream.epoch + 1, 0)):
        place = stream.place(position)
        assert place == Place(0, Reset(Position(0, 0), "unwritten"))


@given(lives())
def test_start_is_the_head_and_now_is_the_tail(told: Lives) -> None:
    assert told.stream.place("start") == Place(told.stream.head)
    assert told.stream.place("now") == Place(told.stream.tail)


@given(lives(), st.integers(0, 30))
def test_batches_are_contiguous_bounded_and_of_one_epoch(told: Lives, limit: int) -> None:
    asyncio.run(_read(told, limit))


async def _read(told: Lives, limit: int) -> None:
    stream, offset = told.stream, told.stream.head
    beginnings = {life.first for life in told.lives}
    while offset < stream.tail:
        batch = await stream.fetch(offset, limit)
        offsets = [record.offset for record in batch.records]
        assert batch.latest is (batch.position.offset == stream.tail)
        assert offsets == list(range(offset, offset + len(offsets)))
        assert offsets, "there is always one to go on with"
        assert len(offsets) == 1 or sum(len(r.body) for r in batch.records) <= limit
        assert not beginnings & set(offsets[1:]), "a batch goes across the start of an epoch"
        written_in = [life.epoch for life in told.lives if life.first <= offset][-1]
        assert batch.position == Position(written_in, offset + len(offsets))
        assert stream.place(batch.position) == Place(batch.position.offset)
        offset = batch.position.offset
    assert (await stream.fetch(stream.tail, limit)).records == []


@given(lives())
def test_every_position_that_is_told_is_one_to_come_back_to(told: Lives) -> None:
    for offset in range(told.stream.head, told.stream.tail + 1):
        assert told.stream.place(told.stream.position_at(offset)) == Place(offset)
    assert told.stream.place(told.stream.position) == Place(told.stream.tail)


async def test_a_long_history_is_read_in_parts() -> None:
    stream = Stream("s")
    for number in range(10_000):
        stream.append_body(b"", None)
        assert stream.tail == number + 1
    assert len(await held_by(stream)) == 10_000
    assert 0 < len((await stream.fetch(0, 100)).records) < 10_000


def test_a_stream_taken_up_again_goes_on_where_it_was() -> None:
    event: Event = said(7)
    kept = Record(7, encode(event), event)
    stream = Stream(
        "s",
        Saved(
            StreamSettings(),
            ((3, 0), (5, 8)),
            head=7,
            tail=8,
            records=(kept,),
            closed=True,
        ),
    )
    assert (stream.head, stream.tail, stream.epoch) == (7, 8, 5)
    assert stream.size == kept.size
    assert stream.position == Position(5, 8)
    with pytest.raises(StreamClosed):
        stream.append(event)


def test_a_new_life_of_a_stream_is_told_to_the_store_when_it_is_first_written() -> None:
    """A stream that is only read again costs the store nothing."""
    store = Notebook()
    saved = Saved(StreamSettings(), ((3, 0),), tail=1, records=(Record(0, b"{}", None),))
    stream = Stream("s", saved, store=store, epoch=5)
    assert stream.position == Position(5, 1)
    assert stream.place(Position(3, 2)) == Place(0, Reset(Position(0, 0), "unwritten"))
    assert store.noted == []
    stream.append(said(1))
    stream.append(said(2))
    assert [change for change in store.noted if not isinstance(change, Appended)] == [
        Raised("s", 5, 1)
    ]
