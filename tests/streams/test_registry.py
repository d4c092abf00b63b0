"""Streams are found by name, bounded in number and memory, and forgotten in their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.domain.counters import Counters
from hub.domain.errors import InvalidName, LimitExceeded, StreamNotFound
from hub.domain.events import Message, encode
from hub.domain.records import Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.frames.ndjson import LINES
from hub.stores import Change, Created, Removed, Saved, Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams.followed import FollowedStream
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from hub.streams.waiters import SLICE
from tests.support.record_writers import Writing


class Archive(MemoryStore):
    """A store that has kept some streams, and takes a moment to bring one."""

    def __init__(self, **kept: Saved) -> None:
        super().__init__()
        self.kept = kept
        self.noted: list[Change] = []
        self.loads = 0

    async def load(self, stream: str) -> Saved | None:
        self.loads += 1
        await asyncio.sleep(0)
        return self.kept.get(stream)

    def note(self, change: Change) -> None:
        self.noted.append(change)


def made(store: Store | None = None, *, slice_size: int = 250, **limits: Any) -> Streams:
    return Streams(
        store or MemoryStore(),
        retention=Retention(),
        limits=StreamLimits(**limits),
        slice_size=slice_size,
        counts=Counters(),
    )


def fill(stream: Stream, count: int = 1) -> None:
    """Records that take a hundred bytes each, beside what every record takes."""
    for _ in range(count):
        stream.append_body(b"x" * 100, None)


EACH = Record(0, b"x" * 100, None).size


class Waiting:
    """Somebody who waits for a stream."""

    def __init__(self) -> None:
        self.told: list[FollowedStream] = []

    def begun(self, stream: FollowedStream) -> None:
        self.told.append(stream)


class Reader:
    """Somebody who follows."""

    encoder = LINES

    def __init__(self, stream: Stream) -> None:
        self.place = stream.tail
        self._stream = stream
        stream.subscribe(self)

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        self.place = end

    def queue_catch_up(self) -> None:
        pass

    def leave(self) -> None:
        self._stream.unsubscribe(self)


# Names


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "0",
        "chat-1",
        "a/b/c",
        "user:7@example.org",
        "v1.2",
        "_x",
        "~me",
        "a+b",
        "gen_0",
        "a" * 200,
    ],
)
async def test_a_name_that_can_be(name: str) -> None:
    streams = made()
    stream, new = await streams.create(name)
    assert new
    assert stream.name == name
    assert await streams.open(name) is stream
    assert await streams.create(name) == (stream, False)
    assert len(streams) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.b",
        ".hidden",
        "a b",
        "a\n",
        "a\x00",
        "a?b",
        "a#b",
        "a%2fb",
        "a\\b",
        "naïve",
        "流",
        "__ds",
        "__ds/a",
        "a" * 201,
    ],
)
async def test_a_name_that_cannot_be(name: str) -> None:
    streams = made()
    with pytest.raises(InvalidName):
        await streams.create(name)
    with pytest.raises(InvalidName):
        await streams.open(name)
    assert len(streams) == 0


async def test_what_was_never_begun_is_not_found() -> None:
    with pytest.raises(StreamNotFound, match='no stream is called "chat"'):
        await made().open("chat")


# Limits and the store


async def test_there_are_only_so_many_streams() -> None:
    streams = made(streams=2, keep_idle=86400.0)
    await streams.create("a")
    await streams.create("b")
    with pytest.raises(LimitExceeded):
        await streams.create("c")
    await streams.create("a")
    await streams.sweep(0.0)
    await streams.sweep(5.0)
    with pytest.raises(LimitExceeded):
        await streams.create("c")
    await streams.sweep(10**6)
    await streams.create("c")


async def test_to_look_after_many_streams_leaves_turns_to_others() -> None:
    """A token that waits for it would wait longer, the more streams there are."""
    streams = made(slice_size=2)
    for number in range(6):
        await streams.create(str(number))
    turns: list[None] = []

    async def count() -> None:
        while True:
            turns.append(None)
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await streams.sweep(0.0)
    counting.cancel()
    assert len(turns) == 3


async def test_a_new_life_of_a_name_has_a_higher_epoch() -> None:
    """A reader of the old one is reset, not sent something else from the same offset."""
    store = Archive()
    streams = made(store, keep_idle=1.0)
    first, _ = await streams.create("a")
    fill(first, 3)
    await streams.sweep(0.0)
    await streams.sweep(2.0)
    assert Removed("a") in store.noted
    second, _ = await streams.create("a")
    assert second is not first
    assert second.epoch > first.epoch
    begun = [change.epochs for change in store.noted if isinstance(change, Created)]
    assert begun == [((first.epoch, 0),), ((second.epoch, 0),)]
    place = second.place(first.position)
    assert place.reset is not None
    assert place.offset == 0


async def test_a_stream_that_the_store_kept_goes_on() -> None:
    event = Message("user", "Hi")
    saved = Saved(StreamSettings(), ((4, 0),), tail=1, records=(Record(0, encode(event), event),))
    streams = made(Archive(a=saved))
    stream = await streams.open("a")
    assert (stream.epoch, stream.tail) == (4, 1)
    assert await streams.create("a") == (stream, False)


async def test_two_who_open_at_once_get_the_same_stream() -> None:
    store = Archive(a=Saved(StreamSettings(), ((4, 0),)))
    streams = made(store)
    (made_one, new), opened = await asyncio.gather(
        streams.create("a"), asyncio.gather(*(streams.open("a") for _ in range(3)))
    )
    assert {id(stream) for stream in opened} == {id(made_one)}
    assert not new
    all_created = await asyncio.gather(*(streams.create("b") for _ in range(3)))
    assert len({id(stream) for stream, _ in all_created}) == 1
    assert [new for _, new in all_created].count(True) == 1
    assert sum(isinstance(change, Created) for change in store.noted) == 1


# Where the store has them


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    yield store
    await store.stop()


async def test_at_the_limit_unused_streams_make_room_by_leaving_memory_only(
    kept: SQLiteStore,
) -> None:
    streams = made(kept, streams=2)
    first, _ = await streams.create("a")
    fill(first, 3)
    followed, _ = await streams.create("b")
    reader = Reader(followed)
    await kept.synced()
    await streams.sweep(1.0)
    await streams.sweep(2.0)
    await streams.create("c")
    assert len(streams) == 2
    assert (await streams.open("b")) is followed
    assert (await streams.open("a")).tail == 3
    reader.leave()


async def test_an_unused_stream_leaves_memory_and_is_there_when_asked_for(
    kept: SQLiteStore,
) -> None:
    streams = made(kept, keep_warm=10.0, keep_idle=1000.0)
    stream, _ = await streams.create("a")
    fill(stream, 3)
    position = stream.position
    del stream
    await streams.sweep(1.0)
    await streams.sweep(10.0)
    assert len(streams) == 1
    await streams.sweep(12.0)
    await kept.synced()
    assert len(streams) == 0
    again = await streams.open("a")
    assert again.position == position
    assert again.place(position).reset is None


async def test_flushing_waits_also_for_what_is_shown_only_once_it_is_kept(
    kept: SQLiteStore,
) -> None:
    """The end of a generation is: a drain that did not wait for it would part without it."""
    streams = made(kept)
    stream, _ = await streams.create("a")
    reader = Reader(stream)
    stream.append(Message("user", "Hi"), safe=True)
    assert stream.tail == 0
    await streams.flushed()
    assert reader.place == stream.tail == stream.end == 1


async def test_a_stream_that_goes_while_the_sweep_waits_for_the_store_does_not_stop_it() -> None:
    store = Archive(
        source=Saved(StreamSettings(), ((1, 0),), hidden=True, forks=1),
        fork=Saved(StreamSettings(fork=Fork("source", 0)), ((2, 0),)),
        other=Saved(StreamSettings(), ((3, 0),)),
    )
    store.durable = True
    streams = made(store, keep_idle=10.0, keep_warm=1.0)
    fork, _ = await streams.open("fork"), await streams.open("other")
    await streams.sweep(1.0)
    sweeping = asyncio.create_task(streams.sweep(12.0))
    await asyncio.sleep(0)
    await streams.remove(await streams.open("other"))
    assert not sweeping.done(), "it looks for the source of the fork"
    await sweeping
    assert fork.closed
    assert len(streams) == 0
    removed = [change.stream for change in store.noted if isinstance(change, Removed)]
    assert sorted(removed) == ["fork", "other", "source"]


# Sweeping


@pytest.mark.parametrize("clock", [0.0, 5.0, 10.0**9])
async def test_a_new_stream_is_not_swept_before_its_time_whatever_the_clock_says(
    clock: float,
) -> None:
    """The loop's clock counts from when the machine was started, which may be long ago."""
    streams = made(keep_idle=100.0, keep_closed=10.0)
    stream, _ = await streams.create("a")
    await streams.sweep(clock)
    assert not stream.closed
    await streams.sweep(clock + 99.0)
    assert await streams.open("a") is stream
    await streams.sweep(clock + 101.0)
    with pytest.raises(StreamNotFound):
        await streams.open("a")


