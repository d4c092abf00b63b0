"""One round a tick, one frame an encoder, in slices; and nobody misses or doubles a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.counters import Counters
from hub.domain.events import Message
from hub.domain.stream_settings import StreamSettings
from hub.frames.encoder import Batch, Encoder
from hub.frames.ndjson import LINES
from hub.stores import Saved
from hub.streams.stream import Retention, Stream
from tests.support.fake_stores import FakeStore
from tests.support.strategies import quick


class Offsets:
    """An encoder whose frame is the offsets of the records, so that a test can read it."""

    merges = False

    def __init__(self) -> None:
        self.built = 0

    def events(self, batch: Batch) -> bytes:
        self.built += 1
        return bytes(record.offset for record in batch.records)

    reset = LINES.reset
    closed = LINES.closed
    control = LINES.control
    beat = LINES.beat
    retry = LINES.retry


class Reader:
    """A follower that keeps what it gets; while it is not ``clear`` it falls behind."""

    def __init__(self, stream: Stream, encoder: Encoder, place: int | None = None) -> None:
        self.place = stream.tail if place is None else place
        self.encoder = encoder
        self.clear = True
        self.got: list[int] = []
        self.frames: list[bytes] = []
        self.turns = 0
        self.on_offer: Callable[[], None] | None = None
        self._stream = stream
        stream.subscribe(self)

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        if self.on_offer is not None:
            self.on_offer()
        if self.place == start and self.clear:
            self.frames.append(frame)
            self.got += frame
            self.place = end
        elif self.place < end:
            self.queue_catch_up()

    def queue_catch_up(self) -> None:
        self.turns += 1
        self.clear = False

    async def catch_up(self) -> None:
        """What a connection's writer does when the socket has drained."""
        self.place = max(self.place, self._stream.head)
        while self.place < self._stream.tail:
            batch = await self._stream.fetch(self.place, 3)
            self.got += [record.offset for record in batch.records]
            self.place = batch.position.offset
        self.clear = True

    def leave(self) -> None:
        self._stream.unsubscribe(self)


class Bench:
    """A stream, its counts and an encoder."""

    def __init__(self, *, slice_size: int = 250, max_records: int = 100_000) -> None:
        self.counts = Counters()
        self.encoder = Offsets()
        self.stream = Stream(
            "s",
            counts=self.counts,
            slice_size=slice_size,
            retention=Retention(max_records=max_records),
        )

    def reader(self, place: int | None = None) -> Reader:
        return Reader(self.stream, self.encoder, place)

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.stream.append(Message("user", "Hi"))


async def turn(times: int = 1) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_all_records_of_a_tick_go_out_as_one_frame_that_all_share() -> None:
    bench = Bench()
    readers = [bench.reader() for _ in range(5)]
    bench.append(20)
    assert all(reader.got == [] for reader in readers), "append itself writes to nobody"
    await turn()
    assert all(reader.got == list(range(20)) for reader in readers)
    assert len({id(reader.frames[0]) for reader in readers}) == 1
    assert bench.encoder.built == 1
    assert (bench.counts.flushes, bench.counts.deliveries) == (1, 5)


async def test_a_frame_is_built_once_for_each_encoder_in_use() -> None:
    bench = Bench()
    other = Offsets()
    readers = [Reader(bench.stream, encoder) for encoder in [bench.encoder, other] * 3]
    bench.append()
    await turn()
    assert (bench.encoder.built, other.built) == (1, 1)
    assert all(reader.got == [0] for reader in readers)


async def test_each_tick_with_something_new_has_one_round_and_an_idle_one_has_none() -> None:
    bench = Bench()
    reader = bench.reader()
    for _ in range(3):
        bench.append(2)
        await turn(4)
    assert [list(frame) for frame in reader.frames] == [[0, 1], [2, 3], [4, 5]]
    assert bench.counts.flushes == 3


async def test_without_followers_nothing_is_flushed_and_who_comes_later_gets_what_comes_later() -> (
    None
):
    bench = Bench()
    bench.append(3)
    await turn(2)
    assert (bench.counts.flushes, bench.encoder.built) == (0, 0)
    reader = bench.reader()
    bench.append()
    await turn()
    assert reader.got == [3]


