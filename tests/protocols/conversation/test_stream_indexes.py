"""What was found in streams is not looked for again."""

from __future__ import annotations

import asyncio
import gc

import pytest

from hub.domain.events import Message
from hub.domain.records import Record
from hub.protocols.conversation import stream_indexes
from hub.protocols.conversation.stream_indexes import Indexes, key_of, note
from hub.streams.frozen import FrozenStream
from hub.streams.history import SLICE, History
from hub.streams.stream import Stream
from tests.support.loop_rounds import Rounds

MANY = 3 * SLICE


class Offsets:
    """An index that only notes where the records are that it is given."""

    rounds: Rounds | None = None

    def __init__(self) -> None:
        self.noted: list[int] = []

    def __len__(self) -> int:
        return len(self.noted)

    def add(self, record: Record) -> None:
        self.noted.append(record.offset)
        if self.rounds is not None:
            self.rounds.note()


def talk(count: int = MANY, name: str = "s") -> Stream:
    stream = Stream(name)
    for _ in range(count):
        stream.append(Message("user", "a"))
    return stream


async def test_each_record_is_looked_at_once() -> None:
    indexes, stream = Indexes(Offsets), talk(3)
    assert (await indexes.of(stream)).noted == [0, 1, 2]
    assert (await indexes.of(stream)).noted == [0, 1, 2]
    stream.append(Message("user", "b"))
    assert (await indexes.of(stream)).noted == [0, 1, 2, 3]
    assert (await indexes.of(talk(1))).noted == [0], "another stream has its own"


async def test_one_walks_and_the_others_find_what_it_leaves() -> None:
    indexes, stream = Indexes(Offsets), talk()
    found = await asyncio.gather(*(indexes.of(stream) for _ in range(5)))
    assert all(one.noted == list(range(MANY)) for one in found)


async def test_who_goes_on_after_one_that_was_cancelled_begins_where_it_stopped() -> None:
    begun = asyncio.Event()

    class Telling(Offsets):
        def add(self, record: Record) -> None:
            super().add(record)
            begun.set()

    indexes, stream = Indexes(Telling), talk(10 * SLICE)
    walking = asyncio.create_task(indexes.of(stream))
    await begun.wait()
    walking.cancel()
    await asyncio.wait([walking])
    assert walking.cancelled()
    assert 0 < indexes.entries < stream.tail
    assert (await indexes.of(stream)).noted == list(range(stream.tail))


async def test_the_loop_serves_others_during_a_walk() -> None:
    with Rounds() as rounds:

        class Counting(Offsets):
            pass

        Counting.rounds = rounds
        await Indexes(Counting).of(talk())
        assert rounds.most <= SLICE


async def test_a_frozen_stream_is_the_one_that_it_is_of() -> None:
    indexes, stream = Indexes(Offsets), talk(3)
    assert await indexes.of(FrozenStream(stream, 2)) is await indexes.of(stream)


async def test_another_life_of_a_stream_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    indexes, stream = Indexes(Offsets), talk(2)
    before = await indexes.of(stream)
    monkeypatch.setattr(History, "epoch", property(lambda _: 7))
    after = await indexes.of(stream)
    assert after is not before
    assert after.noted == [0, 1]


async def test_a_stream_is_looked_at_anew_on_request() -> None:
    indexes, stream = Indexes(Offsets), talk(4)
    await indexes.of(stream)
    stream.trim(2)
    assert (await indexes.of(stream)).noted == [0, 1, 2, 3]
    assert (await indexes.of(stream, anew=True)).noted == [2, 3]


async def test_so_many_streams_and_notes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_indexes, "STREAMS", 3)
    monkeypatch.setattr(stream_indexes, "ENTRIES", 10)
    indexes, streams = Indexes(Offsets), [talk(2, str(n)) for n in range(5)]
    for stream in streams:
        await indexes.of(stream)
    assert indexes.entries == 3 * 2
    await indexes.of(large := talk(8))
    assert indexes.entries == 8 + 2, "those that were read last"
    del large, stream
    streams.clear()
    gc.collect()
    assert not indexes.entries, "a stream that is not in memory has none"


def test_so_much_is_noted_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_indexes, "NAMES", 2)
    notes: dict[str, int] = {}
    for place, name in enumerate("abacd"):
        note(notes, name, place)
    assert list(notes.items()) == [("c", 3), ("d", 4)]


def test_long_names_take_little_memory() -> None:
    assert key_of("msg_1") == "msg_1"
    assert len(key_of("x" * 10_000)) == 64
    assert key_of("x" * 10_000) != key_of("y" * 10_000)
    assert key_of("\ud800" * 100)
