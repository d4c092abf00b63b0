"""One contract, kept by every writer: a check and its deed are one step, whoever else writes.

It speaks to a `hub.stores.writer.Writer` by the names of streams alone, and reads what is then
there. A driver begins again on what it kept: then each stream has to be loaded before it is
written, and the writes of a race meet while that is under way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from hub.domain.counters import Counters
from hub.domain.errors import (
    Conflict,
    Gone,
    HubError,
    LimitExceeded,
    ProducerFenced,
    ProducerGap,
    RequestError,
    StreamBusy,
    StreamClosed,
    StreamNotFound,
)
from hub.domain.events import Delta, Message, Started
from hub.domain.generation import Generation
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body
from hub.domain.stream_settings import JSON, StreamSettings
from hub.stores import Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.stores.writer import Beginning
from hub.streams.registry import StreamLimits, Streams
from hub.streams.shared_writer import SharedWriter
from hub.streams.stream import Retention
from hub.streams.writer import LocalWriter
from tests.support.coordinator_server import CoordinatorServer
from tests.support.record_writers import Writing
from tests.support.redis_server import RedisServer
from tests.support.shared_nodes import Nodes
from tests.support.shared_servers import SharedServer

MANY = 12
BYTES = StreamSettings("application/octet-stream")
ONE: list[Body] = [(b"1", None)]
TWO: list[Body] = [(b"1", None), (b"2", None)]
HELLO = Message("user", "Hello")


Writes = LocalWriter | SharedWriter
"""Generations are begun only by the writers of one process so far."""


class Driver(Protocol):
    """One kind of writer, and the place where it keeps things."""

    async def start(self) -> Writes:
        """A writer on what was kept so far."""

    async def restart(self) -> Writes:
        """Another process on what is kept; where nothing is, the same one goes on."""

    async def stop(self) -> None: ...

    async def synced(self) -> None:
        """Wait until what was written is kept."""

    async def advance(self, name: str, seconds: float) -> None:
        """Bring a stream so much closer to its expiry."""

    async def expires(self, name: str) -> float:
        """When a stream expires, in seconds since 1970."""

    async def bodies(self, name: str) -> list[bytes]:
        """What a stream holds, whether or not it is shown yet."""


class Local:
    """The writer of one process over a store."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make

    async def start(self) -> LocalWriter:
        self.store = self._make()
        await self.store.start()
        self.streams = Streams(
            self.store,
            retention=Retention(),
            limits=StreamLimits(streams=50),
            slice_size=250,
            counts=Counters(),
        )
        return LocalWriter(self.streams)

    async def restart(self) -> LocalWriter:
        if not self.store.durable:
            return LocalWriter(self.streams)
        await self.stop()
        return await self.start()

    async def stop(self) -> None:
        await self.store.stop()

    async def hold(self, name: str) -> Writing:
        """Hold a stream for a generation."""
        stream, _ = await self.streams.create(name)
        stream.writer = run = Writing()
        return run

    async def synced(self) -> None:
        await self.store.synced()

    async def advance(self, name: str, seconds: float) -> None:
        stream = await self.streams.open(name)
        assert stream.expires is not None
        stream.expires -= seconds

    async def expires(self, name: str) -> float:
        return (await self.streams.open(name)).expires or 0.0

    async def bodies(self, name: str) -> list[bytes]:
        stream = await self.streams.open(name)
        await stream.committed()
        return [record.body async for part in stream.stretches() for record in part]


class Shared:
    """The writer of one of several processes over an engine that they share."""

    def __init__(self, server: SharedServer) -> None:
        self._server = server
        self._nodes = Nodes(self._server, settle_seconds=0.05)

    async def start(self) -> Writes:
        await self._server.start()
        return await self.restart()

    async def restart(self) -> Writes:
        self._node = await self._nodes.start(streams=50)
        return SharedWriter(self._node)

    async def stop(self) -> None:
        await self._nodes.stop()
        await self._server.stop()

    async def synced(self) -> None:
        """What was acknowledged is kept."""

    async def advance(self, name: str, seconds: float) -> None:
        mirror = await self._node.open(name)
        assert mirror.expires is not None
        mirror.expires -= round(seconds * 1000)

    async def expires(self, name: str) -> float:
        return ((await self._node.open(name)).expires or 0) / 1000

    async def bodies(self, name: str) -> list[bytes]:
        mirror = await self._node.open(name)
        return [record.body async for part in mirror.stretches() for record in part]


