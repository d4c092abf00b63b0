"""A brother of A7: whoever read a removed stream is reset in what takes its name (P4).

A fork has its source's epochs, so under a name that was another stream's, perhaps of the same
epochs, a reader of that one went on in another text at the same position.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import apsw
import pytest

from hub.domain import removed_names
from hub.domain.counters import Counters
from hub.domain.records import Position
from hub.stores import Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.schema import migrate
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream

NAME: Final = "used-again"


class StreamsHarness:
    """A registry, and the positions that readers of it have."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self.store = make()
        self.streams: Streams
        self.readers: dict[Position, str] = {}

    async def start(self) -> None:
        await self.store.start()
        self.streams = Streams(
            self.store,
            retention=Retention(),
            limits=StreamLimits(),
            slice_size=250,
            counts=Counters(),
        )

    async def again(self) -> None:
        """After a restart, where one leaves something."""
        if self.store.durable:
            await self.store.stop()
            self.store = self._make()
            await self.start()

    async def write(self, name: str, text: str, count: int = 4) -> Stream:
        stream, _ = await self.streams.create(name)
        for _ in range(count):
            stream.append_body(f'"{text}"'.encode(), None)
        return stream

    async def remove(self, name: str) -> None:
        """Somebody has read all of it, from every place."""
        stream = await self.streams.open(name)
        for offset in range(1, stream.tail + 1):
            self.readers[stream.position_at(offset)] = name
        self.readers[stream.position] = name
        await self.streams.remove(stream)
        await self.store.synced()

    async def fork(self, name: str, source: str, at: Position | None = None) -> Stream:
        return (await self.streams.fork(name, source, at))[0]


@pytest.fixture(params=["memory", "sqlite"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StreamsHarness]:
    sqlite = request.param == "sqlite"
    made = StreamsHarness((lambda: SQLiteStore(tmp_path / "hub.db")) if sqlite else MemoryStore)
    await made.start()
    yield made
    await made.store.stop()


def check(harness: StreamsHarness, stream: Stream) -> None:
    assert harness.readers
    for position in harness.readers:
        reset = stream.place(position).reset
        assert reset is not None, position
        assert reset.position.offset == 0


async def of_its_own(harness: StreamsHarness) -> None:
    """It was no fork, and began in the epoch of its namesake's source."""
    await harness.write(NAME, "other")


async def of_another_source(harness: StreamsHarness) -> None:
    await harness.write("another", "other")
    await harness.fork(NAME, "another")
    await harness.write(NAME, "own")


async def of_the_same_source(harness: StreamsHarness) -> None:
    """At an earlier offset, and went on."""
    source = await harness.streams.open("source")
    await harness.fork(NAME, "source", source.position_at(2))
    await harness.write(NAME, "own", 9)


async def of_many_lives(harness: StreamsHarness) -> None:
    """Both were written after a restart, in the same life of the file."""
    await harness.write(NAME, "other", 1)
    await harness.again()
    if not harness.store.durable:
        await harness.write("source", "more")
        await harness.write(NAME, "other")
        return
    for name in ("source", NAME):
        await harness.write(name, f"more of {name}")


@pytest.mark.parametrize("restarts", [0, 2])
@pytest.mark.parametrize("was", [of_its_own, of_another_source, of_the_same_source, of_many_lives])
async def test_whoever_read_what_was_removed_is_reset_in_a_fork_of_its_name(
    harness: StreamsHarness, was: Callable[[StreamsHarness], Awaitable[None]], restarts: int
) -> None:
    await harness.write("source", "source", 8)
    await was(harness)
    await harness.remove(NAME)
    for _ in range(restarts):
        await harness.again()
    fork = await harness.fork(NAME, "source")
    check(harness, fork)
    await harness.write(NAME, "new", 20)
    await harness.again()
    fork = await harness.streams.open(NAME)
    check(harness, fork)
    # And so again: of two forks of one source the second knows of the first.
    await harness.remove(NAME)
    check(harness, await harness.fork(NAME, "source"))


async def test_a_fork_of_another_name_has_its_sources_positions(harness: StreamsHarness) -> None:
    source = await harness.write("source", "source", 8)
    await harness.write(NAME, "other")
    await harness.remove(NAME)
    await harness.again()
    source = await harness.streams.open("source")
    places = [source.position_at(offset) for offset in range(source.tail + 1)]
    fork = await harness.fork("new", "source")
    for offset, position in enumerate(places):
        place = fork.place(position)
        assert (place.offset, place.reset) == (offset, None)


async def test_names_that_are_remembered_are_bounded_and_none_is_mistaken(
    harness: StreamsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removed_names, "REMEMBERED", 3)
    monkeypatch.setattr("hub.stores.sqlite.removed_names.REMEMBERED", 3)
    await harness.write("source", "source", 8)
    await harness.write(NAME, "other")
    await harness.remove(NAME)
    for number in range(5):
        await harness.write(f"s{number}", "x")
        await harness.remove(f"s{number}")
    await harness.again()
    check(harness, await harness.fork(NAME, "source"))
    late = await harness.write("late", "late")
    positions = [late.position_at(offset) for offset in range(late.tail + 1)]
    # What is later than all that was forgotten has nothing in common with it.
    fork = await harness.fork("s9", "late")
    assert [fork.place(position).reset for position in positions] == [None] * 5
    if isinstance(harness.store, SQLiteStore):
        await harness.store.synced()
        database = apsw.Connection(str(harness.store.path), flags=apsw.SQLITE_OPEN_READONLY)
        assert database.execute("SELECT count(*) FROM removed").get == 3
        database.close()


async def test_what_an_older_hub_removed_is_not_mistaken_either(tmp_path: Path) -> None:
    """It did not write down the names."""
    path = tmp_path / "hub.db"
    made = StreamsHarness(lambda: SQLiteStore(path))
    await made.start()
    await made.write("source", "source", 8)
    await of_its_own(made)
    await made.remove(NAME)
    await made.store.stop()
    database = apsw.Connection(str(path))
    database.execute("DROP TABLE removed; DELETE FROM hub WHERE key = 'forgotten'")
    # These came later.
    database.execute(
        "DROP INDEX owned; ALTER TABLE streams DROP COLUMN owner;"
        " ALTER TABLE streams DROP COLUMN creator"
    )
    database.execute("ALTER TABLE streams DROP COLUMN held")
    database.execute(
        "DROP TABLE credentials; DROP TABLE prompts; DROP TABLE counted; DROP TABLE claims;"
        " DROP TABLE bodies"
    )
    database.pragma("user_version", 3)
    migrate(database, str(path))
    database.close()
    made.store = SQLiteStore(path)
    await made.start()
    check(made, await made.fork(NAME, "source"))
    await made.store.stop()
