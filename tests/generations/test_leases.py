"""The generations of a hub that is gone end once, as interrupted, and those of the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest

from hub.domain.events import Delta, Event, Finished, Message, Started
from hub.domain.stream_settings import StreamSettings
from hub.generations.leases import Leases
from hub.streams.mirrors import Mirrors
from hub.streams.shared_appender import SharedAppender, Ticker
from tests.support.loopback_hub import eventually
from tests.support.patience import patient
from tests.support.shared_nodes import Nodes, back, bodies, shown
from tests.support.shared_servers import SharedServer

LEASE = patient(0.6)

Start = Callable[[str], Awaitable["Node"]]


class Node:
    """A hub with a lease, which can stand still or die."""

    def __init__(self, mirrors: Mirrors, name: str) -> None:
        self.mirrors = mirrors
        self.ticker = Ticker(mirrors, name)
        self._leases = Leases(mirrors, name, seconds=LEASE)
        self.wake()

    def wake(self) -> None:
        self._task = asyncio.create_task(self._leases.run())

    async def sleep(self) -> None:
        """Renew the lease no longer."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def die(self) -> None:
        await self.sleep()
        await self.ticker.stop()
        await self.mirrors.stop()

    async def begin(self, stream: str, generation: str) -> SharedAppender:
        events: list[Event] = [Message("user", "Hello"), Started(generation)]
        await self.mirrors.engine.create(stream, StreamSettings())
        found = await self.ticker.begin(stream, generation, 0, events)
        assert found is not None
        return found


@pytest.fixture
async def start(shared_server: SharedServer) -> AsyncIterator[Start]:
    """Start hubs by name; all die at the end."""
    nodes = Nodes(shared_server)
    started: list[Node] = []

    async def one(name: str) -> Node:
        started.append(Node(await nodes.start(), name))
        return started[-1]

    yield one
    for node in started:
        await node.die()


async def kinds(node: Mirrors, stream: str) -> list[str]:
    return [orjson.loads(body)["type"] for body in await bodies(await node.open(stream))]


async def test_what_a_dead_hub_was_writing_is_interrupted_once(start: Start) -> None:
    dying, *others = [await start(name) for name in "abc"]
    for stream, generation in (("s", "g1"), ("t", "g2"), ("g3", "g3")):
        appender = await dying.begin(stream, generation)
        appender.append(Delta(generation, "text"))
        await shown(appender.mirror, 3)
    mirrors = [await other.mirrors.open("s") for other in others]
    await dying.die()
    for mirror in mirrors:
        await shown(mirror, 4)
    engine = others[0].mirrors.engine

    async with asyncio.timeout(patient(60)):
        while await engine.runs("a"):  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.02)
    for other in others:
        for stream in ("s", "t", "g3"):
            whole = ["message", "started", "delta", "interrupted"]
            assert await kinds(other.mirrors, stream) == whole
    assert (await others[0].mirrors.open("g3")).closed, "a stream of one answer ends with it"
    assert not mirrors[0].closed
    end = orjson.loads((await bodies(mirrors[0]))[-1])
    assert (end["generation"], end["usage"]["completion_tokens"]) == ("g1", 1)


async def test_a_hub_that_stood_still_finds_its_generation_over(start: Start) -> None:
    slow, other = await start("a"), await start("b")
    appender = await slow.begin("s", "g")
    mirror = await other.mirrors.open("s")
    await slow.sleep()
    await shown(mirror, 3)
    slow.wake()
    appender.append(Delta("g", "late"))
    await eventually(lambda: appender.over is not None)
    assert await appender.end([Finished("g", "stop")]) is None
    assert await kinds(other.mirrors, "s") == ["message", "started", "interrupted"]
    again = await slow.ticker.begin("s", "h", 3, [Started("h")])
    assert again is not None, "and it may begin others"
    await asyncio.sleep(2 * LEASE)
    assert mirror.running == "h"


async def test_an_outage_of_the_engine_interrupts_nothing(
    start: Start, shared_server: SharedServer
) -> None:
    nodes = [await start(name) for name in "ab"]
    appender = await nodes[0].begin("s", "g")
    await shared_server.kill()
    await asyncio.sleep(2 * LEASE)
    await shared_server.start()
    for node in nodes:
        await back(node.mirrors)
    await asyncio.sleep(2 * LEASE)
    appender.append(Delta("g", "text"))
    assert await appender.end([Finished("g", "stop")]) is not None
    assert (await kinds(nodes[1].mirrors, "s"))[2:] == ["delta", "finished"]


async def test_what_was_written_by_a_hub_that_died_with_the_engine_is_interrupted(
    start: Start, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of its generations is lost, too; the mirrors of the others know."""
    monkeypatch.setattr("hub.stores.redis.nodes.FIRST_LEASE", 500)
    dying, other = await start("a"), await start("b")
    await dying.begin("s", "g")
    mirror = await other.mirrors.open("s")
    await dying.die()
    await shared_server.restart_empty()
    await shown(mirror, 3)
    assert await kinds(other.mirrors, "s") == ["message", "started", "interrupted"]


async def test_what_never_began_or_was_deleted_is_struck_off(start: Start) -> None:
    dying, other = await start("a"), await start("b")
    engine = other.mirrors.engine
    await engine.enlist("a", "nowhere", "g1")
    await dying.begin("s", "g2")
    await engine.delete("s")
    await dying.die()
    async with asyncio.timeout(patient(60)):
        while await engine.runs("a"):  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.02)