SERVERS: dict[str, Callable[[Path], SharedServer]] = {
    "redis": RedisServer,
    "coordinator": CoordinatorServer,
}


@pytest.fixture(
    params=["memory", "sqlite", *(pytest.param(one, marks=pytest.mark.process) for one in SERVERS)]
)
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    server = SERVERS.get(request.param)
    made = _local(request, tmp_path) if server is None else Shared(server(tmp_path / "server"))
    yield made
    await made.stop()


@pytest.fixture
async def writer(driver: Driver) -> Writes:
    return await driver.start()


@pytest.fixture(params=["memory", "sqlite"])
async def local(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Local]:
    made = _local(request, tmp_path)
    yield made
    await made.stop()


@pytest.fixture
async def local_writer(local: Local) -> LocalWriter:
    return await local.start()


def _local(request: pytest.FixtureRequest, folder: Path) -> Local:
    kinds: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(folder / "hub.db"),
    }
    return Local(kinds[request.param])


def at(outcome: Outcome) -> tuple[int, bool, bool]:
    return outcome.position.offset, outcome.closed, outcome.duplicate


async def race(*deeds: Awaitable[Outcome]) -> tuple[list[Outcome], Counter[str]]:
    """Do all at once: what came of those that were done, and why the others were not."""
    found = await asyncio.gather(*deeds, return_exceptions=True)
    for one in found:
        assert isinstance(one, Outcome | HubError), repr(one)
    done = [one for one in found if isinstance(one, Outcome)]
    return done, Counter(one.code for one in found if isinstance(one, HubError))


# One after the other


async def test_create_begins_a_stream_once(writer: Writes, driver: Driver) -> None:
    assert at(await writer.create("s", BYTES, TWO, close=True)) == (2, True, False)
    assert at(await writer.create("s", BYTES, ONE, close=True)) == (2, True, True)
    for settings, close in ((BYTES, False), (StreamSettings("text/plain"), True)):
        with pytest.raises(Conflict) as refused:
            await writer.create("s", settings, close=close)
        assert refused.value.code == "stream_exists"
    assert await driver.bodies("s") == [b"1", b"2"]


async def test_an_outcome_says_what_the_stream_is(writer: Writes) -> None:
    assert (await writer.create("s", BYTES)).content_type == BYTES.content_type
    assert (await writer.write("t", [], settings=StreamSettings())).content_type == JSON
    assert (await writer.fork("f", "s", settings=StreamSettings(""))).content_type == (
        BYTES.content_type
    )


async def test_positions_go_on_and_load_says_the_last(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES)
    for end in (1, 2, 3):
        outcome = await writer.write("s", ONE)
        assert at(outcome) == (end, False, False)
    assert await writer.load("s") == outcome
    await driver.synced()
    again = await driver.restart()
    assert at(await again.load("s")) == (3, False, False)
    assert at(await again.write("s", ONE)) == (4, False, False)


async def test_what_is_not_there_is_written_to_only_with_settings(writer: Writes) -> None:
    for deed in (
        writer.load("s"),
        writer.write("s", ONE),
        writer.delete("s"),
        writer.touch("s"),
        writer.fork("f", "s"),
    ):
        with pytest.raises(StreamNotFound):
            await deed
    assert at(await writer.write("s", ONE, settings=BYTES)) == (1, False, False)
    assert at(await writer.write("s", ONE, settings=BYTES)) == (2, False, False)


async def test_events_go_only_where_they_can_be_read(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES)
    with pytest.raises(Conflict) as refused:
        await writer.write("s", [(b"{}", HELLO)])
    assert refused.value.code == "not_json"
    assert await driver.bodies("s") == []


