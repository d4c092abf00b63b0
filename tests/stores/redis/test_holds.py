"""A hub may die between the hold of a source and its fork, and a fork may expire by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hub.domain.errors import StreamNotFound
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.redis import scripts
from hub.stores.redis.engine import RedisEngine
from hub.stores.shared import DueFork, SourceHold
from hub.streams import shared_writer
from hub.streams.mirrors import Mirrors
from hub.streams.shared_writer import SharedWriter
from tests.stores.redis.conftest import Opening
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.shared_nodes import Nodes
from tests.support.shared_servers import code_of, kept

TEXT = StreamSettings("text/plain")
HOLD = SourceHold("s", "f", "1")
FORK = StreamSettings("", fork=Fork("s", 1, HOLD.token))
LIMIT = 1024 * 1024


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork has half as long to begin."""
    monkeypatch.setitem(scripts.CONSTANTS, "HOLD_MS", 400)


@pytest.fixture
async def node(redis_server: RedisServer) -> AsyncIterator[Mirrors]:
    nodes = Nodes(redis_server)
    yield await nodes.start()
    await nodes.stop()


async def until_due(engine: RedisEngine) -> DueFork:
    async with asyncio.timeout(PATIENCE):
        while not (found := await engine.due_forks()):  # noqa: ASYNC110 - by the server's clock
            await asyncio.sleep(0.02)
    (fork,) = found
    return fork


async def until_looked(node: Mirrors, monkeypatch: pytest.MonkeyPatch, forks: int) -> None:
    """Let a hub look until its source is held for so many forks."""
    monkeypatch.setattr(shared_writer, "LOOK_SECONDS", 0.02)
    looking = asyncio.create_task(SharedWriter(node).look_for_forks())
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await node.engine.find("s", 0)
                if (0 if found is None else found.forks) == forks:
                    return
                await asyncio.sleep(0.02)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_what_was_held_too_long_ago_is_void(engine: RedisEngine, opening: Opening) -> None:
    await engine.create("s", TEXT, [b"1"])
    assert await engine.hold(HOLD, 1)
    fork = await until_due(await opening())
    assert fork.hold == HOLD
    # It stood still, and nothing may be left of the source by now.
    assert await code_of(engine.create("f", FORK)) == "stream_moved"
    assert await engine.release(HOLD, due=fork.due) is None
    assert (await engine.load("s", LIMIT)).forks == 0


async def test_one_that_was_held_again_is_not_released_by_who_has_looked_before(
    engine: RedisEngine, opening: Opening
) -> None:
    other = await opening()
    await engine.create("s", TEXT, [b"1"])
    assert await engine.hold(HOLD, 1)
    fork = await until_due(other)
    assert await engine.hold(HOLD, 1)
    assert (await engine.create("f", FORK))[1] is None
    await other.release(HOLD, due=fork.due)
    await other.keep_fork(fork, None)
    assert (await engine.load("s", LIMIT)).forks == 1
    assert (await until_due(other)).due > fork.due


async def test_no_fork_begins_without_a_hold(engine: RedisEngine) -> None:
    await engine.create("s", TEXT, [b"1"])
    assert await code_of(engine.create("f", FORK)) == "stream_moved"


async def test_the_source_of_a_fork_that_never_began_goes_when_it_is_deleted(
    engine: RedisEngine, node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub of ``engine`` dies after the hold."""
    await engine.create("s", TEXT, [b"1"])
    await engine.hold(HOLD, 1)
    await SharedWriter(node).delete("s")
    assert (await engine.load("s", LIMIT)).hidden
    await until_looked(node, monkeypatch, forks=0)
    with pytest.raises(StreamNotFound):
        await engine.load("s", LIMIT)
    await engine.create("s", TEXT, [b"2"])


async def test_that_of_one_that_has_begun_is_kept(
    engine: RedisEngine, node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create("s", TEXT, [b"1"])
    await engine.hold(HOLD, 1)
    await engine.create("f", FORK, [b"2"])
    await engine.hold(SourceHold("s", "never", "2"), 1)
    await until_looked(node, monkeypatch, forks=1)
    await SharedWriter(node).delete("s")
    assert await kept(engine, "f") == [b"1", b"2"]
    assert await engine.due_forks() == []


async def test_a_stream_of_the_same_name_holds_nothing(
    engine: RedisEngine, node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create("s", TEXT, [b"1"])
    await engine.hold(HOLD, 1)
    await engine.create("f", TEXT)
    await until_looked(node, monkeypatch, forks=0)


async def test_a_later_fork_of_the_same_name_keeps_its_own_hold_alone(
    engine: RedisEngine, node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub of ``engine`` dies after the hold, and after the deletion of a fork."""
    await engine.create("s", TEXT, [b"1"])
    await engine.hold(HOLD, 1)
    await engine.create("f", FORK)
    assert await engine.delete("f") == HOLD
    await engine.hold(SourceHold("s", "f", "never"), 1)
    writer = SharedWriter(node)
    await writer.fork("f", "s")
    assert (await engine.load("s", LIMIT)).forks == 3
    await until_looked(node, monkeypatch, forks=1)
    await writer.delete("s")
    assert await kept(engine, "f") == [b"1"]
    await writer.delete("f")
    with pytest.raises(StreamNotFound):
        await engine.load("s", LIMIT)


async def test_a_fork_that_has_expired_lets_its_source_go(
    engine: RedisEngine, node: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create("s", TEXT, [b"1"])
    await engine.hold(HOLD, 1)
    expires = round(time.time() * 1000) + 2000  # later than it is looked for at first
    await engine.create("f", replace(FORK, ttl=2), expires=expires)
    await until_looked(node, monkeypatch, forks=0)
