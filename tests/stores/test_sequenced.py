"""What the store of a coordinator keeps besides: it comes back, also in the file of a hub alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import apsw
import pytest

from hub.domain.records import Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Appended, Began, Change, Created, Ended, Raised, Removed
from hub.stores.sequenced import Counted, Runs
from hub.stores.shared import Claim
from hub.stores.sqlite import SQLiteStore, sequenced
from hub.stores.sqlite.bodies import INLINE_BYTES
from hub.stores.sqlite.sequenced import SequencedSQLiteStore
from hub.stores.sqlite.writer import Writer
from tests.support.clock import Clock

BYTES = StreamSettings("application/octet-stream")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SequencedSQLiteStore]:
    opened = SequencedSQLiteStore(path)
    await opened.start()
    yield opened
    await opened.stop()


def appended(name: str, *bodies: bytes, first: int = 0) -> list[Change]:
    return [Appended(name, Record(at, body, None)) for at, body in enumerate(bodies, first)]


async def note(store: SQLiteStore, *changes: Change) -> None:
    for change in changes:
        store.note(change)
    await store.synced()


async def test_what_was_counted_comes_back_after_a_restart(
    store: SequencedSQLiteStore, path: Path
) -> None:
    await note(
        store,
        Created("s", BYTES, ((5, 0),)),
        *appended("s", b"0", b"1"),
        Began("s", "g", Position(5, 0), 1),
        Counted("s", 5, 5, 1, 1, "n"),
        Counted("s", 5, 6, 2, 2, "n", cancelled=True),
    )
    await store.stop()
    again = SequencedSQLiteStore(path)
    assert [one.generation for one in await again.start()] == ["g"]
    kept = await again.kept("s")
    assert kept is not None
    assert kept.counted == Counted("s", 5, 6, 2, 2, "n", cancelled=True)
    assert kept.running == Runs("g", 5, 0, 1)
    assert (kept.saved.tail, kept.saved.epochs, kept.forks) == (2, ((5, 0),), frozenset())
    await note(again, Ended("s", "g", 1))
    ended = await again.kept("s")
    assert ended is not None
    assert ended.running is None
    await again.stop()


async def test_a_stream_of_a_hub_alone_has_not_been_counted(path: Path) -> None:
    alone = SQLiteStore(path)
    await alone.start()
    await note(alone, Created("s", BYTES, ((5, 0),)), *appended("s", b"0"))
    await alone.stop()
    store = SequencedSQLiteStore(path)
    await store.start()
    kept = await store.kept("s")
    assert kept is not None
    assert (kept.counted, kept.saved.tail) == (None, 1)
    assert await store.kept("t") is None
    (listed,) = await store.listed("", "", 10, 0.0)
    assert listed.tail == Position(5, 1), "it is in its own epoch until it is written to"
    assert listed.running is None
    await note(store, Began("s", "g", Position(5, 0), 0))
    assert [one.running for one in await store.listed("", "", 10, 0.0)] == ["g"]
    await store.stop()


async def test_forks_are_known_by_name_and_what_is_removed_leaves_nothing(
    store: SequencedSQLiteStore, path: Path
) -> None:
    fork = StreamSettings("", fork=Fork("s", 0))
    await note(
        store,
        Created("s", BYTES, ((5, 0),)),
        *(Created(name, fork, ((6, 0),)) for name in "fg"),
        Counted("f", 6, 6, 1),
    )
    kept = await store.kept("s")
    assert kept is not None
    assert kept.forks == {"f", "g"}
    await note(store, Removed("f", "s"))
    kept = await store.kept("s")
    assert kept is not None
    assert kept.forks == {"g"}
    with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as database:
        assert database.execute("SELECT count(*) FROM counted").get == 0


@pytest.mark.parametrize(
    ("end", "limit", "expected"),
    [(5, 100, [0, 1, 2, 3, 4]), (3, 100, [0, 1, 2]), (5, 3, [3, 4]), (5, 1, [4]), (5, 0, [])],
)
async def test_the_newest_records_come_in_order(
    store: SequencedSQLiteStore, end: int, limit: int, expected: list[int]
) -> None:
    await note(store, Created("s", BYTES, ((5, 0),)), *appended("s", *[b"xx"] * 5))
    assert [one.offset for one in await store.newest("s", end, limit)] == expected
    assert await store.newest("t", 9, 100) == []


async def test_another_life_is_above_all_that_anybody_knows(store: SequencedSQLiteStore) -> None:
    first = store.life
    assert await store.begin_life(0) > first
    far = store.epoch() + 2**40
    assert await store.begin_life(far) > far
    assert store.epoch() > store.life > far
    assert store.epoch_above(store.epoch() + 7) == store.epoch()
    before = store.epoch()
    assert store.epoch_above(3) == before


@pytest.mark.parametrize("size", [1, INLINE_BYTES, INLINE_BYTES + 1])
async def test_only_records_that_are_missing_are_put_back(
    store: SequencedSQLiteStore, path: Path, size: int
) -> None:
    records = [Record(at, b"%d" % at * size, None) for at in range(3)]
    bodies = [one.body for one in records]
    await note(store, Created("s", BYTES, ((5, 0),)), *appended("s", *bodies))
    with apsw.Connection(str(path)) as database:
        database.execute("DELETE FROM bodies WHERE id = (SELECT body FROM records WHERE offset=1)")
        database.execute("DELETE FROM records WHERE offset = 1")
    await store.heal("s", records)
    await store.heal("nobody's", records)
    found = await store.read("s", 0, 10_000)
    assert [(one.offset, one.body) for one in found] == list(enumerate(bodies))
    assert [one.body for one in await store.newest("s", 3, 10_000)] == bodies
    with apsw.Connection(str(path)) as database:
        kept = database.execute("SELECT count(*) FROM bodies").get
    assert kept == (3 if size > INLINE_BYTES else 0)


async def test_a_key_stands_for_what_it_was_first_used_for(
    store: SequencedSQLiteStore, path: Path
) -> None:
    one, two = Claim(b"\0\xff", "s", 7), Claim(b"2", "t")
    assert await store.claimed("k") is None
    assert await store.claim("k", one, 60) == one
    assert await store.claim("k", two, 60) == one
    assert await store.claim("short", one, 0.01) == one
    await asyncio.sleep(0.05)
    assert await store.claimed("short") is None
    assert await store.claim("short", two, 60) == two
    assert await store.claimed("k") == one
    await store.stop()
    again = SequencedSQLiteStore(path)
    await again.start()
    assert await again.claim("k", two, 60) == one, "also after a restart"
    await again.stop()


async def test_an_epoch_that_was_raised_is_kept_beside_the_count(
    store: SequencedSQLiteStore,
) -> None:
    await note(
        store,
        Created("s", BYTES, ((5, 0),)),
        *appended("s", b"0"),
        Raised("s", 9, 1),
        *appended("s", b"1", first=1),
        Counted("s", 5, 9, 3),
    )
    kept = await store.kept("s")
    assert kept is not None
    assert kept.saved.epochs == ((5, 0), (9, 1))


async def test_what_comes_soon_after_a_commit_shares_the_next_one(
    store: SequencedSQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequenced, "PACE_SECONDS", 5.0)
    clock = Clock(monkeypatch)
    groups: list[int] = []
    write = Writer.write

    def counted(writer: Writer, changes: Sequence[Change]) -> Mapping[str, str]:
        groups.append(len(changes))
        return write(writer, changes)

    monkeypatch.setattr(Writer, "write", counted)
    await note(store, Created("s", BYTES, ((5, 0),)))
    waiting = []
    for offset in range(3):
        store.note(*appended("s", b"x", first=offset))
        waiting.append(asyncio.create_task(store.synced()))
        await asyncio.sleep(0.01)
    clock.leap(5)
    await asyncio.gather(*waiting)
    assert groups == [1, 3]