async def test_producers_are_known_in_the_next_process(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES)
    for number in range(3):
        assert (await writer.write("s", ONE, stamp=Stamp("p", 1, number))).number == number
    await driver.synced()
    writer = await driver.restart()
    again = await writer.write("s", ONE, stamp=Stamp("p", 1, 0))
    assert (at(again), again.number) == ((3, False, True), 2)
    with pytest.raises(ProducerFenced):
        await writer.write("s", ONE, stamp=Stamp("p", 0, 3))
    with pytest.raises(ProducerGap):
        await writer.write("s", ONE, stamp=Stamp("p", 1, 4))
    with pytest.raises(RequestError, match="start at 0"):
        await writer.write("s", ONE, stamp=Stamp("p", 2, 1))
    assert await driver.bodies("s") == [b"1"] * 3


async def test_a_sequence_rises_also_in_the_next_process(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES)
    await writer.write("s", ONE, sequence="b")
    await driver.synced()
    writer = await driver.restart()
    for sequence in ("a", "b"):
        with pytest.raises(Conflict) as refused:
            await writer.write("s", ONE, sequence=sequence)
        assert refused.value.code == "stream_seq"
    assert at(await writer.write("s", ONE, sequence="c")) == (2, False, False)


async def test_a_close_is_for_good_and_may_come_again(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES)
    stamp = Stamp("p", 0, 0)
    assert at(await writer.write("s", ONE, stamp=stamp, close=True)) == (1, True, False)
    await driver.synced()
    writer = await driver.restart()
    assert at(await writer.write("s", TWO, stamp=stamp, close=True)) == (1, True, True)
    assert at(await writer.write("s", [], close=True)) == (1, True, True)
    with pytest.raises(StreamClosed) as refused:
        await writer.write("s", ONE)
    assert refused.value.position == str((await writer.load("s")).position)


async def test_a_deleted_stream_is_gone_and_its_name_is_free(writer: Writes) -> None:
    before = await writer.create("s", BYTES, TWO)
    await writer.delete("s")
    with pytest.raises(StreamNotFound):
        await writer.load("s")
    after = await writer.create("s", BYTES)
    assert after.position > before.position
    with pytest.raises(StreamNotFound):
        await writer.delete("s", epoch=before.position.epoch)
    with pytest.raises(StreamNotFound):
        await writer.write("s", ONE, epoch=before.position.epoch)
    assert at(await writer.write("s", ONE, epoch=after.position.epoch)) == (1, False, False)
    await writer.delete("s", epoch=after.position.epoch)


async def test_a_fork_has_its_sources_records_and_its_own(writer: Writes, driver: Driver) -> None:
    first = await writer.create("s", BYTES, ONE)
    await writer.write("s", [(b"2", None)])
    done = await writer.fork("f", "s", first.position, StreamSettings(""), bodies=[(b"x", None)])
    assert at(done) == (2, False, False)
    again = await writer.fork("f", "s", first.position, StreamSettings(""))
    assert at(again) == (2, False, True)
    assert await driver.bodies("f") == [b"1", b"x"]
    with pytest.raises(Conflict) as refused:
        await writer.fork("f", "s", None, StreamSettings("text/plain"))
    assert refused.value.code == "content_type"


async def test_a_source_is_hidden_while_it_has_forks(writer: Writes, driver: Driver) -> None:
    await writer.create("s", BYTES, ONE)
    await writer.fork("f", "s", settings=StreamSettings(""))
    await writer.delete("s")
    await driver.synced()
    writer = await driver.restart()
    for deed in (writer.load("s"), writer.write("s", ONE), writer.delete("s")):
        with pytest.raises(Gone):
            await deed
    with pytest.raises(Conflict):
        await writer.create("s", BYTES)
    assert await driver.bodies("f") == [b"1"]
    await writer.delete("f")
    assert at(await writer.create("s", BYTES)) == (0, False, False)


async def test_no_more_streams_begin_than_may(writer: Writes) -> None:
    for number in range(50):
        await writer.create(str(number), BYTES)
    try:
        await writer.create("one-more", BYTES)
    except LimitExceeded:
        return  # nothing is let go of where that would be its end
    assert at(await writer.load("0")) == (0, False, False), "it has only left memory"


async def test_a_touch_moves_the_expiry(writer: Writes, driver: Driver) -> None:
    await writer.create("s", StreamSettings(ttl=3600))
    await driver.advance("s", 1800)
    before = await driver.expires("s")
    assert at(await writer.touch("s")) == (0, False, False)
    assert await driver.expires("s") > before


