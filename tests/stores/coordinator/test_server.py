"""What only a coordinator promises; the rest is in tests/stores/test_shared_engine.py.

Nothing is told before it is committed, nothing acknowledged is lost by its end, and no hub that is
slow, dead or wrong is noticed by another.
"""

from __future__ import annotations

import asyncio
import stat
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hub.domain.errors import StoreError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Appended
from hub.stores.coordinator import changes, client, sequencer, server
from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.coordinator.codec import VERSION, Parser, encode
from hub.stores.coordinator.held import Held
from hub.stores.coordinator.sequencer import Sequencer
from hub.stores.coordinator.server import Coordinator
from hub.stores.shared import Claim, SourceHold, Tick, join
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.sequenced import SequencedSQLiteStore
from hub.stores.sqlite.writer import Writer
from tests.faults.full_disk import FullDisk
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.shared_servers import at, code_of, hear, kept

BYTES = StreamSettings("application/octet-stream")
LIMIT = 1024 * 1024
SETTLE = 0.05

Open = Callable[..., Awaitable[CoordinatorEngine]]


class Place:
    """A coordinator in this process; its file and its socket."""

    def __init__(self, folder: Path) -> None:
        self.file, self.socket = folder / "hub.db", folder / "socket"

    async def start(self) -> None:
        self.store = SequencedSQLiteStore(self.file)
        self.coordinator = Coordinator(self.store, self.socket)
        await self.coordinator.start()

    async def restart(self) -> None:
        await self.coordinator.stop()
        await self.start()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.start()
    yield made
    await made.coordinator.stop()


@pytest.fixture
async def connect(place: Place) -> AsyncIterator[Open]:
    """Connect hubs; all are disconnected at the end."""
    engines: list[CoordinatorEngine] = []

    async def opened(**settings: Any) -> CoordinatorEngine:
        engines.append(CoordinatorEngine(place.socket, settle_seconds=SETTLE, **settings))
        await engines[-1].open()
        return engines[-1]

    yield opened
    for engine in engines:
        await engine.close()


@pytest.fixture
async def hub(connect: Open) -> CoordinatorEngine:
    return await connect()


@pytest.fixture
async def other(connect: Open) -> CoordinatorEngine:
    return await connect()


# What is kept


async def test_all_that_was_acknowledged_is_there_after_a_restart(
    place: Place, hub: CoordinatorEngine, connect: Open
) -> None:
    settings = StreamSettings("text/plain", ttl=3600, owner="o", creator="c")
    made, _ = await hub.create("s", settings, [b"0"])
    await hub.write("s", [b"1"], stamp=Stamp("p", 3, 0), sequence="q")
    await hub.enlist("n", "s", "g")
    await hub.begin("s", "g", "n", 2, [b"2"])
    await hub.tick([Tick("s", "g", 1, [b"3"])])
    assert await hub.cancel("s", "g") == "n"
    claim = Claim(b"\0\xff", "s", 7)
    await hub.claim("k", claim, 60)
    before = await hub.load("s", LIMIT)
    await place.restart()
    later = await connect(known=hub.incarnations)
    assert later.incarnations[0] > hub.incarnations[0]
    assert await later.load("s", LIMIT) == before
    assert (await later.load("s", 0)).settings.creator == "c"
    assert await later.runs("n") == [("s", "g")], "whoever dies now is known"
    assert await later.begin("s", "g", "n", 4, [b"x"]) is None
    assert await later.claimed("k") == claim
    (done,) = await later.tick([Tick("s", "g", 2, [b"4"])])
    assert done.cancelled, "the stop was not forgotten"
    assert done.written is not None
    assert done.written.epoch > made.epoch
    assert (await later.write("s", [b"1"], stamp=Stamp("p", 3, 0))).duplicate
    assert await kept(later, "s") == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_file_of_a_hub_alone_is_used_and_used_by_it_again(
    place: Place, hub: CoordinatorEngine, connect: Open
) -> None:
    await hub.create("s", BYTES, [b"0"])
    await place.coordinator.stop()
    alone = SQLiteStore(place.file)
    await alone.start()
    saved = await alone.load("s")
    assert saved is not None
    assert saved.tail == 1
    alone.note(Appended("s", Record(1, b"1", None)))
    await alone.stop()
    await place.start()
    later = await connect()
    assert await kept(later, "s") == [b"0", b"1"]
    assert at(await later.write("s", [b"2"])) == (3, False, False)


