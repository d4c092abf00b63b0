"""What a stream shows to readers before and after the store has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.domain.events import Finished, Message
from hub.domain.producers import Stamp
from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Accepted, Appended, Change, Closed, Raised, Saved, Sequenced
from hub.stores.memory import MemoryStore
from hub.streams.stream import Retention, Stream


class Slow(MemoryStore):
    """A durable store that commits when it is told to."""

    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Change] = []
        self.waiting: list[Callable[[], None]] = []

    def note(self, change: Change) -> None:
        self.noted.append(change)

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        del stream
        self.waiting.append(done)

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done()


def made(**more: Any) -> tuple[Stream, Slow]:
    store = Slow()
    saved = Saved(StreamSettings(), ((0, 0),))
    return Stream("s", saved, store=store, **more), store


SAID = Message("user", "hello", None, None)


async def test_a_record_is_shown_at_once() -> None:
    stream, _ = made()
    stream.append(SAID)
    assert (stream.tail, stream.end) == (1, 1)


async def test_with_committed_it_is_shown_with_its_commit() -> None:
    stream, store = made(deliver="committed")
    stream.append(SAID)
    assert (stream.tail, stream.end) == (0, 1)
    assert (await stream.fetch(0, 1000)).records == []
    store.commit()
    stream.append(SAID)
    assert (stream.tail, stream.end) == (1, 2)
    assert len((await stream.fetch(0, 1000)).records) == 1


async def test_an_end_is_shown_once_it_is_committed() -> None:
    """Its reader goes away for good: it would not hear that a crash has made another end."""
    stream, store = made()
    stream.append(SAID)
    stream.append(Finished("g", "stop"), safe=True)
    assert (stream.tail, stream.end) == (1, 2)
    store.commit()
    assert stream.tail == 2


async def test_what_comes_after_waits_for_what_came_before() -> None:
    stream, store = made()
    stream.append(Finished("g", "stop"), safe=True)
    stream.append(SAID)
    assert (stream.tail, stream.end) == (0, 2)
    store.commit()
    assert stream.tail == 2
    stream.append(SAID)
    assert stream.tail == 3


async def test_a_close_is_shown_once_it_is_committed() -> None:
    stream, store = made()
    stream.append(SAID)
    stream.close()
    assert (stream.sealed, stream.closed, stream.tail) == (True, False, 1)
    store.commit()
    assert stream.closed


async def test_what_is_written_together_is_noted_together() -> None:
    stream, store = made(epoch=3)
    stamp = Stamp("p", 0, 0)
    stream.write([(b"1", None), (b"2", None)], stamp=stamp, sequence="x", close=True)
    kinds = [type(change) for change in store.noted]
    assert kinds == [Raised, Appended, Appended, Accepted, Sequenced, Closed]
    assert stream.closed_by == stamp


async def test_a_new_life_is_noted_with_its_first_record_only() -> None:
    stream, store = made(epoch=3)
    assert stream.epoch == 3
    assert store.noted == []
    stream.append(SAID)
    stream.append(SAID)
    assert [change for change in store.noted if type(change) is Raised] == [Raised("s", 3, 0)]


@pytest.mark.parametrize("burst", [30, 500])
async def test_records_leave_memory_once_the_store_has_them(burst: int) -> None:
    each = Record(0, b"x" * 100, None).size
    stream, store = made(retention=Retention(warm_bytes=10 * each))
    for _ in range(burst):
        stream.append_body(b"x" * 100, None)
    assert stream.warm == 0, "nothing leaves before it is committed"
    assert len(store.waiting) == 1
    while store.waiting:
        store.commit()
    assert stream.size <= 20 * each
    assert stream.head == 0, "it is in the store"
    assert stream.last is not None
