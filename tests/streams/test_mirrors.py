"""Hubs on one engine: each shows what the others write, and together they keep what it loses.

Nodes run in one process here, each with connections of its own; the server is a real one, which is
killed, frozen and emptied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from hub.domain.errors import Gone, InvalidName, LimitExceeded, StoreError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.shared import Notice, SourceHold, Tick, Written
from hub.streams import mirrors as mirrors_module
from hub.streams.followed import FollowedStream
from hub.streams.history import Place
from hub.streams.mirror import Mirror, Version
from hub.streams.mirrors import Mirrors
from hub.streams.wait import until
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import KINDS, RedisServer
from tests.support.shared_nodes import Nodes, back, bodies, shown
from tests.support.shared_servers import SharedServer

BYTES = StreamSettings("application/octet-stream")
StartNode = Callable[..., Awaitable[Mirrors]]


@pytest.fixture
async def start_node(shared_server: SharedServer) -> AsyncIterator[StartNode]:
    """Start nodes on the server; all are stopped at the end."""
    nodes = Nodes(shared_server)
    yield nodes.start
    await nodes.stop()


@pytest.fixture
async def node(start_node: StartNode) -> Mirrors:
    return await start_node()


@pytest.fixture
async def other(start_node: StartNode, node: Mirrors) -> Mirrors:
    return await start_node()


def redis(server: SharedServer) -> RedisServer:
    """The server, which is one of Redis here."""
    assert isinstance(server, RedisServer)
    return server


# Opening and following


async def test_what_one_hub_writes_the_others_show(node: Mirrors, other: Mirrors) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    here, there = await node.open("s"), await other.open("s")
    assert here is await node.open("s")
    await node.engine.write("s", [b"1", b"2"])
    await other.engine.write("s", [b"3"], close=True)
    for mirror in (here, there):
        assert await shown(mirror, 4) == [b"0", b"1", b"2", b"3"]
        assert mirror.closed
    assert here.position == there.position
    assert here.outcome() == there.outcome()


async def test_many_who_open_a_stream_at_once_get_one_mirror(node: Mirrors) -> None:
    await node.engine.create("s", BYTES)
    found = await asyncio.gather(*(node.open("s") for _ in range(10)))
    assert len(set(map(id, found))) == 1


async def test_nothing_falls_between_history_and_live(node: Mirrors, other: Mirrors) -> None:
    await node.engine.create("s", BYTES)
    expected = [b"%d" % number for number in range(300)]

    async def write() -> None:
        for body in expected:
            await node.engine.write("s", [body])

    writing = asyncio.create_task(write())
    for _ in range(20):
        mirror = await other.open("s")
        start = mirror.tail
        assert (await bodies(mirror))[:start] == expected[:start]
        other._drop(other._held["s"])
        await asyncio.sleep(0.002)
    mirror = await other.open("s")
    assert await shown(mirror, 300) == expected
    await writing


async def test_what_cannot_be_opened_leaves_nothing(node: Mirrors) -> None:
    with pytest.raises(StreamNotFound):
        await node.open("s")
    with pytest.raises(InvalidName):
        await node.open("")
    await node.engine.create("s", BYTES)
    await node.engine.hold(SourceHold("s", "f"), 0)
    await node.engine.delete("s")
    with pytest.raises(Gone):
        await node.open("s")
    assert len(node) == 1, "a source is kept"


async def test_a_stream_that_was_removed_ends_for_all_its_readers(
    node: Mirrors, other: Mirrors
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    await other.engine.delete("s")
    async with asyncio.timeout(PATIENCE):
        assert await until(mirror, lambda: mirror.closed)
    assert mirror.removed
    with pytest.raises(StreamNotFound):
        await node.open("s")
    await other.engine.create("s", BYTES, [b"new"])
    assert await bodies(await node.open("s")) == [b"new"]


async def test_a_mirror_that_left_memory_before_its_turn_takes_no_changes_from_the_next_one(
    node: Mirrors,
) -> None:
    await node.engine.create("s", BYTES)
    await node.open("s")
    held, turns = node._held["s"], asyncio.Semaphore(0)
    resuming = asyncio.create_task(node._resume(held, node.engine, turns))  # as after a loss
    await asyncio.sleep(0)
    node._drop(held)
    mirror = await node.open("s")
    turns.release()
    await resuming
    await node.engine.write("s", [b"1"])
    assert await shown(mirror, 1) == [b"1"]


async def test_a_writer_waits_for_its_own_change(node: Mirrors) -> None:
    await node.engine.create("s", BYTES)
    mirror = await node.open("s")
    for number in range(20):
        written = await node.engine.write("s", [b"%d" % number])
        await node.confirmed(mirror, written)
        assert mirror.tail == number + 1


async def test_a_change_that_never_comes_is_not_confirmed(
    node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.engine.create("s", BYTES)
    mirror = await node.open("s")
    monkeypatch.setattr(mirrors_module, "CONFIRM_SECONDS", 0.05)
    with pytest.raises(StoreError, match="not confirmed"):
        await node.confirmed(mirror, Written(mirror.epoch, 9, 99))
    waiting = asyncio.create_task(node.confirmed(mirror, Written(mirror.epoch, 9, 99)))
    await asyncio.sleep(0)
    await node.engine.delete("s")
    with pytest.raises(StoreError):
        await waiting
    with pytest.raises(StoreError):
        await node.confirmed(mirror, Written(mirror.epoch, 9, 99))


async def test_a_mirror_is_not_in_use_by_those_who_wait_no_longer(
    node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.engine.create("s", BYTES)
    mirror = await node.open("s")
    never = Written(mirror.epoch, 9, 99)
    waiting = asyncio.create_task(node.confirmed(mirror, never))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    monkeypatch.setattr(mirrors_module, "CONFIRM_SECONDS", 0.05)
    with pytest.raises(StoreError):
        await node.confirmed(mirror, never)
    await node.sweep(1000.0)
    await node.sweep(1061.0)
    assert node.loaded("s") is None


async def test_missed_and_strange_notices_are_made_up_for(node: Mirrors, other: Mirrors) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    held = node._held["s"]
    take, dropped = mirror.take, 3

    def forgetful(notice: Notice, incarnation: int) -> bool:
        nonlocal dropped
        dropped -= 1
        return True if dropped >= 0 else take(notice, incarnation)

    node._held["s"].mirror = Forgetful(mirror, forgetful)  # type: ignore[assignment]  # for this test
    for number in range(1, 4):
        await other.engine.write("s", [b"%d" % number])
    await eventually(lambda: dropped == 0)
    held.mirror = mirror
    await other.engine.write("s", [b"4"])
    assert await shown(mirror, 5) == [b"0", b"1", b"2", b"3", b"4"]
    await eventually(lambda: held.waiting is None)
    node._hear(held, node.engine, None)
    await other.engine.write("s", [b"5"])
    assert (await shown(mirror, 6))[5:] == [b"5"]
    assert node.loaded("s") is mirror


class Forgetful:
    """A mirror of which notices are lost."""

    def __init__(self, mirror: Mirror, take: Callable[[Notice, int], bool]) -> None:
        self._mirror = mirror
        self.take = take

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mirror, name)


async def test_a_change_that_cannot_be_taken_affects_no_other_stream(
    node: Mirrors, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "st":
        await node.engine.create(name, BYTES)
    broken, sound = await node.open("s"), await node.open("t")

    def failing(notice: Notice, incarnation: int) -> bool:
        raise ValueError("a bug")

    node._held["s"].mirror = Forgetful(broken, failing)  # type: ignore[assignment]  # for this test
    for name in "st":
        await node.engine.write(name, [b"0"])
    assert await shown(sound, 1) == [b"0"]
    assert broken.lost
    assert "a bug" in caplog.text
    assert await bodies(await node.open("s")) == [b"0"]


async def test_a_long_stream_is_read_from_the_engine_where_it_is_not_in_memory(
    start_node: StartNode,
) -> None:
    node = await start_node(kept_bytes=20_000)
    await node.engine.create("s", BYTES)
    expected = [b"%0100d" % number for number in range(500)]
    for start in range(0, 500, 50):
        await node.engine.write("s", expected[start : start + 50])
    mirror = await node.open("s")
    assert 0 < mirror.warm < 500
    assert await bodies(mirror) == expected
    for start in range(0, 500, 50):
        await node.engine.write("s", expected[start : start + 50])
    assert await shown(mirror, 1000) == expected + expected
    assert mirror.size <= 40_000


async def test_a_fork_shows_its_sources_records(node: Mirrors, other: Mirrors) -> None:
    source, _ = await node.engine.create("s", BYTES, [b"0", b"1"])
    await node.engine.hold(SourceHold("s", "f"), 1)
    settings = StreamSettings(BYTES.content_type, fork=Fork("s", 1))
    await node.engine.create("f", settings, [b"x"], epochs=[(source.epoch, 0)])
    mirror = await other.open("f")
    assert await bodies(mirror) == [b"0", b"x"]
    assert mirror.place(Position(source.epoch, 1)) == Place(1)


@pytest.mark.parametrize("shared_server", KINDS, indirect=True)
async def test_records_that_the_engine_has_lost_are_trimmed_and_not_skipped(
    node: Mirrors, shared_server: SharedServer
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    for number in range(1, 6):
        await node.engine.write("s", [b"%d" % number])
    keys = node.engine.keys.of("s")  # type: ignore[attr-defined]  # of Redis
    await redis(shared_server).ask("XDEL", keys.records, "3-1")
    mirror = await node.open("s")
    assert (mirror.head, mirror.warm) == (0, 4)
    assert await bodies(mirror) == [b"0", b"1", b"2", b"4", b"5"]
    assert mirror.head == 4, "whoever reads on is told that there is a gap"
    assert mirror.place("start") == Place(4)


# Bounds


async def test_a_mirror_that_is_not_used_leaves_memory(node: Mirrors) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    await node.sweep(1000.0)
    await node.sweep(1059.0)
    assert node.loaded("s") is mirror
    await node.sweep(1061.0)
    assert (node.loaded("s"), len(node)) == (None, 0)
    assert await bodies(await node.open("s")) == [b"0"]


async def test_no_more_mirrors_are_held_than_may(start_node: StartNode) -> None:
    node = await start_node(streams=3)
    for name in "abcd":
        await node.engine.create(name, BYTES)
    for name in "abcd":
        await node.open(name)
    assert len(node) <= 3
    waiting = [
        asyncio.create_task(until(await node.open(name), lambda: False)) for name in ("b", "c", "d")
    ]
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded):
        await node.open("a")
    for task in waiting:
        task.cancel()


async def test_all_mirrors_together_take_no_more_memory_than_they_may(
    start_node: StartNode,
) -> None:
    node = await start_node(total_bytes=50_000)
    for name in "abc":
        await node.engine.create(name, BYTES, [b"x" * 1000] * 30)
        await node.open(name)
    following = asyncio.create_task(until(await node.open("a"), lambda: False))
    await asyncio.sleep(0)
    await node.sweep(1.0)
    assert node.size <= 50_000
    assert node.loaded("a") is not None
    assert await bodies(await node.open("a")) == [b"x" * 1000] * 30
    following.cancel()


async def test_a_stream_that_is_followed_does_not_expire(start_node: StartNode) -> None:
    now = 1_000_000_000.0
    node = await start_node(clock=lambda: now)
    await node.engine.create("s", StreamSettings(ttl=100), expires=4_000_000_000_000)
    mirror = await node.open("s")
    following = asyncio.create_task(until(mirror, lambda: False))
    await asyncio.sleep(0)
    await node.sweep(1.0)
    assert mirror.expires == 4_000_000_000_000, "it is not due"
    now = 4_000_000_000.0 - 40
    await node.sweep(2.0)
    await eventually(lambda: mirror.expires != 4_000_000_000_000)
    following.cancel()


async def test_the_engine_is_asked_whether_a_stream_has_expired(start_node: StartNode) -> None:
    node = await start_node(clock=lambda: 5_000_000_000.0)
    await node.engine.create("s", StreamSettings(ttl=1), expires=4_000_000_000_000)
    mirror = await node.open("s")
    with pytest.raises(StreamNotFound):
        await node.open("s")
    await eventually(lambda: node._held["s"].waiting is None)
    assert not mirror.lost, "the engine has it still"
    await node.engine.touch("s")
    async with asyncio.timeout(PATIENCE):
        while not mirror.lost:
            await node.sweep(1.0)
            await asyncio.sleep(0.05)
    assert node.loaded("s") is None


# Waiting for a stream to begin


class Waiting:
    """Waits for a stream, and notes each that has begun."""

    def __init__(self, node: Mirrors, name: str) -> None:
        self.streams: list[FollowedStream] = []
        self._node, self._name = node, name
        self.again()

    def again(self) -> None:
        self._node.awaited.add(self._name, self)
        self._node.expect(self._name)

    def leave(self) -> None:
        self._node.awaited.remove(self._name, self)

    def begun(self, stream: FollowedStream) -> None:
        self.streams.append(stream)


async def test_who_waits_is_told_whichever_hub_begins_a_stream(
    node: Mirrors, other: Mirrors
) -> None:
    waiting, second = Waiting(node, "s"), Waiting(node, "s")
    with pytest.raises(StreamNotFound):
        await node.open("s")  # which listens no longer
    await other.engine.create("s", BYTES, [b"0"])
    await eventually(lambda: waiting.streams and second.streams)
    assert waiting.streams == [node.loaded("s")]
    await eventually(lambda: not node._expected)
    waiting.again()
    await eventually(lambda: len(waiting.streams) == 2)
    await other.engine.delete("s")
    await eventually(lambda: node.loaded("s") is None)
    waiting.again()
    await asyncio.sleep(0.05)
    assert len(waiting.streams) == 2
    await other.engine.create("s", BYTES)
    await eventually(lambda: len(waiting.streams) == 3)
    assert waiting.streams[2] is not waiting.streams[1]


async def test_who_waits_is_told_after_the_engine_was_away(
    node: Mirrors, other: Mirrors, shared_server: SharedServer
) -> None:
    waiting = Waiting(node, "s")
    await shared_server.restart()
    await back(node)
    await (await back(other)).create("s", BYTES)
    await eventually(lambda: waiting.streams)


async def test_nobody_listens_for_those_who_have_left(node: Mirrors) -> None:
    waiting = Waiting(node, "s")
    await asyncio.sleep(0.05)
    waiting.leave()
    await node.sweep(1.0)
    await eventually(lambda: not node._expected)
    assert len(node) == 0


# Opening what others have just written


async def test_a_fresh_mirror_has_all_that_was_accepted_before(
    node: Mirrors, other: Mirrors
) -> None:
    await node.engine.create("s", BYTES)
    await other.open("s")
    for number in range(1, 50):
        await node.engine.write("s", [b"1"])
        assert (await other.fresh("s")).tail == number
    await node.engine.delete("s")
    with pytest.raises(StreamNotFound):
        await other.fresh("s")


async def test_what_was_known_last_can_be_read_while_the_engine_is_away(
    node: Mirrors, shared_server: SharedServer
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    await shared_server.kill()
    assert await node.fresh("s") is mirror
    with pytest.raises(StoreError):
        await node.fresh("t")


async def test_topics_are_heard_over_the_next_engine_too(
    node: Mirrors, other: Mirrors, shared_server: SharedServer
) -> None:
    heard: list[bytes] = []
    await node.each_engine(lambda engine: engine.hear("t", heard.append))
    await shared_server.restart()
    await back(node)
    await (await back(other)).say("t", b"1")
    await eventually(lambda: heard == [b"1"])


# Losses


async def put_back(node: Mirrors, other: Mirrors, lose: Callable[[], Awaitable[None]]) -> None:
    """Lose something while a generation runs, and see that nobody who reads notices."""
    await node.engine.create("s", BYTES, [b"0"])
    await node.engine.write("s", [b"1"], stamp=Stamp("p", 0, 0))
    await node.engine.begin("s", "g", "n", 2, [b"2"])
    mirrors = [await node.open("s"), await other.open("s")]
    before = mirrors[0].state()
    await lose()
    await back(node)
    (done,) = await (await back(other)).tick([Tick("s", "g", 1, [b"3"])])
    assert done.written is not None
    for hub, mirror in zip((node, other), mirrors, strict=True):
        assert await shown(mirror, 4) == [b"0", b"1", b"2", b"3"]
        assert not mirror.lost
        assert hub.loaded("s") is mirror
    again = await node.engine.write("s", [b"1"], stamp=Stamp("p", 0, 0))
    assert again.duplicate
    after = mirrors[1].state()
    assert after.producers == before.producers
    assert mirrors[0].position == mirrors[1].position


@pytest.mark.parametrize("how", ["restart", "restart_empty"])
async def test_a_loss_is_put_back_and_readers_go_on(
    node: Mirrors, other: Mirrors, shared_server: SharedServer, how: str
) -> None:
    await put_back(node, other, getattr(shared_server, how))


@pytest.mark.parametrize("shared_server", KINDS, indirect=True)
@pytest.mark.parametrize("how", ["flush", "scripts", "bus"])
async def test_a_loss_that_only_redis_can_have_is_put_back(
    node: Mirrors, other: Mirrors, shared_server: SharedServer, how: str
) -> None:
    async def lose() -> None:
        server = redis(shared_server)
        if how == "flush":
            await server.ask("FLUSHALL")
            with pytest.raises(StoreError):
                await node.engine.write("s", [b"not written"])
            with pytest.raises(StoreError):
                await other.engine.write("s", [b"not written"])
        elif how == "scripts":
            await server.ask("SCRIPT", "FLUSH")
            with pytest.raises(StoreError):
                await node.engine.write("s", [b"not written"])
        else:
            await server.ask("CLIENT", "KILL", "TYPE", "pubsub")

    await put_back(node, other, lose)


@pytest.mark.parametrize("shared_server", KINDS, indirect=True)
@pytest.mark.parametrize("lost", ["0-1", "2-1", "5-1"])
async def test_an_entry_that_was_lost_among_others_is_put_back(
    node: Mirrors, start_node: StartNode, shared_server: SharedServer, lost: str
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    for number in range(1, 6):
        await node.confirmed(mirror, await node.engine.write("s", [b"%d" % number]))
    keys = node.engine.keys.of("s")  # type: ignore[attr-defined]  # of Redis
    await redis(shared_server).ask("XDEL", keys.records, lost)
    await shared_server.restart()
    await back(node)
    fresh = await (await start_node()).open("s")
    assert await bodies(fresh) == [b"%d" % number for number in range(6)]


async def test_a_mirror_that_cannot_be_compared_keeps_no_other_from_it(
    node: Mirrors,
    shared_server: SharedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in "st":
        await node.engine.create(name, BYTES, [b"0"])
    broken, sound = await node.open("s"), await node.open("t")
    monkeypatch.setattr(Mirror, "version", property(_failing_for_s))
    await shared_server.restart_empty()
    assert await back(node) is node.engine
    assert (broken.lost, sound.lost) == (True, False)
    async with asyncio.timeout(PATIENCE):
        while "a bug" not in caplog.text:  # noqa: ASYNC110 - once all have been compared
            await asyncio.sleep(0.01)
    await shared_server.restart()
    assert await bodies(await node.open("t")) == [b"0"], "and it connects again"
    await (await back(node)).write("t", [b"1"])


def _failing_for_s(mirror: Mirror) -> Version:
    if mirror.name == "s":
        raise ValueError("a bug")
    return Version(tuple(mirror.lives), mirror.tail, mirror.change, mirror.closed)


async def test_a_writer_hears_soon_that_its_change_is_lost(
    node: Mirrors, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors_module, "CONFIRM_SECONDS", 3600.0)
    monkeypatch.setattr(mirrors_module, "LOST_SECONDS", 0.05)
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    node.engine.unsubscribe("s")
    written = await node.engine.write("s", [b"1"])
    waiting = asyncio.create_task(node.confirmed(mirror, written))
    await shared_server.restart_empty()
    await back(node)
    with pytest.raises(StoreError) as told:
        await asyncio.wait_for(waiting, PATIENCE)
    assert told.value.code == "store_slow"
    assert await bodies(mirror) == [b"0"]


async def test_the_longest_of_the_mirrors_is_what_is_put_back(
    node: Mirrors, other: Mirrors, shared_server: SharedServer
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    short, long = await node.open("s"), await other.open("s")
    node.engine.unsubscribe("s")
    for number in range(1, 4):
        await other.confirmed(long, await other.engine.write("s", [b"%d" % number]))
    assert (short.tail, long.tail) == (1, 4)
    await shared_server.restart_empty()
    await back(other)
    await back(node)
    await node.engine.write("s", [b"4"])
    for mirror in (short, long):
        assert await shown(mirror, 5) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_hub_that_comes_late_is_reset_to_what_the_others_have(
    node: Mirrors, start_node: StartNode, shared_server: SharedServer
) -> None:
    """It was away while the server lost something, and the others went on without it."""
    await node.engine.create("s", BYTES, [b"0"])
    early = await node.open("s")
    node.engine.unsubscribe("s")
    late = await start_node()
    await late.engine.write("s", [b"1", b"lost"])
    mirror = await late.open("s")
    seen = mirror.position
    held = late._held.pop("s")  # as if it could reach nobody meanwhile
    await shared_server.restart_empty()
    written = await (await back(node)).write("s", [b"new"])
    engine = await back(late)
    late._held["s"], held.waiting = held, []
    await late._resume(held, engine, asyncio.Semaphore(1))
    assert mirror.lost, "its readers come back"
    again = await late.open("s")
    assert await bodies(again) == [b"0", b"new"] == await shown(early, 2)
    assert again.position == Position(written.epoch, 2)
    place = again.place(seen)
    assert place.reset is not None
    assert place.reset.reason == "unwritten"
    assert again.place(Position(seen.epoch, 1)) == Place(1)


async def test_what_was_deleted_while_a_hub_was_away_does_not_come_back(
    node: Mirrors, other: Mirrors, shared_server: SharedServer
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    node.engine.unsubscribe("s")
    await other.engine.delete("s")
    await shared_server.restart()
    await back(other)
    await back(node)
    assert mirror.lost
    with pytest.raises(StreamNotFound):
        await node.open("s")


async def test_a_fork_that_was_put_back_holds_its_source(
    node: Mirrors, shared_server: SharedServer
) -> None:
    source, _ = await node.engine.create("s", BYTES, [b"0", b"1"])
    await node.engine.hold(SourceHold("s", "f"), 1)
    settings = StreamSettings(BYTES.content_type, fork=Fork("s", 1))
    await node.engine.create("f", settings, [b"x"], epochs=[(source.epoch, 0)])
    await node.open("s")
    fork = await node.open("f")
    await shared_server.restart_empty()
    engine = await back(node)
    assert await bodies(fork) == [b"0", b"x"]
    async with asyncio.timeout(PATIENCE):
        while (await engine.load("s", 0)).forks != 1:  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.01)


async def test_while_the_engine_is_away_mirrors_are_read_and_nothing_is_written(
    node: Mirrors, shared_server: SharedServer
) -> None:
    await node.engine.create("s", BYTES, [b"0"])
    mirror = await node.open("s")
    await shared_server.kill()
    await eventually(lambda: node.trouble is not None)
    assert node.trouble is not None
    assert "cannot be used at the moment" in node.trouble
    assert await node.open("s") is mirror
    assert await bodies(mirror) == [b"0"]
    with pytest.raises(StoreError) as refused:
        await node.engine.write("s", [b"1"])
    assert refused.value.code == "store_unavailable"
    with pytest.raises(StoreError):
        await node.open("t")
    await shared_server.start()
    await (await back(node)).write("s", [b"1"])
    assert await shown(mirror, 2) == [b"0", b"1"]
    assert node.trouble is None


async def test_a_hub_does_not_start_without_an_engine(
    start_node: StartNode, shared_server: SharedServer
) -> None:
    await shared_server.kill()
    with pytest.raises(StoreError):
        await start_node()