async def test_nothing_is_told_before_it_is_committed(
    hub: CoordinatorEngine, other: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.create("s", BYTES, [b"0"])
    await hub.create("t", BYTES, [b"t"])
    heard = await hear(other, "s")
    gate = threading.Event()
    write = Writer.write

    def gated(writer: Writer, changes: Any) -> Any:
        gate.wait(PATIENCE)
        return write(writer, changes)

    monkeypatch.setattr(Writer, "write", gated)
    first = asyncio.create_task(hub.write("s", [b"1"], stamp=Stamp("p", 0, 0)))
    again = asyncio.create_task(hub.write("s", [b"1"], stamp=Stamp("p", 0, 0)))
    closed = asyncio.create_task(hub.write("s", [], close=True))
    refused = asyncio.create_task(code_of(hub.write("s", [b"2"])))
    state = asyncio.create_task(hub.load("s", LIMIT))
    entries = asyncio.create_task(hub.read("s", 0, LIMIT))
    await asyncio.sleep(0.2)
    for task in (first, again, closed, refused, state, entries):
        assert not task.done(), "also not what was refused because of it"
    assert heard == []
    assert (await other.load("t", LIMIT)).tail == 1, "other streams are read meanwhile"
    gate.set()
    assert (at(await first), at(await again)) == ((2, False, False), (2, False, True))
    assert (at(await closed), await refused) == ((2, True, False), "stream_closed")
    assert (await state).closed
    assert join(await entries, 0) == [b"0", b"1"]
    await other.caught_up()
    assert [one.change for one in heard] == [2, 3]


async def test_a_full_disk_refuses_writes_and_work_goes_on_when_there_is_room(
    hub: CoordinatorEngine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.create("s", BYTES, [b"0"])
    await hub.create("t", BYTES, [b"t"])
    await hub.begin("t", "g", "n", 1, [b"g"])
    disk = FullDisk(monkeypatch)
    waiting = asyncio.create_task(hub.write("s", [b"1"]))
    await eventually(lambda: place.store.trouble is not None)
    for deed in (
        hub.write("t", [b"1"]),
        hub.create("new", BYTES),
        hub.tick([Tick("t", "g", 1, [b"x"])]),
        hub.end("t", "g", [b"x"]),
        hub.delete("t"),
        hub.write("s", [b"2"]),
        hub.load("s", LIMIT),
    ):
        assert await code_of(deed) == "store_full"
    assert await kept(hub, "t") == [b"t", b"g"]
    disk.make_space()
    assert at(await waiting) == (2, False, False)
    assert at(await hub.write("t", [b"1"])) == (3, False, False)


# Hubs that are slow, dead or wrong


async def greeted(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A hub that says what the test lets it say."""
    reader, writer = await asyncio.open_unix_connection(str(place.socket))
    writer.write(encode((1, "hello", VERSION, 0, 0.0, 100, 100)))
    assert Parser().feed(await reader.read(1000))[0].words[:2] == [1, "ok"]
    return reader, writer


async def test_a_hub_that_reads_nothing_is_cut_off_and_delays_nobody(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNREAD_BYTES", 1024 * 1024)
    await hub.create("s", BYTES)
    heard = await hear(hub, "s")
    reader, writer = await greeted(place)
    writer.write(encode((2, "listen", "s")))
    await eventually(lambda: len(place.coordinator._listeners["s"]) == 2)
    for _ in range(40):
        await hub.write("s", [b"x" * 100_000])
    assert len(heard) == 40
    assert len(place.coordinator._connections) == 1
    with suppress(ConnectionResetError):
        while await reader.read(1_000_000):
            pass
    writer.close()


async def test_a_hub_that_asks_too_much_is_read_no_further(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASKED", 10)
    await hub.create("s", BYTES)
    reader, writer = await greeted(place)
    for number in range(200):
        writer.write(encode((number + 2, "write", "s", None, None, False, None), [b"1"]))
        writer.write(encode((number + 1000, "find", "nowhere", 0)))
    parser, answered = Parser(), 0
    async with asyncio.timeout(PATIENCE):
        while answered < 400:
            answered += len(parser.feed(await reader.read(100_000)))
    assert (await hub.load("s", LIMIT)).tail == 200, "all of it is done, in its turn"
    writer.close()


async def test_a_hub_that_is_gone_is_forgotten(
    place: Place, hub: CoordinatorEngine, other: CoordinatorEngine
) -> None:
    await hear(hub, "s")
    await hear(other, "s")
    await other.close()
    await eventually(lambda: len(place.coordinator._connections) == 1)
    assert len(place.coordinator._listeners["s"]) == 1
    hub.unsubscribe("s")
    await hub.caught_up()
    assert place.coordinator._listeners == {}


@pytest.mark.parametrize(
    "said", [b"\xff" * 100, encode((1, "nonsense")), encode((2, "write")), b"\0" * 8]
)
async def test_a_hub_that_nobody_understands_is_cut_off(
    place: Place, connect: Open, said: bytes
) -> None:
    reader, writer = await greeted(place)
    writer.write(said)
    async with asyncio.timeout(PATIENCE):
        while data := await reader.read(1000):
            assert b"failed" in data
    writer.close()
    later = await connect()
    await later.create("s", BYTES)


async def test_whoever_does_not_greet_like_a_hub_is_cut_off(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for said in (encode((1, "hello")), encode((1, "hello", VERSION, 0, 1))):
        reader, writer = await asyncio.open_unix_connection(str(place.socket))
        writer.write(said)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
    assert "what nobody understands" in caplog.text


async def test_a_hub_of_another_release_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "VERSION", VERSION + 1)
    engine = CoordinatorEngine(place.socket)
    with pytest.raises(StoreError, match="another release"):
        await engine.open()


async def test_only_the_owner_may_connect(place: Place) -> None:
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600
    await place.coordinator.stop()
    assert not place.socket.exists()
    engine = CoordinatorEngine(place.socket)
    with pytest.raises(StoreError) as refused:
        await engine.open()
    assert refused.value.code == "store_unavailable"
    await place.start()


# What a coordinator can do


async def test_a_bug_is_not_gone_on_with(
    hub: CoordinatorEngine, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory may be half done: hubs come back to what was committed."""
    await hub.create("s", BYTES, [b"0"])
    trim = Sequencer._trim

    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(Sequencer, "_trim", broken)
    with pytest.raises(StoreError):
        await hub.write("s", [b"1"])
    await asyncio.wait_for(asyncio.shield(hub.lost), PATIENCE)
    monkeypatch.setattr(Sequencer, "_trim", trim)
    later = await back(connect, hub)
    assert later.incarnations[0] > hub.incarnations[0]
    assert await kept(later, "s") == [b"0"]
    assert at(await later.write("s", [b"1"])) == (2, False, False)


async def back(connect: Open, lost: CoordinatorEngine) -> CoordinatorEngine:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await connect(known=lost.incarnations)
            except StoreError:
                await asyncio.sleep(0.01)


async def test_what_can_never_be_kept_is_acknowledged_to_nobody(
    place: Place, hub: CoordinatorEngine, connect: Open
) -> None:
    await hub.create("s", BYTES, [b"0"])
    await hub.create("t", BYTES)
    heard = await hear(hub, "s")
    place.store.note(Appended("s", Record(0, b"a second record at its offset", None)))
    with pytest.raises(StoreError):
        await hub.write("s", [b"1"])
    assert heard == []
    later = await back(connect, hub)
    assert await kept(later, "s") == [b"0"]
    assert at(await later.write("s", [b"2"])) == (2, False, False)
    assert at(await later.write("t", [b"2"])) == (1, False, False)


async def test_a_hub_that_knows_more_begins_another_incarnation(
    hub: CoordinatorEngine, connect: Open
) -> None:
    await hub.create("s", BYTES, [b"0"])
    far = {0: hub.incarnations[0] + 2**40}
    with pytest.raises(StoreError):
        await connect(known=far)
    later = await back(connect, hub)
    assert later.incarnations[0] > far[0]
    assert hub.lost.done()
    assert (await later.write("s", [b"1"])).epoch > far[0]


async def test_streams_that_are_not_used_leave_memory_and_come_back(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "IDLE_SECONDS", 0.0)
    made, _ = await hub.create("s", BYTES, [b"0"])
    await hub.create("held", BYTES)
    await hub.hold(SourceHold("held", "f"), 0)
    await place.coordinator._sequencer.sweep()
    assert list(place.coordinator._sequencer._streams) == ["held"], "a hold is only there"
    written = await hub.write("s", [b"1"], born=made.epoch)
    assert (written.tail, written.change, written.epoch) == (2, 2, made.epoch)


async def test_only_so_many_streams_are_in_memory(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "STREAMS", 3)
    for number in range(6):
        await hub.create(f"s{number}", BYTES, [b"0"])
    assert len(place.coordinator._sequencer._streams) == 3
    assert at(await hub.write("s0", [b"1"])) == (2, False, False)


async def test_what_has_expired_is_removed_with_what_was_kept_for_it(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)
    await place.restart()
    hub = CoordinatorEngine(place.socket, settle_seconds=SETTLE)
    await hub.open()
    await hub.create("a", BYTES, [b"0"])
    await hub.hold(SourceHold("a", "b"), 1)
    heard = await hear(hub, "b")
    soon = round(time.time() * 1000) + 300
    await hub.create("b", StreamSettings("", fork=Fork("a", 1)), expires=soon)
    await hub.delete("a")
    await eventually(lambda: heard and heard[-1].removed)
    await eventually(lambda: not place.coordinator._sequencer._streams)
    for name in "ab":
        with pytest.raises(StreamNotFound):
            await hub.load(name, LIMIT)
    await hub.close()


async def test_a_fork_that_begins_while_the_one_before_is_removed_holds_its_source(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = place.coordinator._sequencer
    await hub.create("a", BYTES, [b"0"])
    await hub.hold(SourceHold("a", "b"), 1)
    soon = round(time.time() * 1000) + 50
    await hub.create("b", StreamSettings("", fork=Fork("a", 1)), expires=soon)
    await eventually(lambda: time.time() * 1000 > soon)
    open_, again = sequencer.open, False

    async def slow(name: str) -> Held | None:
        nonlocal again
        found = await open_(name)
        if name == "a" and not again:
            again = True
            await hub.hold(SourceHold("a", "b", "again"), 1)
            await hub.create("b", StreamSettings("", fork=Fork("a", 1, "again")))
        return found

    monkeypatch.setattr(sequencer, "open", slow)
    await sequencer.sweep()
    assert again
    await hub.delete("a")
    assert join(await hub.read("b", 0, LIMIT), 0) == [b"0"]


async def test_a_hold_whose_fork_does_not_begin_is_void(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "HOLD_SECONDS", 0.0)
    await hub.create("s", BYTES, [b"0"])
    await hub.hold(SourceHold("s", "f"), 1)
    await hub.delete("s")
    await place.coordinator._sequencer.sweep()
    assert await hub.find("s", LIMIT) is None


async def test_a_fork_does_not_begin_in_what_is_held_for_it_no_more(
    place: Place, hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "HOLD_SECONDS", 0.0)
    await hub.create("s", BYTES, [b"0"])
    await hub.hold(SourceHold("s", "f"), 1)
    await place.coordinator._sequencer.sweep()
    fork = StreamSettings("", fork=Fork("s", 1))
    assert await code_of(hub.create("f", fork)) == "stream_moved"
    assert await hub.find("f", 0) is None
    await hub.hold(SourceHold("s", "f"), 1)
    written, _ = await hub.create("f", fork)
    assert written.tail == 1


async def test_a_prompt_that_begins_while_the_store_is_asked_about_it_does_not_wait_again(
    hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.create("s", BYTES, [b"0"])
    await hub.begin("s", "g", "n", 1, [b"1"])
    await hub.end("s", "g", [b"2"], number=1)

    async def a_moment_ago(*_: object) -> bool:
        return False

    monkeypatch.setattr(Sequencer, "begun", a_moment_ago)
    assert await hub.queue("s", "", [b"queued"], ("", ""), added="g") is None
    assert (await hub.load("s", 0)).tail == 3


async def test_a_fork_of_nothing_does_not_begin(hub: CoordinatorEngine) -> None:
    with pytest.raises(StreamNotFound):
        await hub.create("f", StreamSettings("", fork=Fork("s", 0)))
    assert await hub.find("f", 0) is None


# What a hub waits for


async def test_what_is_not_answered_is_not_waited_for(
    hub: CoordinatorEngine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator lives, so the connection does, too."""
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(place.coordinator, "take", answering_beats(place.coordinator))
    assert await code_of(hub.create("s", BYTES)) == "store_slow"
    assert not hub.lost.done()


def answering_beats(coordinator: Coordinator) -> Callable[..., None]:
    take = coordinator.take

    def only_beats(connection: Any, message: Any) -> None:
        if message.words[1] == "beat":
            take(connection, message)

    return only_beats


async def test_a_coordinator_that_is_silent_is_given_up(
    connect: Open, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
    hub = await connect()
    await asyncio.sleep(0.5)
    assert not hub.lost.done()
    monkeypatch.setattr(place.coordinator, "take", lambda *_: None)
    why = await asyncio.wait_for(asyncio.shield(hub.lost), PATIENCE)
    assert "silent" in why.message
    assert await code_of(hub.create("s", BYTES)) == "store_unavailable"


async def test_no_more_is_asked_than_may_be_under_way(
    hub: CoordinatorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "UNDER_WAY", 5)
    await hub.create("s", BYTES)
    found = await asyncio.gather(
        *(hub.write("s", [b"1"]) for _ in range(20)), return_exceptions=True
    )
    slow = [one for one in found if isinstance(one, StoreError)]
    assert {one.code for one in slow} == {"store_slow"}
    assert (await hub.load("s", LIMIT)).tail == 20 - len(slow) >= 5


async def test_whoever_asks_too_much_can_still_listen_no_longer(
    hub: CoordinatorEngine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hear(hub, "s")
    monkeypatch.setattr(client, "UNDER_WAY", 0)
    hub.unsubscribe("s")
    await eventually(lambda: not place.coordinator._listeners)


async def test_a_change_that_cannot_be_read_is_told_as_one(
    hub: CoordinatorEngine, place: Place
) -> None:
    heard: list[object] = []
    await hub.subscribe("s", heard.append)
    place.coordinator._publish("s", encode((0, "s", 1, 2, 3, {"newer": 1})))
    await hub.caught_up()
    assert heard == [None]