async def test_a_closed_stream_is_kept_for_a_while_and_an_open_one_for_longer() -> None:
    streams = made(keep_closed=10.0, keep_idle=100.0)
    (closed, _), (idle, _) = await streams.create("closed"), await streams.create("idle")
    fill(closed)
    fill(idle)
    closed.close()
    await streams.sweep(1000.0)
    await streams.sweep(1009.0)
    assert len(streams) == 2
    await streams.sweep(1011.0)
    with pytest.raises(StreamNotFound):
        await streams.open("closed")
    assert await streams.open("idle") is idle
    await streams.sweep(1101.0)
    assert len(streams) == 0
    assert idle.closed, "whoever still holds it is told, instead of writing into the void"
    with pytest.raises(StreamNotFound):
        fill(idle)


async def test_what_is_written_or_followed_is_in_use_and_stays() -> None:
    streams = made(keep_idle=10.0, keep_closed=10.0)
    written, followed, done = [(await streams.create(name))[0] for name in "abc"]
    written.writer = Writing()
    reader, other = Reader(followed), Reader(done)
    done.close()
    for second in range(0, 100, 5):
        await streams.sweep(float(second))
    assert len(streams) == 3
    written.writer = None
    reader.leave()
    other.leave()
    await streams.sweep(105.0)
    assert len(streams) == 3
    await streams.sweep(116.0)
    assert len(streams) == 0