@pytest.mark.parametrize("slice_size", [1, 2, 5, 6])
async def test_between_slices_the_loop_gets_its_turn(slice_size: int) -> None:
    bench = Bench(slice_size=slice_size)
    readers = [bench.reader() for _ in range(5)]
    bench.append()
    served: list[int] = []
    while sum(len(reader.got) for reader in readers) < 5:
        await turn()
        served.append(sum(len(reader.got) for reader in readers))
        assert len(served) <= 5
    steps = [after - before for before, after in zip([0, *served], served, strict=False)]
    assert max(steps) <= slice_size
    assert bench.counts.deliveries == 5


async def test_who_joins_in_the_middle_of_a_round_misses_and_doubles_nothing() -> None:
    bench = Bench(slice_size=1)
    readers = [bench.reader() for _ in range(3)]
    bench.append(2)
    await turn()
    assert [reader.got for reader in readers] == [[0, 1], [], []]
    at_tail, from_start, between = bench.reader(), bench.reader(0), bench.reader(1)
    assert (at_tail.turns, from_start.turns, between.turns) == (0, 1, 1)
    await turn(6)
    bench.append()
    await turn(8)
    await from_start.catch_up()
    await between.catch_up()
    assert at_tail.got == [2]
    assert from_start.got == [0, 1, 2]
    assert between.got == [1, 2]
    assert [reader.got for reader in readers] == [[0, 1, 2]] * 3


async def test_who_leaves_in_the_middle_of_a_round_is_offered_nothing_more() -> None:
    """An unsubscribe that was answered must not be followed by events of that stream."""
    bench = Bench(slice_size=1)
    first, second, third = (bench.reader() for _ in range(3))
    bench.append()
    await turn()
    second.leave()
    await turn(5)
    assert (first.got, second.got, third.got) == ([0], [], [0])
    assert second.turns == 0


async def test_a_round_whose_followers_all_left_ends_and_the_next_one_begins() -> None:
    bench = Bench(slice_size=1)
    readers = [bench.reader() for _ in range(3)]
    bench.append()
    await turn()
    for reader in readers:
        reader.leave()
    bench.append()
    await turn(6)
    late = bench.reader()
    bench.append()
    await turn(3)
    assert late.got == [2]


async def test_records_appended_during_a_round_go_out_by_the_next_one() -> None:
    bench = Bench(slice_size=1)
    readers = [bench.reader() for _ in range(3)]
    readers[0].on_offer = lambda: bench.append() if bench.stream.tail < 4 else None
    bench.append()
    await turn(30)
    assert [reader.got for reader in readers] == [[0, 1, 2, 3]] * 3
    assert bench.counts.flushes == 4


async def test_what_is_appended_during_a_round_joins_the_slices_still_to_come_in_it() -> None:
    """So that under load records go out together instead of one behind the other."""
    bench = Bench(slice_size=1)
    readers = [bench.reader() for _ in range(3)]
    bench.append()
    await turn()
    bench.append()
    await turn(8)
    assert [[list(frame) for frame in reader.frames] for reader in readers] == [
        [[0], [1]],
        [[0, 1]],
        [[0, 1]],
    ]
    assert bench.encoder.built == 3, "one for each place"
    assert bench.counts.flushes == 2


async def test_it_is_known_when_everything_has_been_offered_to_everybody() -> None:
    bench = Bench(slice_size=1)
    assert bench.stream.fanout.flushed(0)
    bench.append()
    assert bench.stream.fanout.flushed(1), "there is nobody to offer it to"
    readers = [bench.reader() for _ in range(3)]
    bench.append()
    waited = 0
    while not bench.stream.fanout.flushed(2):
        assert sum(reader.got == [1] for reader in readers) < 3 or waited < 5
        await turn()
        waited += 1
    assert [reader.got for reader in readers] == [[1]] * 3
    assert waited >= 3
    bench.append()
    assert bench.stream.fanout.flushed(2)
    assert not bench.stream.fanout.flushed(3)


async def test_who_is_behind_is_left_alone_until_it_has_caught_up() -> None:
    bench = Bench()
    slow, quick_one = bench.reader(), bench.reader()
    slow.clear = False
    for _ in range(5):
        bench.append(2)
        await turn()
    assert (slow.got, quick_one.got) == ([], list(range(10)))
    await slow.catch_up()
    bench.append()
    await turn()
    assert slow.got == quick_one.got == list(range(11))