# Generations


def beginning(generation: str, **more: Any) -> Beginning:
    return Beginning(generation, [HELLO, Started(generation)], **more)


async def test_a_generation_begins_in_the_stream_that_is_held_for_it(
    local_writer: LocalWriter, local: Local
) -> None:
    run = await local.hold("s")
    other = Generation("", "", None).id
    for wrong in (other, ""):
        with pytest.raises(StreamBusy):
            await local_writer.begin("s", beginning(wrong))
        with pytest.raises(StreamBusy):
            local_writer.appender("s", wrong)
    assert at(await local_writer.begin("s", beginning(run.id))) == (2, False, False)
    appender = local_writer.appender("s", run.id)
    record = appender.append(Delta(run.id, "x"))
    assert record is not None
    assert record.offset == 2
    assert not appender.full
    with pytest.raises(StreamBusy):
        await local_writer.write("s", [], close=True)
    assert len(await local.bodies("s")) == 3


async def test_a_generation_that_cannot_be_written_leaves_nothing(
    local_writer: LocalWriter, local: Local
) -> None:
    run = await local.hold("s")
    with pytest.raises(RequestError):
        await local_writer.begin(
            "s", Beginning(run.id, [HELLO, Started(run.id, extra={"x": "\ud800"})])
        )
    assert await local.bodies("s") == []


async def test_a_generation_that_began_is_found_by_the_next_process(
    local_writer: LocalWriter, local: Local
) -> None:
    run = await local.hold("s")
    await local_writer.begin("s", beginning(run.id, key="k", fingerprint=b"f"))
    await local.synced()
    if not local.store.durable:
        return
    keyed = await local.store.keyed("k")
    assert keyed is not None
    assert (keyed.generation, keyed.fingerprint, keyed.position.offset) == (run.id, b"f", 0)
    told = await local.store.locate(run.id)
    assert told is not None
    assert (told.position.offset, told.started, told.ended) == (0, 1, None)


async def test_an_appender_writes_nothing_behind_the_end_of_its_stream(
    local_writer: LocalWriter, local: Local
) -> None:
    run = await local.hold("s")
    await local_writer.begin("s", beginning(run.id))
    appender = local_writer.appender("s", run.id)
    await local_writer.delete("s")
    assert run.ended
    with pytest.raises(StreamNotFound):
        appender.append(Delta(run.id, "late"))


# At once


@pytest.fixture(params=["in memory", "to be loaded"])
async def racing(request: pytest.FixtureRequest, writer: Writes, driver: Driver) -> Writes:
    """A writer with a stream of bytes, ``s``."""
    await writer.create("s", BYTES)
    if request.param == "to be loaded":
        await driver.synced()
        writer = await driver.restart()
    return writer


async def test_of_many_that_begin_a_stream_one_does(writer: Writes, driver: Driver) -> None:
    done, refused = await race(*(writer.create("s", BYTES, ONE) for _ in range(MANY)))
    assert sorted(map(at, done)) == [(1, False, False), *[(1, False, True)] * (MANY - 1)]
    assert not refused
    kinds = [StreamSettings(f"text/x{number}") for number in range(MANY)]
    done, refused = await race(*(writer.create("t", kind) for kind in kinds))
    assert (len(done), refused) == (1, {"stream_exists": MANY - 1})


async def test_each_of_many_writes_has_an_offset_of_its_own(racing: Writes, driver: Driver) -> None:
    bodies: list[Body] = [(b"%d" % number, None) for number in range(MANY)]
    done, refused = await race(*(racing.write("s", [body]) for body in bodies))
    assert not refused
    held = await driver.bodies("s")
    assert [held[one.position.offset - 1] for one in done] == [body for body, _ in bodies]


async def test_one_append_that_comes_many_times_is_written_once(
    racing: Writes, driver: Driver
) -> None:
    stamp = Stamp("p", 0, 0)
    done, refused = await race(*(racing.write("s", TWO, stamp=stamp) for _ in range(MANY)))
    assert not refused
    assert Counter(one.duplicate for one in done) == {False: 1, True: MANY - 1}
    assert {(one.position.offset, one.number) for one in done} == {(2, 0)}
    assert await driver.bodies("s") == [b"1", b"2"]


