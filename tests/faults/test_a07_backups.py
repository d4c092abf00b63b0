"""A7: an older or a copied file is served, and no position ever has two contents (P4).

In whatever way a file comes to stand where a hub starts: readers who saw what is not in it are
reset to where their past ends being true, and all others just go on.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.stores import Created, Removed
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.backup import back_up, restore
from hub.stores.sqlite.maintenance import Maintenance
from hub.streams.stream import Stream
from tests.faults.copies import Machine, Reader, compared, over
from tests.support.strategies import examples

OLD: Final = [f"old {at}" for at in range(5)]
"""What is in every copy."""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with Machine(folders[0]) as one, Machine(folders[1]) as two:
        yield one, two


@pytest.fixture
async def one(machines: tuple[Machine, Machine]) -> AsyncIterator[Machine]:
    """A hub that runs and has what is old."""
    machine, _ = machines
    await machine.start()
    await machine.write(*OLD)
    yield machine
    machine.clear()


@pytest.fixture
def two(machines: tuple[Machine, Machine]) -> Iterator[Machine]:
    """A machine with nothing on it."""
    _, machine = machines
    yield machine
    machine.clear()


async def read_by(*machines: Machine, at: dict[Position, str]) -> Reader:
    """Somebody who has read everything on one machine after the other."""
    reader = Reader(at)
    for running in machines:
        await reader.read(running, await running.mark())
    return reader


# Copies, and how they are put back

Taken = Callable[[Machine, Path], Awaitable[None]]


async def copied(running: Machine, copy: Path) -> None:
    """By ``cp``, between two hubs."""
    await running.stop()
    over(running.file, copy)
    await running.start()


async def copied_after_a_kill(running: Machine, copy: Path) -> None:
    await running.stop(signal.SIGKILL)
    over(running.file, copy)
    await running.start()


async def vacuumed(running: Machine, copy: Path) -> None:
    """While the hub runs."""
    database = apsw.Connection(str(running.file), flags=apsw.SQLITE_OPEN_READONLY)
    database.execute("VACUUM INTO ?", (str(copy),))
    database.close()


async def backed_up(running: Machine, copy: Path) -> None:
    """By ``streamhub streams backup``, while the hub runs."""
    await asyncio.to_thread(back_up, running.file, copy, unseen)


async def put_over(running: Machine, copy: Path) -> None:
    over(copy, running.file)


async def renamed(running: Machine, copy: Path) -> None:
    rename(copy, running.file)


def rename(copy: Path, file: Path) -> None:
    for ending in ("-wal", "-shm"):
        Path(f"{file}{ending}").unlink(missing_ok=True)
    copy.rename(file)


async def restored(running: Machine, copy: Path) -> None:
    """By ``streamhub streams restore``."""
    await asyncio.to_thread(restore, running.file, copy, unseen)


def unseen(done: int, total: int) -> None:
    """Nobody looks on."""


@pytest.mark.parametrize(
    ("take", "how", "put_back"),
    [
        (copied, signal.SIGTERM, put_over),
        (copied, signal.SIGKILL, renamed),
        (copied, signal.SIGTERM, restored),
        (copied_after_a_kill, signal.SIGTERM, put_over),
        (vacuumed, signal.SIGTERM, put_over),
        (backed_up, signal.SIGTERM, renamed),
        (backed_up, signal.SIGKILL, restored),
    ],
)
async def test_whoever_read_on_after_a_copy_is_sent_back_to_it(
    one: Machine, tmp_path: Path, take: Taken, how: signal.Signals, put_back: Taken
) -> None:
    at: dict[Position, str] = {}
    early, late, later = Reader(at), Reader(at), Reader(at)
    await early.read(one, OLD[-1])
    await take(one, tmp_path / "copy.db")
    await one.write("new 5")
    await late.read(one, "new 5")
    await one.write("new 6", "new 7")
    await later.read(one, "new 7")
    await one.stop(how)
    await put_back(one, tmp_path / "copy.db")
    await one.start()
    await one.write("other 5", "other 6")
    assert await compared(one, early, late, later) == [0, 1, 1]
    assert later.texts[:7] == [*OLD, "other 5", "other 6"]


async def test_a_disk_that_is_rolled_back_takes_all_evidence_with_it(one: Machine) -> None:
    """The whole folder, with the same inode and times: as after a proper stop, byte for byte."""
    at: dict[Position, str] = {}
    await one.stop()
    folder = one.file.parent
    shutil.copytree(folder, folder.with_name("snapshot"))
    was = one.file.stat()
    await one.start()
    reader = await read_by(one, at=at)
    await one.stop()
    over(folder.with_name("snapshot") / one.file.name, one.file)
    assert one.file.stat().st_ino == was.st_ino
    await one.start()
    await one.write("other 5")
    assert await compared(one, reader) == [1]


async def test_a_copy_that_went_its_own_way_and_the_file_it_was_of_take_turns(
    one: Machine, tmp_path: Path
) -> None:
    """The wrong backup is restored, written to, and what was there before is put back."""
    at: dict[Position, str] = {}
    await backed_up(one, tmp_path / "copy.db")
    first = await read_by(one, at=at)
    await one.stop()
    await restored(one, tmp_path / "copy.db")
    (kept,) = one.file.parent.glob("*.before-restore-*")
    await one.start()
    # No further than the file that comes back: its offset alone tells nothing.
    second = await read_by(one, at=at)
    await one.stop()
    await restored(one, kept)
    await one.start()
    third = first.copy()
    assert await compared(one, first, second) == [0, 1]
    await one.stop()
    await restored(one, tmp_path / "copy.db")
    await one.start()
    assert await compared(one, first, second, third) == [1, 1, 1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_two_hubs_on_copies_of_one_file_never_agree_on_what_is_not_the_same(
    one: Machine, two: Machine, how: signal.Signals
) -> None:
    at: dict[Position, str] = {}
    await one.stop()
    # No lock file, no log: the file alone, on another machine.
    shutil.copyfile(one.file, two.file)
    await asyncio.gather(one.start(), two.start())
    await asyncio.gather(one.write("one 5", "one 6"), two.write("two 5", "two 6"))
    of_one, of_two = await read_by(one, at=at), await read_by(two, at=at)
    changing = [of_one.copy(), of_two.copy()]
    await changing[0].read(two, await two.mark())
    await changing[1].read(one, await one.mark())
    assert all(reader.resets for reader in changing)
    # The one comes back with a later life, so that the other's lies between two of its own.
    await one.stop(how)
    await one.start()
    assert await compared(one, of_one, of_two.copy()) == [0, 1]
    assert await compared(two, of_two, of_one.copy()) == [0, 1]


async def test_a_file_that_was_begun_anew_has_nothing_of_the_old_one(one: Machine) -> None:
    at: dict[Position, str] = {}
    reader = await read_by(one, at=at)
    await one.stop()
    one.file.unlink()
    await one.start()
    await one.write(*(f"other {number}" for number in range(9)))
    assert await compared(one, reader) == [1]


async def test_a_backup_taken_while_much_is_written_is_a_moment_of_it(
    one: Machine, tmp_path: Path
) -> None:
    at: dict[Position, str] = {}
    reader = Reader(at)
    over_now = asyncio.Event()

    async def write() -> None:
        number = 0
        while not over_now.is_set():
            await one.write(*(f"{number + more} {'x' * 5000}" for more in range(20)))
            number += 20

    writing = asyncio.create_task(write())
    for number in range(3):
        await backed_up(one, tmp_path / f"{number}.db")
    over_now.set()
    await writing
    await reader.read(one, await one.mark())
    await one.stop(signal.SIGKILL)
    for number in (1, 0, 2):
        await restored(one, tmp_path / f"{number}.db")
        await one.start()
        again = Reader(at)
        await again.read(one, await one.mark())
        assert again.texts[:-1] == reader.texts[: len(again.texts) - 1]
        assert await compared(one, reader.copy(), again) == [1, 0]
        await one.stop()


def look_after(file: Path, copy: Path) -> None:
    """All that the command line does to a store whose streams stay."""
    with Maintenance(file) as upkeep:
        upkeep.delete("gone")
        list(upkeep.sweep())
        upkeep.compact()
    back_up(file, copy, unseen)


async def test_starting_again_sends_nobody_back(one: Machine, tmp_path: Path) -> None:
    """P12: also while copies are taken, and whatever else looks after the file."""
    at: dict[Position, str] = {}
    reader = await read_by(one, at=at)
    absent = reader.copy()
    await one.write("gone", stream="gone")
    await one.stop()
    await one.start()
    assert await compared(one, reader) == [0]
    await one.stop()
    await asyncio.to_thread(look_after, one.file, tmp_path / "copy.db")
    await one.start()
    assert await compared(one, reader) == [0]
    await one.stop(signal.SIGKILL)
    await one.start()
    assert await compared(one, reader, absent) == [0, 0]


# Anything, in any order


class Seen(NamedTuple):
    """What somebody has read, and the position they have."""

    position: Position
    texts: tuple[str, ...]


class World:
    """One stream in a file that is written, left, copied and put back; and its readers."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hub.db"
        self.copies: list[Path] = []
        self.readers: list[Seen] = []
        self.at: dict[Position, str] = {}
        self._written = 0
        self._folder = folder
        self.store: SQLiteStore
        self.stream: Stream
        self.texts: list[str]

    async def start(self) -> None:
        self.store = SQLiteStore(self.file, sync="normal")
        await self.store.start()
        await self._open()

    async def _open(self) -> None:
        saved = await self.store.load("s")
        if saved is None:
            epochs = ((self.store.epoch(), 0),)
            self.store.note(Created("s", StreamSettings("text/plain"), epochs))
        self.stream = Stream(
            "s",
            saved,
            store=self.store,
            epoch=self.store.life if saved is not None else epochs[0][0],
        )
        records = [] if saved is None else await self.store.read("s", 0, 10**6)
        self.texts = [record.body.decode() for record in records]
        self.check()

    def write(self, count: int) -> None:
        """Readers see each record at once, before it is committed."""
        for _ in range(count):
            self._written += 1
            text = f"{self._written}"
            position = self.stream.position
            assert self.at.setdefault(position, text) == text, position
            self.stream.append_body(text.encode(), None)
            self.texts.append(text)
            self.readers.append(Seen(self.stream.position, tuple(self.texts)))
        self.readers.append(Seen(self.stream.position, tuple(self.texts)))
        self.check()

    async def remove(self) -> None:
        """Somebody uses the name again."""
        self.store.note(Removed("s"))
        await self._open()

    async def stop(self) -> None:
        await self.store.stop()

    async def kill(self) -> None:
        with self._as_it_is():
            await self.store.stop()

    async def copy(self, *, running: bool) -> None:
        copy = self._folder / f"{len(self.copies)}.db"
        if running:
            back_up(self.file, copy, unseen)
        else:
            await self.stop()
            shutil.copyfile(self.file, copy)
        self.copies.append(copy)
        if not running:
            await self.start()

    async def put_back(self, which: int, *, ours: bool) -> None:
        await self.copy(running=False)  # what is there may come back
        await self.stop()
        copy = self.copies[which % len(self.copies)]
        if ours:
            restore(self.file, copy, unseen)
        else:
            shutil.copyfile(copy, self.file)
        await self.start()

    def check(self) -> None:
        for reader in self.readers:
            place = self.stream.place(reader.position)
            held = reader.texts[: place.offset]
            assert len(held) == place.offset, "a hole"
            assert list(held) == self.texts[: place.offset], "another timeline's"
            if place.reset is None:
                assert held == reader.texts, "more than there is"

    @contextmanager
    def _as_it_is(self) -> Iterator[None]:
        """Leave the files as a kill now would."""
        files = [self.file, Path(f"{self.file}-wal")]
        for file in files:
            shutil.copyfile(file, f"{file}.left")
        yield
        for file in files:
            Path(f"{file}.left").rename(file)


STEPS: Final = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3)),
    st.tuples(st.just("write"), st.integers(1, 3)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("remove")),
    st.tuples(st.just("copy"), st.booleans()),
    st.tuples(st.just("put back"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("put back"), st.integers(0, 9), st.booleans()),
)


async def lived_through(steps: list[tuple[str, int, bool]], folder: Path) -> None:
    world = World(folder)
    await world.start()
    for step, *how in steps:
        if step == "write":
            world.write(int(how[0]))
        elif step == "remove":
            await world.remove()
        elif step == "copy":
            await world.store.synced()
            await world.copy(running=bool(how[0]))
        elif step == "put back":
            await world.put_back(int(how[0]), ours=bool(how[1]))
        else:
            await (world.stop() if step == "stop" else world.kill())
            await world.start()
    await world.stop()


@examples(25)
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_whatever_is_done_to_the_file_a_position_has_one_content(
    steps: list[tuple[str, int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(lived_through(steps, Path(folder)))