async def test_a_burst_larger_than_the_retention_leaves_everybody_behind() -> None:
    bench = Bench(max_records=5)
    readers = [bench.reader() for _ in range(3)]
    bench.append(12)
    await turn()
    assert [reader.got for reader in readers] == [[]] * 3
    assert [reader.turns for reader in readers] == [1] * 3
    for reader in readers:
        await reader.catch_up()
        assert reader.got == [7, 8, 9, 10, 11]
    bench.append()
    await turn()
    assert readers[0].got[-1] == 12


async def test_a_burst_as_large_as_the_retention_is_one_frame() -> None:
    bench = Bench(max_records=5)
    reader = bench.reader()
    bench.append(5)
    await turn()
    assert reader.got == list(range(5))


async def test_what_is_trimmed_during_a_round_still_goes_out_in_it() -> None:
    bench = Bench(slice_size=1, max_records=5)
    readers = [bench.reader() for _ in range(2)]
    bench.append(3)
    await turn()
    bench.append(5)
    await turn(6)
    assert [reader.got for reader in readers] == [list(range(8))] * 2


async def test_where_a_character_began_in_what_left_memory_its_reader_turns_to_the_store() -> None:
    """A round has no time to read it, and half a character must not go out as one."""
    saved = Saved(StreamSettings("text/plain"), ((0, 0),))
    stream = Stream("s", saved, store=FakeStore(), retention=Retention(warm_bytes=1))
    reader = Reader(stream, Offsets())
    first, second = "\N{GRINNING FACE}".encode()[:2], "\N{GRINNING FACE}".encode()[2:]
    stream.append_body(first, None)
    await turn(2)
    assert (reader.got, reader.turns) == ([0], 0)
    stream.append_body(second, None)
    assert stream.warm == reader.place == 1
    await turn(2)
    assert (reader.got, reader.turns) == ([0], 1)
    assert (await stream.fetch(1, 100)).lead == first


async def test_closing_turns_to_each_follower_after_the_last_record() -> None:
    bench = Bench(slice_size=2)
    readers = [bench.reader() for _ in range(5)]
    bench.append()
    bench.stream.close()
    await turn(6)
    assert [(reader.got, reader.turns) for reader in readers] == [([0], 1)] * 5


async def test_closing_in_the_middle_of_a_round_waits_for_its_end() -> None:
    bench = Bench(slice_size=1)
    readers = [bench.reader() for _ in range(3)]
    bench.append()
    await turn()
    bench.stream.close()
    await turn(8)
    assert [reader.got for reader in readers] == [[0]] * 3
    assert all(reader.turns for reader in readers)


async def test_who_joins_a_closed_stream_is_turned_to_at_once() -> None:
    bench = Bench()
    bench.append()
    bench.stream.close()
    assert bench.reader().turns == 1
    assert bench.reader(0).turns == 1


async def test_a_follower_counts_until_it_leaves() -> None:
    bench = Bench()
    reader = bench.reader()
    assert bench.stream.in_use
    assert len(bench.stream.fanout) == 1
    reader.leave()
    reader.leave()
    assert not bench.stream.in_use


Step = tuple[str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "join", "rejoin", "leave", "slow", "catch up", "turn"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


@quick
@given(steps, st.integers(1, 4))
def test_whatever_happens_each_follower_gets_each_record_from_its_place_on_once(
    schedule: list[Step], slice_size: int
) -> None:
    asyncio.run(_follow(schedule, slice_size))


async def _follow(schedule: list[Step], slice_size: int) -> None:
    bench = Bench(slice_size=slice_size)
    here: list[tuple[int, Reader]] = []
    gone: list[tuple[int, int, Reader]] = []
    for what, number in schedule:
        chosen = number % len(here) if here else None
        if what == "append":
            bench.append(number)
        elif what == "turn":
            await turn()
        elif what in ("join", "rejoin"):
            place = max(0, bench.stream.tail - number) if what == "rejoin" else bench.stream.tail
            here.append((place, bench.reader(place)))
        elif chosen is not None and what == "leave":
            place, reader = here.pop(chosen)
            reader.leave()
            gone.append((place, len(reader.got), reader))
        elif chosen is not None and what == "slow":
            here[chosen][1].clear = False
        elif chosen is not None:
            await here[chosen][1].catch_up()
    await turn(60)
    for place, reader in here:
        await reader.catch_up()
        assert reader.got == list(range(place, bench.stream.tail))
    for place, count, reader in gone:
        assert reader.got == list(range(place, place + count)), "it got more after it left"