async def test_of_two_instances_of_a_producer_one_is_fenced(racing: Writes, driver: Driver) -> None:
    old = [racing.write("s", [(b"old", None)], stamp=Stamp("p", 0, n)) for n in range(MANY)]
    new = [racing.write("s", [(b"new", None)], stamp=Stamp("p", 1, n)) for n in range(MANY)]
    deeds = [deed for pair in zip(old, new, strict=True) for deed in pair]
    await race(*deeds)
    held = await driver.bodies("s")
    assert held == sorted(held, reverse=True), "nothing of the old one behind the new one"
    assert held.count(b"new") == MANY


async def test_of_many_writes_of_one_sequence_one_is_written(
    racing: Writes, driver: Driver
) -> None:
    done, refused = await race(*(racing.write("s", ONE, sequence="a") for _ in range(MANY)))
    assert (len(done), refused) == (1, {"stream_seq": MANY - 1})
    assert await driver.bodies("s") == [b"1"]


async def test_nothing_is_written_behind_a_close(racing: Writes, driver: Driver) -> None:
    deeds = [racing.write("s", ONE) for _ in range(MANY)]
    deeds.insert(MANY // 2, racing.write("s", [(b"|", None)], close=True))
    done, refused = await race(*deeds)
    held = await driver.bodies("s")
    assert held[-1] == b"|"
    assert (len(done), refused["stream_closed"]) == (len(held), MANY + 1 - len(held))


async def test_whatever_is_written_when_a_stream_is_deleted_is_gone_or_refused(
    racing: Writes, driver: Driver
) -> None:
    deeds = [racing.write("s", ONE) for _ in range(MANY)]
    deeds.insert(MANY // 2, racing.delete("s"))
    deeds.append(racing.delete("s"))
    _, refused = await race(*deeds)
    assert set(refused) == {"stream_not_found"}
    with pytest.raises(StreamNotFound):
        await racing.load("s")
    assert at(await racing.create("s", BYTES)) == (0, False, False)


async def test_a_deletion_never_takes_the_next_stream_of_the_name(racing: Writes) -> None:
    epoch = (await racing.load("s")).position.epoch
    deeds: list[Awaitable[Outcome]] = []
    for _ in range(MANY):
        deeds.append(racing.delete("s", epoch=epoch))
        deeds.append(racing.write("s", ONE, settings=BYTES))
    done, refused = await race(*deeds)
    assert (len(done), refused) == (MANY + 1, {"stream_not_found": MANY - 1})
    left = await racing.load("s")
    assert left.position.epoch > epoch
    assert left.position.offset >= 1


async def test_of_many_forks_one_is_made_and_of_its_records_too(
    racing: Writes, driver: Driver
) -> None:
    await racing.write("s", ONE)
    own: list[Body] = [(b"x", None)]
    done, refused = await race(
        *(racing.fork("f", "s", None, StreamSettings(""), bodies=own) for _ in range(MANY))
    )
    assert not refused
    assert Counter(one.duplicate for one in done) == {False: 1, True: MANY - 1}
    assert await driver.bodies("f") == [b"1", b"x"]


async def test_a_source_that_is_deleted_while_it_is_forked_is_whole_in_the_fork(
    racing: Writes, driver: Driver
) -> None:
    await racing.write("s", TWO)
    forks = [racing.fork(f"f{number}", "s", None, StreamSettings("")) for number in range(MANY)]
    forks.insert(MANY // 2, racing.delete("s"))
    done, refused = await race(*forks)
    assert set(refused) <= {"stream_deleted", "stream_not_found"}
    for number in range(MANY):
        try:
            assert await driver.bodies(f"f{number}") == [b"1", b"2"]
        except StreamNotFound:
            continue
    assert len(done) + sum(refused.values()) == MANY + 1


async def test_nothing_begins_in_a_stream_that_is_closed_meanwhile(
    local_writer: LocalWriter, local: Local
) -> None:
    run = await local.hold("s")
    deeds = [local_writer.begin("s", beginning(run.id)), local_writer.delete("s")]
    done, refused = await race(*deeds)
    assert (len(done), sum(refused.values())) in ((2, 0), (1, 1))
    assert run.ended