async def test_every_record_begins_the_time_anew() -> None:
    streams = made(keep_idle=10.0)
    stream, _ = await streams.create("a")
    for second in range(0, 100, 9):
        fill(stream)
        await streams.sweep(float(second))
    assert len(streams) == 1


async def test_over_the_total_closed_streams_go_first_then_idle_ones_the_oldest_before() -> None:
    streams = made(total_bytes=100 * EACH)
    for second, name in enumerate(["idle-old", "closed-old", "idle", "closed"]):
        stream, _ = await streams.create(name)
        fill(stream, 25)
        if name.startswith("closed"):
            stream.close()
        await streams.sweep(float(second))
    assert streams.size == 100 * EACH

    gone: list[str] = []
    names = {"idle-old", "closed-old", "idle", "closed"}
    for second in range(10, 14):
        busy, _ = await streams.create(f"busy-{second}")
        fill(busy, 25)
        busy.writer = Writing()
        await streams.sweep(float(second))
        left = {name for name in names if await _there(streams, name)}
        gone += names - left
        names = left
        assert streams.size <= 100 * EACH
    assert gone == ["closed-old", "closed", "idle-old", "idle"]


async def _there(streams: Streams, name: str) -> bool:
    try:
        await streams.open(name)
    except StreamNotFound:
        return False
    return True


async def test_when_all_that_is_left_is_in_use_everybody_gives_the_same_part() -> None:
    streams = made(total_bytes=100 * EACH)
    kept = [(await streams.create(name))[0] for name in "abc"]
    for stream, count in zip(kept, (20, 60, 120), strict=True):
        fill(stream, count)
        stream.writer = Writing()
    await streams.sweep(1.0)
    assert streams.size <= 100 * EACH
    assert [stream.tail for stream in kept] == [20, 60, 120]
    assert [stream.size for stream in kept] == [10 * EACH, 30 * EACH, 60 * EACH]


async def test_what_was_written_a_moment_ago_is_shrunk_not_forgotten() -> None:
    streams = made(total_bytes=10 * EACH)
    stream, _ = await streams.create("a")
    fill(stream, 30)
    await streams.sweep(1.0)
    assert await streams.open("a") is stream
    assert stream.size <= 10 * EACH
    assert stream.tail == 30


async def test_who_would_be_told_after_the_deletion_waits_for_the_next() -> None:
    streams = made()
    waiters = [Waiting() for _ in range(SLICE + 1)]
    for waiter in waiters:
        streams.awaited.add("a", waiter)
    first, _ = await streams.create("a")
    await streams.remove(await streams.open("a"))
    await asyncio.sleep(0)
    assert [waiter.told for waiter in waiters] == [[first]] * SLICE + [[]]
    second, _ = await streams.create("a")
    assert waiters[-1].told == [second]
