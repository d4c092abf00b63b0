"""One contract, kept by every store: what was noted and synced comes back, whatever happened.

A driver opens a store on what it kept, and makes it crash: what was not synced may be lost
then. What only one store promises is below, under its name.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import apsw
import pytest

from hub.domain.errors import StoreError
from hub.domain.events import Message, encode
from hub.domain.generation_request import GenerationRequest
from hub.domain.producers import Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Change,
    Closed,
    Created,
    Ended,
    GenerationLocation,
    Hidden,
    Keyed,
    QueueSet,
    Raised,
    Removed,
    Saved,
    Sequenced,
    Store,
    Touched,
    Trimmed,
    Unended,
)
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite import epochs as sqlite_lives
from hub.stores.sqlite import store as sqlite_store
from hub.stores.sqlite.bodies import INLINE_BYTES
from hub.stores.sqlite.schema import VERSION
from hub.stores.sqlite.writer import KEYS, SWEPT, Writer
from hub.streams.history import Place
from hub.streams.stream import Stream
from tests.faults.full_disk import FullDisk
from tests.support.fake_stores import reading_connections
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE

BYTES = StreamSettings("application/octet-stream")
LIMIT = 1024 * 1024

# Drivers


class Driver(Protocol):
    """One kind of store, and the place where it keeps things."""

    def open(self) -> Store:
        """A store on what was kept so far; not started."""

    async def crash(self, store: Store) -> None:
        """End it as a crash would: what is not safe yet may be lost."""


class Volatile:
    def __init__(self, folder: Path) -> None:
        del folder

    def open(self) -> Store:
        return MemoryStore()

    async def crash(self, store: Store) -> None:
        await store.stop()


class InSQLite:
    """A crash leaves the files as they are in the middle of whatever the store does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hub.db"

    def open(self) -> SQLiteStore:
        return SQLiteStore(self.path)

    async def crash(self, store: Store) -> None:
        self._copy()
        await store.stop()
        self._put_back()

    def _copy(self) -> None:
        for file in (self.path, Path(f"{self.path}-wal")):
            if file.exists():
                shutil.copyfile(file, f"{file}.left")

    def _put_back(self) -> None:
        for file in (self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
            file.unlink(missing_ok=True)
            left = Path(f"{file}.left")
            if left.exists():
                left.rename(file)


class Opened:
    """A driver, and the store that is open now."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.store = driver.open()

    def note(self, *changes: Change) -> None:
        for change in changes:
            self.store.note(change)

    async def keep(self, *changes: Change) -> None:
        self.note(*changes)
        await self.store.synced()

    async def leave(self, how: str) -> list[Unended]:
        """Stop or crash, and open again; what was running."""
        await (self.store.stop() if how == "stop" else self._driver.crash(self.store))
        self.store = self._driver.open()
        return await self.store.start()

    async def load(self, stream: str) -> Saved:
        saved = await self.store.load(stream)
        assert saved is not None
        return saved

    async def bodies(self, stream: str, offset: int = 0) -> list[tuple[int, bytes]]:
        """All of a stream from an offset on, read bit by bit."""
        found: list[tuple[int, bytes]] = []
        while records := await self.store.read(stream, offset, 10):
            found += [(record.offset, record.body) for record in records]
            offset = records[-1].offset + 1
        return found


DURABLE: list[Callable[[Path], Driver]] = [InSQLite]
ENDS = ("stop", "crash")


@pytest.fixture(params=[Volatile, *DURABLE])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    opened = Opened(request.param(tmp_path))
    await opened.store.start()
    yield opened
    await opened.store.stop()


@pytest.fixture(params=DURABLE)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    opened = Opened(request.param(tmp_path))
    await opened.store.start()
    yield opened
    await opened.store.stop()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Opened]:
    opened = Opened(InSQLite(tmp_path))
    await opened.store.start()
    yield opened
    await opened.store.stop()


def created(stream: str, settings: StreamSettings = BYTES, *, epoch: int = 0) -> Created:
    return Created(stream, settings, ((epoch, 0),))


def began(stream: str, generation: str, at: int = 0) -> Began:
    return Began(stream, generation, Position(3, at), at + 1)


def appended(stream: str, *bodies: bytes, start: int = 0) -> list[Change]:
    return [Appended(stream, Record(at, body, None)) for at, body in enumerate(bodies, start)]


def forked(stream: str, source: str, offset: int, head: int = 0) -> Created:
    settings = StreamSettings(BYTES.content_type, fork=Fork(source, offset))
    return Created(stream, settings, ((0, 0), (1, offset)), head)


# Every store


async def test_what_never_was_is_not_found(any_store: Opened) -> None:
    assert await any_store.store.load("nothing") is None
    assert await any_store.store.read("nothing", 0, LIMIT) == []
    assert await any_store.store.keyed("nothing") is None
    assert await any_store.store.expired(10.0**12) == []
    assert await any_store.store.listed("", "", 10, 0.0) == []


async def test_whoever_waits_is_called_in_order(any_store: Opened) -> None:
    called: list[int] = []
    for number in range(5):
        any_store.note(created(f"s{number}"))
        any_store.store.after(lambda number=number: called.append(number))  # type: ignore[misc]  # a lambda's default
        if number % 2:
            await asyncio.sleep(0)
    await any_store.store.synced()
    assert called == [0, 1, 2, 3, 4]
    any_store.store.after(lambda: called.append(5))
    assert called[-1] == 5, "nothing is under way, so nobody has to wait"


@pytest.mark.parametrize("how", ENDS)
async def test_a_store_that_lost_something_begins_later_epochs(any_store: Opened, how: str) -> None:
    before = any_store.store.epoch()
    await asyncio.sleep(0.002)  # a process does not start in the millisecond of the one before
    await any_store.leave(how)
    if how == "crash" or not any_store.store.durable:
        assert any_store.store.epoch() > before
    assert any_store.store.epoch() >= any_store.store.life


# Stores that hand back what they were told


@pytest.mark.parametrize("how", ENDS)
async def test_everything_that_was_synced_comes_back(kept: Opened, how: str) -> None:
    settings = StreamSettings(
        "text/plain; charset=utf-8", ttl=60, owner="acme/ann", creator="acme/bob"
    )
    records = [Record(at, b"%d" % at, None) for at in range(5)]
    await kept.keep(
        Created("s", settings, ((3, 0),)),
        Touched("s", 1000.0),
        *(Appended("s", record) for record in records),
        Accepted("s", Stamp("a", 0, 0)),
        Accepted("s", Stamp("a", 0, 1)),
        Accepted("s", Stamp("b", 2, 0)),
        Sequenced("s", "x1"),
        Sequenced("s", "x2"),
        Touched("s", 2000.5),
        Raised("s", 7, 4),
        Trimmed("s", 1),
        Trimmed("s", 2),
        Closed("s", Stamp("a", 0, 1)),
    )
    await kept.leave(how)
    saved = await kept.load("s")
    assert [(r.offset, r.body) for r in saved.records] == [(2, b"2"), (3, b"3"), (4, b"4")]
    assert (saved.settings, saved.epochs) == (settings, ((3, 0), (7, 4)))
    assert (saved.settings.owner, saved.settings.creator) == ("acme/ann", "acme/bob")
    assert [one.owner for one in await kept.store.listed("", "", 10, 0.0)] == ["acme/ann"]
    assert (saved.head, saved.tail) == (2, 5)
    assert (saved.closed, saved.closed_by) == (True, Stamp("a", 0, 1))
    assert dict(saved.producers) == {"a": (0, 1), "b": (2, 0)}
    assert (saved.sequence, saved.expires) == ("x2", 2000.5)
    assert (saved.hidden, saved.forks) == (False, 0)


@pytest.mark.parametrize("how", ENDS)
async def test_an_empty_stream_comes_back_open(kept: Opened, how: str) -> None:
    await kept.keep(created("s", epoch=5))
    await kept.leave(how)
    saved = await kept.load("s")
    assert saved == Saved(BYTES, ((5, 0),))


async def test_events_come_back_as_events(kept: Opened) -> None:
    said = Message("user", "Grüße 👋", None, "2026-01-01T00:00:00Z")
    await kept.keep(created("s", StreamSettings()), Appended("s", Record(0, encode(said), said)))
    await kept.leave("crash")
    assert (await kept.load("s")).records[0].event == said


async def test_what_is_left_at_a_stop_is_written(kept: Opened) -> None:
    kept.note(created("s"), *appended("s", b"0"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(kept.store.synced())
    await asyncio.sleep(0.001)
    # One group is perhaps under way, another gathers.
    kept.note(*appended("s", b"1", start=1))
    await kept.leave("stop")
    await waiting
    assert await kept.bodies("s") == [(0, b"0"), (1, b"1")]


@pytest.mark.parametrize("wait", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.03])
async def test_a_group_is_kept_whole_or_not_at_all(kept: Opened, wait: float) -> None:
    await kept.keep(created("s"))
    kept.note(*appended("s", b"x" * 100_000, b"y" * 100_000), Accepted("s", Stamp("p", 0, 0)))
    waiting = asyncio.create_task(kept.store.synced())
    await asyncio.sleep(wait)
    await kept.leave("crash")
    await waiting
    saved = await kept.load("s")
    assert (saved.tail, dict(saved.producers)) in [(0, {}), (2, {"p": (0, 0)})]


async def test_a_long_stream_is_read_from_anywhere_in_order(kept: Opened) -> None:
    bodies = [b"%05d" % at for at in range(10_000)]
    await kept.keep(created("s"), *appended("s", *bodies))
    records = await kept.store.read("s", 4321, 50)
    assert [r.body for r in records] == bodies[4321 : 4321 + len(records)]
    assert 5 <= len(records) <= 11
    assert [r.body for r in await kept.store.read("s", 9999, 1)] == [bodies[9999]]
    assert await kept.store.read("s", 10_000, LIMIT) == []
    saved = await kept.load("s")
    assert saved.tail == 10_000
    assert [r.offset for r in saved.records] == list(range(10_000 - len(saved.records), 10_000))


async def test_one_record_is_read_however_large(kept: Opened) -> None:
    await kept.keep(created("s"), *appended("s", b"x" * 3_000_000, b"y"))
    assert [len(r.body) for r in await kept.store.read("s", 0, 10)] == [3_000_000]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("size", [0, INLINE_BYTES, INLINE_BYTES + 1, 4096, 100_000])
async def test_bodies_of_every_size_come_back(kept: Opened, how: str, size: int) -> None:
    """They are kept in two ways, one above a certain size."""
    bodies = [b"%d" % at * size for at in range(5)]
    await kept.keep(created("s"), *appended("s", *bodies), Trimmed("s", 1))
    await kept.keep(forked("f", "s", 3), *appended("f", b"f" * size, start=3))
    await kept.keep(*appended("s", b"", b"x", bodies[0], start=5))
    await kept.leave(how)
    ours = [*bodies[1:], b"", b"x", bodies[0]]
    assert await kept.bodies("s", 1) == list(enumerate(ours, 1))
    assert await kept.bodies("s", 4) == list(enumerate(ours[3:], 4))
    assert await kept.bodies("f", 1) == [(1, bodies[1]), (2, bodies[2]), (3, b"f" * size)]
    saved = await kept.load("s")
    assert [(one.offset, one.body) for one in saved.records] == list(
        enumerate(ours[-len(saved.records) :], 8 - len(saved.records))
    )
    await kept.keep(Removed("f"), Removed("s"), created("s"), *appended("s", bodies[0]))
    assert await kept.bodies("s") == [(0, bodies[0])]


# Forks


@pytest.mark.parametrize("how", ENDS)
async def test_a_fork_reads_through_all_its_sources(kept: Opened, how: str) -> None:
    await kept.keep(
        created("a"),
        *appended("a", b"a0", b"a1", b"a2", b"a3", b"a4"),
        forked("b", "a", 3),
        *appended("b", b"b3", b"b4", start=3),
        forked("c", "b", 4),
        *appended("c", b"c4", start=4),
        forked("early", "c", 2),
        *appended("early", b"e2", start=2),
    )
    await kept.leave(how)
    assert await kept.bodies("c") == [(0, b"a0"), (1, b"a1"), (2, b"a2"), (3, b"b3"), (4, b"c4")]
    assert await kept.bodies("early") == [(0, b"a0"), (1, b"a1"), (2, b"e2")]
    assert await kept.bodies("b", 2) == [(2, b"a2"), (3, b"b3"), (4, b"b4")]
    assert [(await kept.load(name)).forks for name in ("a", "b", "c", "early")] == [1, 1, 1, 0]
    saved = await kept.load("c")
    assert saved.settings.fork == Fork("b", 4)
    assert (saved.tail, [r.offset for r in saved.records]) == (5, [4])


async def test_a_fork_with_nothing_of_its_own_ends_where_it_forked(kept: Opened) -> None:
    await kept.keep(created("a"), *appended("a", b"0", b"1", b"2"), forked("b", "a", 2))
    saved = await kept.load("b")
    assert (saved.tail, saved.records) == (2, ())
    assert await kept.bodies("b") == [(0, b"0"), (1, b"1")]


async def test_a_fork_is_read_before_it_is_committed(kept: Opened) -> None:
    await kept.keep(created("a"), *appended("a", b"0", b"1"))
    kept.note(forked("b", "a", 2))
    assert [r.body for r in await kept.store.read("b", 0, LIMIT)] == [b"0", b"1"]


@pytest.mark.parametrize("how", ENDS)
async def test_a_source_that_is_trimmed_keeps_what_its_forks_read(kept: Opened, how: str) -> None:
    await kept.keep(created("a"), *appended("a", b"0", b"1", b"2"), forked("b", "a", 2))
    await kept.keep(Trimmed("a", 2))
    await asyncio.sleep(0.05)
    await kept.leave(how)
    assert await kept.bodies("b") == [(0, b"0"), (1, b"1")]
    saved = await kept.load("a")
    assert (saved.head, [r.body for r in saved.records]) == (2, [b"2"])


@pytest.mark.parametrize("how", ENDS)
async def test_a_hidden_source_lives_as_long_as_its_forks(kept: Opened, how: str) -> None:
    await kept.keep(
        created("a"), *appended("a", b"0", b"1"), forked("b", "a", 1), Closed("a"), Hidden("a")
    )
    await kept.leave(how)
    saved = await kept.load("a")
    assert (saved.hidden, saved.closed, saved.forks) == (True, True, 1)
    assert await kept.bodies("b") == [(0, b"0")]
    await kept.keep(Removed("b"), Removed("a"))
    assert await kept.store.load("a") is None


# Lives


@pytest.mark.parametrize("how", ENDS)
async def test_whoever_has_read_all_goes_on_in_the_next_life(kept: Opened, how: str) -> None:
    await kept.keep(created("s", epoch=kept.store.epoch()), *appended("s", b"0", b"1"))
    positions = [Position(kept.store.epoch(), offset) for offset in range(3)]
    for _ in range(3):
        await kept.leave(how)
        stream = Stream("s", await kept.load("s"), store=kept.store, epoch=kept.store.life)
        # Who is told of the end in this life comes back in the next, though nothing was written.
        positions.append(stream.position)
        for position in positions:
            assert stream.place(position) == Place(position.offset)


async def test_each_start_begins_a_later_life(kept: Opened) -> None:
    """A file that was stopped properly and a copy taken then are the same bytes."""
    lives = [kept.store.life]
    for how in ("crash", "stop", "stop", "crash", "crash"):
        await kept.leave(how)
        lives.append(kept.store.life)
    assert lives == sorted(set(lives))
    assert all(kept.store.lived(life) for life in lives)
    assert not any(kept.store.lived(life + 1) for life in lives)


@pytest.mark.parametrize("how", ENDS)
async def test_a_name_that_is_used_again_begins_in_a_later_epoch(kept: Opened, how: str) -> None:
    first = kept.store.epoch()
    await kept.keep(created("s", epoch=first))
    kept.note(Removed("s"))
    second = kept.store.epoch()
    assert second > first
    await kept.keep(created("s", epoch=second))
    await kept.leave(how)
    assert (await kept.load("s")).epochs == ((second, 0),)
    kept.note(Removed("s"))
    assert kept.store.epoch() > second


async def test_no_epoch_of_a_lost_life_is_given_again(kept: Opened) -> None:
    """Removals that were lost in a crash had raised the epoch that others began in."""
    await kept.keep(*(created(f"s{number}") for number in range(20)))
    for number in range(20):
        kept.note(Removed(f"s{number}"))
    shown = kept.store.epoch()
    await kept.leave("crash")
    assert kept.store.life > shown


def test_no_more_epochs_can_be_lost_than_a_life_begins_above() -> None:
    assert sqlite_lives.LEAP >= sqlite_store.HELD_BYTES // sqlite_store.CHANGE_BYTES


@pytest.mark.parametrize("clock", [0, 10**15, 2 * 10**18])
async def test_lives_of_copies_differ_and_rise_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: int
) -> None:
    """Nanoseconds since 1970, the same for all who start: with no clock, and one that went back."""
    kept = Opened(InSQLite(tmp_path))
    await kept.store.start()
    last = kept.store.life
    await kept.store.stop()
    monkeypatch.setattr(time, "time_ns", lambda: clock)
    lives = []
    for number in range(5):
        shutil.copyfile(tmp_path / "hub.db", tmp_path / f"{number}.db")
        copy = SQLiteStore(tmp_path / f"{number}.db")
        await copy.start()
        lives.append(copy.life)
        await copy.stop()
    assert len(set(lives)) == len(lives)
    assert min(lives) > last
    assert len(str(max(lives))) <= 16, "positions have room for no more"


async def test_lives_that_are_remembered_are_bounded(
    kept: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lives, "REMEMBERED", 3)
    lives = [kept.store.life]
    for _ in range(4):
        await kept.leave("stop")
        lives.append(kept.store.life)
    assert [kept.store.lived(life) for life in lives] == [False, False, True, True, True]


async def test_a_name_whose_removal_is_under_way_is_free(kept: Opened) -> None:
    await kept.keep(created("s"), *appended("s", b"0"))
    kept.note(Removed("s"))
    assert await kept.store.load("s") is None


async def test_a_stream_removed_while_it_is_loaded_is_not_handed_back(kept: Opened) -> None:
    await kept.keep(created("s"), *appended("s", b"0"))
    loading = asyncio.create_task(kept.store.load("s"))
    await asyncio.sleep(0)
    kept.note(Removed("s"))
    assert await loading is None


async def test_whoever_still_holds_a_removed_stream_does_no_harm(kept: Opened) -> None:
    await kept.keep(created("s"), *appended("s", b"0"))
    await kept.keep(Removed("s"))
    await kept.keep(Touched("s", 10.0), Trimmed("s", 1), created("t"))
    assert kept.store.trouble is None
    assert await kept.store.load("t") is not None


# Generations, keys, expiry


@pytest.mark.parametrize("how", ENDS)
async def test_what_was_running_is_told_at_the_start(kept: Opened, how: str) -> None:
    await kept.keep(created("s"), created("t"), began("s", "g1"), began("t", "g2", 5))
    await kept.keep(Ended("s", "g1", 9))
    assert await kept.leave(how) == [Unended("t", "g2", 6)]
    assert await kept.store.locate("g1") == GenerationLocation("s", Position(3, 0), 1, 9)
    assert await kept.store.locate("g2") == GenerationLocation("t", Position(3, 5), 6, None)
    await kept.keep(Ended("t", "g2", None))
    assert await kept.leave(how) == []
    assert await kept.store.locate("g2") is None


async def test_a_generation_is_told_of_while_its_stream_holds_its_end(kept: Opened) -> None:
    await kept.keep(created("s"), began("s", "g1"), Ended("s", "g1", 9), began("s", "g2", 10))
    await kept.keep(Trimmed("s", 9))
    assert await kept.store.locate("g1") is not None
    await kept.keep(Trimmed("s", 10))
    assert await kept.store.locate("g1") is None
    await kept.keep(Trimmed("s", 20))
    assert await kept.store.locate("g2") is not None, "it is running"
    await kept.keep(Removed("s"))
    assert await kept.store.locate("g2") is None


async def test_what_a_fork_needs_is_told_of_for_the_forks_sake(kept: Opened) -> None:
    fork = Created("f", StreamSettings(fork=Fork("s", 10)), ((0, 0),))
    await kept.keep(created("s"), began("s", "g"), Ended("s", "g", 9), fork, Trimmed("s", 12))
    assert await kept.store.locate("g") is not None
    await kept.keep(Removed("f"), Trimmed("s", 13))
    assert await kept.store.locate("g") is None


async def test_what_ran_in_a_removed_stream_does_not_run(kept: Opened) -> None:
    await kept.keep(created("s"), began("s", "g"), Removed("s"))
    assert await kept.leave("crash") == []


@pytest.mark.parametrize("how", ENDS)
async def test_a_key_is_remembered(kept: Opened, how: str) -> None:
    used = Keyed("s", "k", b"\x00print", "gen_1", Position(3, 7))
    await kept.keep(used)
    await kept.leave(how)
    assert await kept.store.keyed("k") == used


def waiting(number: int, stream: str = "s") -> QueuedPrompt:
    request = GenerationRequest(
        f"Prompt {number}",
        stream=stream,
        options={"temperature": 0.5},
        when_busy="queue",
        scope="ann",
        fallbacks=frozenset({"a", "b"}),
    )
    return QueuedPrompt(f"gen_{number}", request, Position(1, number), "2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize("how", ENDS)
async def test_prompts_wait_in_order(kept: Opened, how: str) -> None:
    one, two, other = waiting(1), waiting(2), waiting(3, "t")
    await kept.keep(created("s"), created("t"), created("u"))
    await kept.keep(QueueSet("s", (one, two), held=False), QueueSet("t", (other,), held=True))
    await kept.keep(QueueSet("u", (waiting(4, "u"),), held=False), QueueSet("u", (), held=False))
    await kept.keep(QueueSet("s", (two, one), held=False), QueueSet("gone", (), held=False))
    await kept.leave(how)
    assert (found := await kept.store.load("s")) is not None
    assert (found.queue, found.held) == ((two, one), False)
    assert (found := await kept.store.load("t")) is not None
    assert (found.queue, found.held) == ((other,), True)
    assert await kept.store.unheld() == ["s"]
    assert await kept.store.waiting_in("gen_2") == "s"
    assert await kept.store.waiting_in("gen_4") is None
    await kept.keep(Removed("s"))
    assert await kept.store.waiting_in("gen_2") is None


async def test_streams_expire_in_their_time(kept: Opened) -> None:
    await kept.keep(*(created(name) for name in "abcd"))
    await kept.keep(forked("e", "c", 0))
    await kept.keep(Touched("a", 10.0), Touched("b", 20.0), Touched("c", 5.0), Hidden("c"))
    assert await kept.store.expired(9.0) == []
    assert await kept.store.expired(10.0) == ["a"]
    assert sorted(await kept.store.expired(30.0)) == ["a", "b"]


async def test_streams_are_listed_by_name(kept: Opened) -> None:
    await kept.keep(
        *(created(name) for name in ("b/1", "a", "b/2", "c", "b", "gone", "hidden", "late")),
        *appended("a", b"1", b"2"),
        *appended("b", b"1", b"2", b"3"),
        forked("fork", "b", 2),
        Trimmed("b", 3),
        Closed("c"),
        Removed("gone"),
        Hidden("hidden"),
        Touched("late", 10.0),
    )
    life = kept.store.life
    listed = await kept.store.listed("", "", 100, 9.0)
    assert [(one.name, one.tail.offset, one.closed) for one in listed] == [
        ("a", 2, False),
        ("b", 3, False),
        ("b/1", 0, False),
        ("b/2", 0, False),
        ("c", 0, True),
        ("fork", 2, False),
        ("late", 0, False),
    ]
    assert {one.content_type for one in listed} == {BYTES.content_type}
    assert all(one.tail.epoch >= life for one in listed)
    assert [one.name for one in await kept.store.listed("b/", "", 100, 9.0)] == ["b/1", "b/2"]
    assert [one.name for one in await kept.store.listed("b", "b/1", 100, 9.0)] == ["b/2"]
    assert [one.name for one in await kept.store.listed("", "b", 2, 9.0)] == ["b/1", "b/2"]
    assert "late" not in [one.name for one in await kept.store.listed("", "", 100, 10.0)]


@pytest.mark.parametrize("how", ENDS)
async def test_what_is_listed_after_an_end_is_in_the_life_that_begins(
    kept: Opened, how: str
) -> None:
    await kept.keep(created("a"), *appended("a", b"1"))
    await kept.leave(how)
    (one,) = await kept.store.listed("", "", 10, 0.0)
    assert one.tail == Position(max(kept.store.life, (await kept.load("a")).epochs[-1][0]), 1)


# Anything, in any order, with crashes anywhere


@pytest.mark.parametrize("seed", range(12))
async def test_after_a_crash_a_prefix_is_there_and_all_that_was_synced(
    kept: Opened, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - so that a failure can be repeated
    tails: dict[str, int] = {}
    for _ in range(4):
        states = [dict(tails)]
        safe = 0
        for _ in range(chance.randrange(1, 30)):
            for name in chance.sample("abc", chance.randrange(1, 4)):
                _something(kept, chance, name, tails)
            states.append(dict(tails))
            match chance.randrange(4):
                case 0:
                    await asyncio.sleep(chance.random() * 0.004)
                case 1:
                    await kept.store.synced()
                    safe = len(states) - 1
                case _:
                    pass
            if chance.random() < 0.5:
                # Without a turn of the loop the next changes would be in the same group.
                await asyncio.sleep(0)
        await kept.leave("crash")
        tails = {}
        for name in "abc":
            saved = await kept.store.load(name)
            if saved is not None:
                tails[name] = saved.tail
                # Pairs of records and their producer's number are one group.
                assert dict(saved.producers).get("p", (0, -1))[1] == saved.tail // 2 - 1
                found = await kept.bodies(name, saved.head)
                assert found == [(at, b"%d" % at) for at in range(saved.head, saved.tail)]
        assert tails in states[safe:]


def _something(kept: Opened, chance: random.Random, name: str, tails: dict[str, int]) -> None:
    tail = tails.get(name)
    if tail is None:
        kept.note(created(name, epoch=kept.store.epoch()))
        tails[name] = 0
    elif chance.random() < 0.1:
        kept.note(Removed(name))
        del tails[name]
    elif chance.random() < 0.1 and tail:
        kept.note(Trimmed(name, tail - 1))
    else:
        kept.note(
            *appended(name, b"%d" % tail, b"%d" % (tail + 1), start=tail),
            Accepted(name, Stamp("p", 0, tail // 2)),
        )
        tails[name] = tail + 2


# SQLite


def rows(path: Path, statement: str) -> int:
    with_it = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(with_it.execute(statement).get)
    finally:
        with_it.close()


async def emptied(path: Path, table: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while rows(path, f"SELECT count(*) FROM {table}"):  # noqa: ASYNC110, S608 - no event tells
            await asyncio.sleep(0.01)


def files_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_sqlite_files_are_for_their_owner_only(sqlite: Opened, tmp_path: Path) -> None:
    await sqlite.keep(created("s"))
    files = ("hub.db", "hub.db-wal", "hub.db-shm", "hub.db.lock")
    assert files_in(tmp_path) == dict.fromkeys(files, 0o600)


async def test_sqlite_leaves_one_file_with_everything_in_it(sqlite: Opened, tmp_path: Path) -> None:
    await sqlite.keep(created("s"), *appended("s", b"0"))
    await sqlite.store.load("s")
    await sqlite.store.stop()
    assert files_in(tmp_path).keys() == {"hub.db", "hub.db.lock"}
    await sqlite.leave("stop")


async def test_sqlite_keeps_the_newest_keys(sqlite: Opened) -> None:
    for start in range(0, KEYS + 10, 1000):
        await sqlite.keep(
            *(
                Keyed("s", f"k{n}", b"", "g", Position(0, 0))
                for n in range(start, min(start + 1000, KEYS + 10))
            )
        )
    assert await sqlite.store.keyed("k9") is None
    assert await sqlite.store.keyed("k10") is not None
    assert await sqlite.store.keyed(f"k{KEYS + 9}") is not None


async def test_sqlite_sweeps_in_small_bits_between_commits(
    sqlite: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hub.db"
    count = SWEPT * 20
    monkeypatch.setattr(sqlite_store, "SWEEP_SECONDS", PATIENCE)
    await sqlite.keep(created("s"), *appended("s", *[b"x"] * count), created("t"))
    await sqlite.keep(Removed("s"))
    assert rows(path, "SELECT count(*) FROM records") > 0, "a commit waits for a bit of it only"
    monkeypatch.setattr(sqlite_store, "SWEEP_SECONDS", 0.001)
    for at in range(5):
        await sqlite.keep(*appended("t", b"%d" % at, start=at))
    await emptied(path, "trash")
    assert rows(path, "SELECT count(*) FROM records") == 5


async def test_sqlite_sweeps_large_records_a_few_at_a_time(
    sqlite: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hub.db"
    monkeypatch.setattr(sqlite_store, "SWEEP_SECONDS", PATIENCE)
    for start in range(0, 40, 10):
        await sqlite.keep(
            *([created("s")] if not start else []),
            *appended("s", *[b"x" * 300_000] * 10, start=start),
        )
    await sqlite.keep(Removed("s"))
    assert rows(path, "SELECT count(*) FROM records") >= 30
    monkeypatch.setattr(sqlite_store, "SWEEP_SECONDS", 0.001)
    await sqlite.keep(created("t"))
    await emptied(path, "records")


async def test_sqlite_sweeps_what_a_crash_left(sqlite: Opened, tmp_path: Path) -> None:
    await sqlite.keep(created("s"), *appended("s", *[b"x"] * SWEPT * 4))
    await sqlite.keep(Removed("s"))
    await sqlite.leave("crash")
    await emptied(tmp_path / "hub.db", "records")


async def test_sqlite_does_not_grow_with_a_stream_at_its_limit(
    sqlite: Opened, tmp_path: Path
) -> None:
    await sqlite.keep(created("s"))
    for at in range(0, 10_000, 1000):
        changes: list[Change] = []
        for offset in range(at, at + 1000):
            changes += [*appended("s", b"x", start=offset), Trimmed("s", max(0, offset - 99))]
        await sqlite.keep(*changes)
    assert rows(tmp_path / "hub.db", "SELECT count(*) FROM records") < 2000
    assert (await sqlite.load("s")).head == 9900


@pytest.mark.parametrize("where", ["header", "middle"])
async def test_sqlite_refuses_a_damaged_file(tmp_path: Path, where: str) -> None:
    path = tmp_path / "hub.db"
    store = SQLiteStore(path)
    await store.start()
    for change in [created("s"), *appended("s", *[b"x" * 1000] * 500)]:
        store.note(change)
    await store.stop()
    whole = bytearray(path.read_bytes())
    at = 0 if where == "header" else len(whole) // 2 // 4096 * 4096
    whole[at : at + 4096] = b"\xa5" * 4096
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="move the file away") as refused:
        await SQLiteStore(path).start()
    assert refused.value.code == "store_corrupt"
    assert path.read_bytes() == bytes(whole), "what is damaged is left as it is"
    path.unlink()
    again = SQLiteStore(path)
    assert await again.start() == [], "which was the way out"
    await again.stop()


async def test_sqlite_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    newer, foreign = tmp_path / "newer.db", tmp_path / "foreign.db"
    store = SQLiteStore(newer)
    await store.start()
    await store.stop()
    for path, statement in [
        (newer, f"PRAGMA user_version = {VERSION + 1}"),
        (foreign, "CREATE TABLE somebody_elses (x)"),
    ]:
        database = apsw.Connection(str(path))
        database.execute(statement)
        database.close()
    with pytest.raises(StoreError, match="newer streamhub") as refused:
        await SQLiteStore(newer).start()
    assert refused.value.code == "store_newer"
    with pytest.raises(StoreError, match="not a streamhub's") as refused:
        await SQLiteStore(foreign).start()
    assert refused.value.code == "store_foreign"


async def test_sqlite_refuses_a_place_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot use"):
        await SQLiteStore(tmp_path / "file" / "hub.db").start()
    with pytest.raises(StoreError, match="cannot use"):
        await SQLiteStore(tmp_path).start()


async def test_sqlite_has_its_file_for_itself(sqlite: Opened, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use by another streamhub") as refused:
        await SQLiteStore(tmp_path / "hub.db").start()
    assert refused.value.code == "store_locked"
    await sqlite.keep(created("s"))


async def test_sqlite_holds_no_more_than_its_bound(
    sqlite: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who must not wait is refused, who can wait does, and both go on when the disk does."""
    monkeypatch.setattr(sqlite_store, "HELD_BYTES", 10_000)
    await sqlite.keep(created("s"))
    blocker = apsw.Connection(str(tmp_path / "hub.db"))
    blocker.execute("BEGIN IMMEDIATE")
    sqlite.note(*appended("s", b"x" * 20_000))
    with pytest.raises(StoreError, match="too slow") as refused:
        sqlite.store.admit()
    assert refused.value.code == "store_full"
    waiting = asyncio.create_task(sqlite.store.space())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    blocker.execute("ROLLBACK")
    blocker.close()
    await waiting
    sqlite.store.admit()


async def test_sqlite_that_cannot_write_says_so_and_goes_on_when_it_can(
    sqlite: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.keep(created("s"))
    monkeypatch.setattr(sqlite_store, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(sqlite_store, "RETRY_SECONDS", 0.05)
    full = FullDisk(monkeypatch)
    sqlite.note(*appended("s", b"0"))
    with pytest.raises(StoreError, match="the write is not confirmed"):
        await sqlite.store.synced()
    await eventually(lambda: sqlite.store.trouble)
    with pytest.raises(StoreError, match="nothing can be stored at the moment"):
        sqlite.store.admit()
    monkeypatch.setattr(sqlite_store, "PATIENCE_SECONDS", 60.0)
    full.make_space()
    await sqlite.store.synced()
    assert sqlite.store.trouble is None
    assert await sqlite.bodies("s") == [(0, b"0")]


async def test_sqlite_left_with_something_unwritten_begins_a_later_life(
    sqlite: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = sqlite.store.life
    await sqlite.keep(created("s"))
    monkeypatch.setattr(sqlite_store, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(sqlite_store, "RETRY_SECONDS", 0.05)
    full = FullDisk(monkeypatch)
    sqlite.note(*appended("s", b"lost"))
    await sqlite.store.stop()
    full.make_space()
    await sqlite.leave("stop")
    assert sqlite.store.life > life
    assert await sqlite.bodies("s") == []


async def test_sqlite_opens_no_stream_that_nobody_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle streams are rows: the start does not look at them (their number is in `bench`)."""
    path = tmp_path / "hub.db"
    store = SQLiteStore(path)
    await store.start()
    await store.stop()
    database = apsw.Connection(str(path))
    ledger = Writer(database)
    ledger.write([created(f"s{number}") for number in range(5000)])
    asked: list[str] = []
    database.close()
    opened = reading_connections(monkeypatch)
    again = SQLiteStore(path)
    await again.start()

    def trace(_: object, statement: str, __: object) -> bool:
        asked.append(statement)
        return True

    opened[-1].exec_trace = trace
    assert await again.expired(10.0**12) == []
    assert asked == [asked[0]]
    assert (await again.load("s4999")) is not None
    await again.stop()
