"""Where readers stand in a stream, across its lives, and what they are handed from there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import Conflict, Gone, StoreError
from hub.domain.events import Message, encode
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.frames.coalesce import SPAN as S
from hub.stores import Saved
from hub.stores.memory import MemoryStore
from hub.streams.history import EVENTS_BYTES, SLICE, History, Place, Reset
from tests.support.loop_rounds import Rounds

TEXT = StreamSettings("text/plain")
LIMIT = 1024 * 1024


class FakeStore(MemoryStore):
    """A store that has some records and takes a moment to bring them."""

    durable = True

    def __init__(self, records: Sequence[Record] = ()) -> None:
        super().__init__()
        self.records = list(records)
        self.reads: list[int] = []
        self.fails = False
        self.others: set[int] = set()
        """Epochs of other timelines."""

    def lived(self, epoch: int) -> bool:
        return epoch not in self.others

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        self.reads.append(offset)
        await asyncio.sleep(0)
        if self.fails:
            raise StoreError("no disk")
        found: list[Record] = []
        for record in self.records:
            if record.offset >= offset:
                found.append(record)
                if sum(len(one.body) for one in found) >= limit:
                    break
        return found


def record(offset: int, body: bytes = b"x") -> Record:
    return Record(offset, body, None)


def history(
    *lives: tuple[int, int],
    head: int = 0,
    tail: int = 10,
    warm: int | None = None,
    settings: StreamSettings = TEXT,
    store: MemoryStore | None = None,
) -> History:
    """A stream of the digits of its offsets, those from ``warm`` on in memory."""
    warm = head if warm is None else warm
    records = [record(at, b"%d" % (at % 10)) for at in range(tail)]
    saved = Saved(settings, lives or ((0, 0),), head, tail, tuple(records[warm:]))
    return History("s", saved, store or FakeStore(records[head:]))


async def bodies(of: History, offset: int, limit: int = LIMIT) -> bytes:
    return b"".join(record.body for record in (await of.fetch(offset, limit)).records)


# Places


def test_a_reader_begins_at_the_start_or_now() -> None:
    of = history(head=3)
    assert of.place("start") == Place(3)
    assert of.place("now") == Place(10)
    assert of.position == Position(0, 10)


@pytest.mark.parametrize("offset", [0, 4, 10])
def test_a_reader_of_the_present_life_goes_on(offset: int) -> None:
    assert history().place(Position(0, offset)) == Place(offset)


@pytest.mark.parametrize(
    ("position", "place"),
    [
        # What the first life wrote before the second began is in both.
        (Position(1, 4), Place(4)),
        (Position(1, S), Place(S)),
        # What it wrote after that is no more; the place has the name that it was given then.
        (Position(1, S + 1), Place(S, Reset(Position(1, S), "unwritten"))),
        (Position(1, 99 * S), Place(S, Reset(Position(1, S), "unwritten"))),
        # A life between them, of which nothing was kept.
        (Position(2, S), Place(S)),
        (Position(2, S + 1), Place(S, Reset(Position(1, S), "unwritten"))),
        # Between two boundaries, where a merged delta may stand, nobody is sent.
        (Position(3, S + 8), Place(S + 8)),
        (Position(3, S + 9), Place(S, Reset(Position(1, S), "unwritten"))),
        (Position(4, 2 * S), Place(2 * S)),
        # Nobody was ever given these.
        (Position(4, 2 * S + 1), Place(0, Reset(Position(0, 0), "unwritten"))),
        (Position(5, 2), Place(0, Reset(Position(0, 0), "unwritten"))),
    ],
)
def test_a_reader_of_an_earlier_life_goes_back_to_a_boundary_before_its_end(
    position: Position, place: Place
) -> None:
    assert history((1, 0), (3, S), (4, S + 8), tail=2 * S).place(position) == place


@pytest.mark.parametrize("epoch", [0, 2, 6])
@pytest.mark.parametrize("offset", [1, 4, 7, 10])
def test_a_reader_of_a_copy_that_went_its_own_way_begins_again(epoch: int, offset: int) -> None:
    """Also where the epoch lies between ours, and the offset before the start of the next."""
    store = FakeStore()
    store.others = {0, 2, 6}
    of = history((1, 0), (3, 5), (4, 8), store=store)
    assert of.place(Position(epoch, offset)) == Place(0, Reset(Position(0, 0), "unwritten"))


def test_a_reader_of_nothing_has_nothing_to_forget() -> None:
    store = FakeStore()
    store.others = {0, 2}
    of = history((1, 0), (3, 5), store=store)
    assert of.place(Position(0, 0)) == of.place(Position(2, 0)) == Place(0)


def test_who_has_read_what_is_no_more_forgets_that_and_then_hears_of_the_head() -> None:
    of = history((0, 0), (2, 5), head=7)
    for offset in (6, 9):
        reset = Reset(Position(0, 0), "unwritten")
        assert of.place(Position(0, offset)) == Place(0, reset)
    assert of.place(Position(0, 0)) == Place(7, Reset(Position(2, 7), "trimmed"))
    assert of.place(Position(0, 5)) == Place(7, Reset(Position(2, 7), "trimmed"))
    assert of.place(Position(2, 7)) == Place(7)


def test_a_reader_before_the_head_is_sent_to_it() -> None:
    of = history(head=7)
    assert of.place(Position(0, 6)) == Place(7, Reset(Position(0, 7), "trimmed"))
    assert of.trimmed() == Reset(Position(0, 7), "trimmed")


life = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))


@given(st.lists(life, min_size=1, max_size=6))
def test_after_any_crashes_every_reader_holds_what_is_there_or_is_sent_back(
    lives: list[tuple[int, int, int]],
) -> None:
    """P1 and P4: each life writes some records and a crash takes some of its last ones."""
    there: list[str] = []
    epochs: list[tuple[int, int]] = []
    readers: list[tuple[Position, list[str]]] = []
    for epoch, (written, lost, read) in enumerate(lives, start=1):
        begins = len(there)
        there += [f"{epoch}.{number}" for number in range(written)]
        seen = max(0, len(there) - read)
        readers.append((Position(epoch, seen), there[:seen]))
        readers.append((Position(epoch, len(there)), list(there)))
        del there[max(begins, len(there) - lost) :]
        if len(there) > begins:
            epochs.append((epoch, begins))
    epochs.append((len(lives) + 1, len(there)))
    now = History("s", Saved(TEXT, tuple(epochs), 0, len(there)), FakeStore())
    for position, seen_by in readers:
        place = now.place(position)
        assert seen_by[: place.offset] == there[: place.offset]
        assert len(seen_by) >= place.offset, "a hole"
        if place.reset is None:
            assert place.offset == len(seen_by)
        else:
            assert seen_by != there[: len(seen_by)], "sent back for nothing"


# Reading


async def test_what_is_in_memory_is_read_there() -> None:
    fake_store = FakeStore()
    of = history(warm=6, store=fake_store, settings=StreamSettings())
    assert await bodies(of, 6) == b"6789"
    assert fake_store.reads == []


async def test_what_is_not_comes_from_the_store_with_no_seam() -> None:
    of = history(warm=6)
    offset, read = 0, b""
    while offset < of.tail:
        batch = await of.fetch(offset, 2)
        read += b"".join(r.body for r in batch.records)
        assert batch.position == Position(0, offset + len(batch.records))
        offset = batch.position.offset
    assert read == b"0123456789"
    assert batch.latest


async def test_a_batch_never_goes_across_the_start_of_a_life() -> None:
    for warm in (0, 10):
        of = history((1, 0), (2, 4), (5, 7), warm=warm)
        ends = []
        offset = 0
        while offset < of.tail:
            batch = await of.fetch(offset, LIMIT)
            offset = batch.position.offset
            ends.append((batch.position, batch.latest))
        assert ends == [(Position(1, 4), False), (Position(2, 7), False), (Position(5, 10), True)]


async def test_a_batch_holds_its_limit_and_at_least_one_record() -> None:
    for warm in (0, 10):
        of = history(warm=warm)
        assert await bodies(of, 3, 4) == b"3456"
        assert await bodies(of, 3, 0) == b"3"


async def test_who_reads_the_same_at_the_same_time_reads_it_once() -> None:
    fake_store = FakeStore([record(at) for at in range(10)])
    of = history(warm=10, store=fake_store, settings=StreamSettings())
    read = await asyncio.gather(*(of.fetch(0, LIMIT) for _ in range(50)))
    assert len({batch.position for batch in read}) == 1
    assert fake_store.reads == [0]


async def test_who_leaves_while_it_reads_leaves_the_others_alone() -> None:
    of = history(warm=10, settings=StreamSettings())
    leaving, staying = (asyncio.create_task(of.fetch(0, LIMIT)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len((await staying).records) == 10
    assert leaving.cancelled()


async def test_what_the_store_cannot_read_is_an_error_of_its_own() -> None:
    fake_store = FakeStore()
    fake_store.fails = True
    of = history(warm=10, store=fake_store, settings=StreamSettings())
    with pytest.raises(StoreError, match="no disk"):
        await of.fetch(0, LIMIT)


async def test_what_was_trimmed_while_it_was_read_is_not_taken_for_something_else() -> None:
    """The store then begins with a later record than was asked for."""
    of = history(
        warm=10, settings=StreamSettings(), store=FakeStore([record(at) for at in range(5, 10)])
    )
    reading = asyncio.create_task(of.fetch(2, LIMIT))
    await asyncio.sleep(0)
    of.trim(5)
    batch = await reading
    assert (batch.records, batch.position.offset) == ([], 2)
    assert of.place(batch.position) == Place(5, Reset(Position(0, 5), "trimmed"))


async def test_what_is_committed_and_not_shown_yet_is_not_read() -> None:
    of = history(
        tail=5, warm=5, settings=StreamSettings(), store=FakeStore([record(at) for at in range(10)])
    )
    batch = await of.fetch(0, LIMIT)
    assert (len(batch.records), batch.position.offset, batch.latest) == (5, 5, True)
    assert [len(records) async for records in of.stretches()] == [5]


async def test_what_was_read_is_let_go_of_once_it_is_not_used() -> None:
    fake_store = FakeStore([record(at) for at in range(10)])
    of = history(warm=10, store=fake_store, settings=StreamSettings())
    for rests, reads in [(0, [0]), (1, [0]), (1, [0]), (2, [0, 3])]:
        for _ in range(rests):
            of.age_reads()
        assert len((await of.fetch(3 if fake_store.reads else 0, LIMIT)).records) in (7, 10)
        assert fake_store.reads == reads


async def test_text_comes_with_the_bytes_before_it() -> None:
    for warm in (0, 5, 10):
        of = history(warm=warm)
        assert (await of.fetch(5, 2)).lead == b"234"
        assert (await of.fetch(1, 2)).lead == b"0"
        assert (await of.fetch(0, 2)).lead == b""


async def test_events_are_read_from_anywhere() -> None:
    said = [Message("user", str(at), None, None) for at in range(6)]
    records = [Record(at, encode(event), event) for at, event in enumerate(said)]
    records[2] = Record(2, b"42", None)
    for warm in (0, 3, 6):
        saved = Saved(StreamSettings(), ((0, 0), (1, 4)), 1, 6, tuple(records[max(1, warm) :]))
        of = History("s", saved, FakeStore(records))
        assert [event async for event in of.events()] == [said[1], *said[3:]]
        assert [event async for event in of.events(4)] == said[4:]
        assert [event async for event in of.events(6)] == []


@pytest.mark.parametrize("warm", [0, 5000])
async def test_the_loop_serves_others_after_each_slice_of_a_walk(warm: int) -> None:
    stream = history(tail=5000, warm=warm)
    with Rounds() as rounds:
        async for records in stream.stretches():
            rounds.note(len(records))
    assert sum(rounds.noted.values()) == 5000
    assert rounds.most <= SLICE


async def test_a_slice_of_a_walk_is_bounded_in_bytes() -> None:
    body = b"x" * (EVENTS_BYTES // 4)
    records = tuple(record(at, body) for at in range(20))
    stream = History("s", Saved(TEXT, ((0, 0),), 0, 20, records), FakeStore())
    assert [len(part) async for part in stream.stretches()] == [4] * 5


async def test_a_walk_of_one_slice_does_not_wait() -> None:
    with Rounds() as rounds:
        assert [len(part) async for part in history(tail=SLICE).stretches()] == [SLICE]
    assert rounds.count == 1


async def test_batches_are_of_one_life_each_and_leave_nothing_out() -> None:
    stream = history((0, 0), (3, 4), (5, 300), tail=1000)
    batches = [batch async for batch in stream.batches(2)]
    offsets = [one.offset for batch in batches for one in batch.records]
    assert offsets == list(range(2, 1000))
    assert [batch.position.epoch for batch in batches][:3] == [0, 3, 3]
    assert batches[-1].position == stream.position
    assert [batch.latest for batch in batches] == [False] * (len(batches) - 1) + [True]


async def test_batches_do_not_skip_what_is_no_longer_kept() -> None:
    with pytest.raises(Gone):
        _ = [batch async for batch in history(head=3).batches(2)]
    stream = history(tail=5000, store=FakeStore())
    reading = stream.batches(0)
    assert (await anext(reading)).position.offset == SLICE
    stream.trim(5000)
    with pytest.raises(Gone):
        _ = [batch async for batch in reading]


async def test_the_events_of_a_stream_that_went_away_come_to_an_end() -> None:
    of = history(warm=10, settings=StreamSettings(), store=FakeStore())
    assert [event async for event in of.events()] == []


def test_only_json_holds_events() -> None:
    history(settings=StreamSettings()).expect_events()
    with pytest.raises(Conflict) as refused:
        history(settings=TEXT).expect_events()
    assert refused.value.code == "not_json"


# Keeping


def test_what_leaves_memory_is_counted() -> None:
    of, each = history(), record(0).size
    of.cool(4)
    assert (of.head, of.warm, of.size) == (0, 4, 6 * each)
    of.trim(7)
    assert (of.head, of.warm, of.size) == (7, 7, 3 * each)
    of.cool(2)
    assert (of.head, of.warm, of.size) == (7, 7, 3 * each)
    of.trim(99)
    assert (of.head, of.warm, of.size, of.tail) == (10, 10, 0, 10)
    assert of.last is None


@given(st.lists(st.tuples(st.sampled_from(["cool", "trim"]), st.integers(0, 40)), max_size=12))
async def test_however_it_shrinks_what_is_left_is_what_was_there(steps: list[Any]) -> None:
    of = history(tail=40, settings=StreamSettings())
    for step, offset in steps:
        getattr(of, step)(offset)
        assert of.head <= of.warm <= of.tail
        assert of.size == (of.tail - of.warm) * record(0).size
        read = await bodies(of, of.warm)
        assert read == b"".join(b"%d" % (at % 10) for at in range(of.warm, 40))
        if of.warm < of.tail:
            assert of.last is not None
            assert of.last.offset == 39
