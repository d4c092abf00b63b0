"""A4, for any lives of a stream: whatever was merged and lost, every reader is whole again.

Readers come at any time, are sent what there is in frames of any size with deltas merged, and
come back after any number of crashes and trims, as clients that only compare positions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.epochs import Epochs
from hub.domain.events import Delta, Event, Message, encode
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.frames.coalesce import merge
from hub.stores import Saved
from hub.streams.history import History
from tests.support.fake_stores import FakeStore

SPAN: Final = 4


def event(kind: str, text: str) -> Event:
    if kind == "message":
        return Message("user", text)
    return Delta("g", text=text) if kind == "text" else Delta("g", reasoning=text)


@dataclass
class Reader:
    """Position and text of each event that it has; what came before ``since`` it never had."""

    start: Position | None = None
    held: list[tuple[str, str]] = field(default_factory=list)
    since: int = 0

    @property
    def position(self) -> Position | None:
        return Position.parse(self.held[-1][0]) if self.held else self.start

    def reset(self, position: Position, reason: str) -> None:
        kept = [one for one in self.held if one[0] <= str(position)]
        if reason == "unwritten":
            there = kept[-1][0] if kept else str(position)
            assert there == str(position), "the reader has no such place"
        else:
            assert kept == self.held, "what is trimmed lies before what it has"
            kept, self.since = [], position.offset
        self.held, self.start = kept, position

    async def read(self, stream: History, limit: int, frames: int) -> None:
        """Follow it for some frames, as `hub.connections.subscription` has it."""
        place = stream.place("start" if self.position is None else self.position)
        offset = place.offset
        if place.reset is not None:
            self.reset(place.reset.position, place.reset.reason)
        if offset < stream.head:
            self.reset(stream.trimmed().position, "trimmed")
            offset = stream.head
        if self.position is None:
            self.since = offset
        for _ in range(frames):
            if offset == stream.tail:
                return
            batch = await stream.fetch(offset, limit)
            for record in merge(batch.records):
                said = record.event
                assert isinstance(said, Message | Delta)
                told = said.text or getattr(said, "reasoning", "")
                position = Position(batch.position.epoch, record.offset + 1)
                self.held.append((str(position), told))
            offset = batch.position.offset


life = st.fixed_dictionaries(
    {
        "kinds": st.lists(
            st.sampled_from(["text", "text", "text", "message", "think"]), max_size=12
        ),
        "lost": st.integers(0, 14),
        "trimmed": st.sampled_from([0, 0, 0, 3, 9]),
        "reads": st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([1, 200, 9999]), st.integers(1, 9)),
            max_size=3,
        ),
        "cold": st.booleans(),
    }
)


@given(st.lists(life, min_size=2, max_size=6))
def test_after_any_crashes_every_reader_has_the_text_of_the_stream(
    lives: list[dict[str, object]],
) -> None:
    with patch("hub.frames.coalesce.SPAN", SPAN):
        asyncio.run(_live(lives))


async def _live(lives: list[dict[str, object]]) -> None:
    readers = [Reader() for _ in range(4)]
    records: list[Record] = []
    epochs, head = Epochs([]), 0
    for epoch, told in enumerate(lives, start=1):
        first = len(records)
        epochs.begin(epoch, first)
        kinds = told["kinds"]
        assert isinstance(kinds, list)
        for at, kind in enumerate(kinds, start=first):
            said = event(kind, f"<{epoch}.{at}>")
            records.append(Record(at, encode(said), said))
        stream = _stream(epochs, records, head, cold=bool(told["cold"]))
        reads = told["reads"]
        assert isinstance(reads, list)
        for who, limit, frames in reads:
            await readers[who].read(stream, limit, frames)
        trimmed, lost = told["trimmed"], told["lost"]
        assert isinstance(trimmed, int)
        assert isinstance(lost, int)
        # What was there when a life began was safe, and what was trimmed had been.
        head = max(head, min(trimmed, first))
        del records[max(first, head, len(records) - lost) :]
    epochs.begin(len(lives) + 1, len(records))
    stream = _stream(epochs, records, head, cold=True)
    for reader in readers:
        await reader.read(stream, 9999, 9999)
        text = "".join(said for _, said in reader.held)
        assert text == "".join(_told(record) for record in records[reader.since :])


def _told(record: Record) -> str:
    assert isinstance(record.event, Message | Delta)
    return record.event.text or getattr(record.event, "reasoning", "")


def _stream(epochs: Epochs, records: list[Record], head: int, *, cold: bool) -> History:
    warm = () if cold else tuple(records[head:])
    saved = Saved(StreamSettings(), tuple(epochs), head, len(records), warm)
    return History("s", saved, FakeStore(records[head:]))


lives_of = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


def _pairs(steps: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    epoch = first = 0
    for later, further in steps:
        yield epoch, first
        epoch, first = epoch + 1 + later, first + further


@given(lives_of, st.integers(0, 60), st.integers(0, 60))
def test_lives_that_wrote_nothing_are_needed_for_nobody(
    steps: list[tuple[int, int]], epoch: int, offset: int
) -> None:
    all_lives = list(_pairs(steps))
    lives = Epochs(all_lives)
    assert lives.last == all_lives[-1]
    assert lives.after(epoch) == next((first for e, first in all_lives if e > epoch), None)
    assert lives.of(offset) == [e for e, first in all_lives if first <= offset][-1]
    firsts = [first for _, first in lives]
    assert firsts == sorted(set(firsts)), "each wrote something, but for the present one"


@given(lives_of, st.integers(0, 60), st.integers(2, 5))
def test_of_very_many_lives_the_oldest_are_one_and_nobody_goes_on_by_mistake(
    steps: list[tuple[int, int]], epoch: int, most: int
) -> None:
    all_lives = list(_pairs(steps))
    with patch("hub.domain.epochs.MOST", most):
        lives = Epochs(all_lives)
    kept = list(lives)
    assert len(kept) <= most
    assert kept[-1] == all_lives[-1]
    right = Epochs(all_lives).after(epoch)
    found = lives.after(epoch)
    if right is None:
        assert found is None
    else:
        assert found is not None
        assert found <= right
        if epoch >= kept[0][0]:
            assert found == right
