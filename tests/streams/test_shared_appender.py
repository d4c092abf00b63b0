"""A generation's records are there once and in order, however often they have to be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.errors import Conflict, RequestError, StoreError, StreamBusy, StreamClosed
from hub.domain.events import Delta, Event, Finished, Interrupted, Message, Started, encode
from hub.domain.stream_settings import StreamSettings
from hub.stores.shared import Tick, Ticked, Written
from hub.streams import shared_appender
from hub.streams.mirrors import Mirrors
from hub.streams.shared_appender import SharedAppender, Ticker
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.shared_nodes import Nodes, back, bodies, shown
from tests.support.shared_servers import SharedServer

BEGIN: list[Event] = [Message("user", "Hello"), Started("g")]
END = Finished("g", "stop")


@pytest.fixture
async def nodes(shared_server: SharedServer) -> AsyncIterator[Nodes]:
    made = Nodes(shared_server)
    yield made
    await made.stop()


@pytest.fixture
async def node(nodes: Nodes) -> Mirrors:
    started = await nodes.start()
    await started.engine.create("s", StreamSettings())
    return started


@pytest.fixture
async def ticker(node: Mirrors) -> AsyncIterator[Ticker]:
    made = Ticker(node, "n")
    yield made
    await made.stop()


@pytest.fixture
async def appender(ticker: Ticker) -> SharedAppender:
    return await begun(ticker)


async def begun(ticker: Ticker, stream: str = "s", generation: str = "g") -> SharedAppender:
    events: list[Event] = [Message("user", "Hello"), Started(generation)]
    found = await ticker.begin(stream, generation, 0, events)
    assert found is not None
    return found


def delta(number: int) -> Delta:
    return Delta("g", str(number))


def answer(count: int) -> list[bytes]:
    events: list[Event] = [*BEGIN, *map(delta, range(count)), END]
    return [encode(event) for event in events]


async def test_a_generation_is_written_whole(node: Mirrors, appender: SharedAppender) -> None:
    assert await node.engine.runs("n") == [("s", "g")]
    for number in range(500):
        appender.append(delta(number))
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    written = await appender.end([END])
    assert written is not None
    assert await shown(appender.mirror, 503) == answer(500)
    assert appender.mirror.running is None
    assert await node.engine.runs("n") == []
    with pytest.raises(StreamClosed):
        appender.append(delta(1))
    assert await appender.end([END]) is None


async def test_calls_become_larger_and_not_more(
    node: Mirrors, appender: SharedAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    tick = node.engine.tick

    async def counted(ticks: list[Tick]) -> list[Ticked]:
        sizes.append(sum(len(one.bodies) for one in ticks))
        return await tick(ticks)

    monkeypatch.setattr(node.engine, "tick", counted)
    for number in range(300):
        appender.append(delta(number))
    await shown(appender.mirror, 302)
    assert sum(sizes) == 300
    assert len(sizes) <= 2


async def test_generations_of_one_partition_share_a_call(node: Mirrors, ticker: Ticker) -> None:
    first = node.engine.partition("s")
    names = [name for name in map(str, range(2000)) if node.engine.partition(name) == first][:3]
    for name in names:
        await node.engine.create(name, StreamSettings())
    appenders = [await begun(ticker, name, f"g{name}") for name in names]
    for one in appenders:
        one.append(Delta(one.generation, "x"))
    for one in appenders:
        assert (await shown(one.mirror, 3))[2:] == [encode(Delta(one.generation, "x"))]


async def test_it_begins_where_the_conversation_was_read_to(node: Mirrors, ticker: Ticker) -> None:
    await node.engine.write("s", [b"{}"])
    with pytest.raises(Conflict) as refused:
        await ticker.begin("s", "g", 0, BEGIN)
    assert refused.value.code == "stream_moved"
    assert await node.engine.runs("n") == []
    assert await ticker.begin("s", "g", 1, BEGIN) is not None
    assert await ticker.begin("s", "g", 1, BEGIN) is None
    with pytest.raises(StreamBusy):
        await ticker.begin("s", "h", 3, BEGIN)
    assert await node.engine.runs("n") == [("s", "g")]


async def test_what_cannot_be_written_begins_nothing(node: Mirrors, ticker: Ticker) -> None:
    with pytest.raises(RequestError):
        await ticker.begin("s", "g", 0, [Started("g", extra={"x": "\ud800"})])
    await node.engine.create("b", StreamSettings("text/plain"))
    with pytest.raises(Conflict):
        await ticker.begin("b", "g", 0, BEGIN)
    assert await node.engine.runs("n") == []


@pytest.mark.parametrize("how", ["restart", "restart_empty"])
async def test_while_the_engine_is_away_it_goes_on_and_nothing_is_lost(
    node: Mirrors, appender: SharedAppender, shared_server: SharedServer, how: str
) -> None:
    appender.append(delta(0))
    await shown(appender.mirror, 3)
    restarting = asyncio.create_task(getattr(shared_server, how)())
    for number in range(1, 200):
        appender.append(delta(number))
        await asyncio.sleep(0.001)
    await restarting
    assert await appender.end([END]) is not None
    assert await shown(appender.mirror, 203) == answer(200)
    assert (await back(node)).lost.done() is False


async def test_what_the_engine_has_lost_is_sent_again(
    node: Mirrors, appender: SharedAppender, shared_server: SharedServer, nodes: Nodes
) -> None:
    """Somebody else has put back less than this hub had, and has written to it."""
    for number in range(3):
        appender.append(delta(number))
    await shown(appender.mirror, 5)
    other = await nodes.start()
    early = await other.engine.load("s", 1_000_000)
    for number in range(3, 6):
        appender.append(delta(number))
    await shown(appender.mirror, 8)
    held = node._held.pop("s")  # so this hub does not put it back
    await shared_server.restart_empty()
    engine = await back(other)
    assert await engine.restore("s", early, None)
    await engine.write("s", [b"{}"])
    await back(node)
    appender.append(delta(6))
    assert await appender.end([END]) is not None
    found = await bodies(await other.open("s"))
    deltas = [encode(delta(number)) for number in range(7)]
    assert found == [*answer(0)[:2], *deltas[:3], b"{}", *deltas[3:], encode(END)]
    assert held.mirror is appender.mirror


async def test_what_is_lost_for_good_is_ended_and_not_gone_on_with(
    node: Mirrors, appender: SharedAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_appender, "KEPT_BYTES", 20)
    for number in range(5):
        appender.append(delta(number))
    await shown(appender.mirror, 7)
    await eventually(lambda: appender.next_tick() is None)
    appender.take(Tick("s", "g", 7, []), Ticked(number=3))
    with pytest.raises(Exception, match="lost too much"):
        appender.append(delta(5))
    assert await appender.end([Interrupted("g")]) is not None
    assert (await shown(appender.mirror, 8))[7:] == [encode(Interrupted("g"))]


async def test_an_interrupted_generation_writes_nothing_more(
    node: Mirrors, appender: SharedAppender
) -> None:
    appender.append(delta(0))
    await shown(appender.mirror, 3)
    await node.engine.end("s", "g", [encode(Interrupted("g"))])
    appender.append(delta(1))
    await eventually(lambda: appender.over is not None)
    with pytest.raises(StreamClosed) as refused:
        appender.append(delta(2))
    assert refused.value.code == "generation_ended"
    assert await appender.end([END]) is None
    assert (await bodies(appender.mirror))[2:] == [encode(delta(0)), encode(Interrupted("g"))]


async def test_a_generation_in_a_deleted_stream_is_over(
    node: Mirrors, appender: SharedAppender
) -> None:
    await node.engine.delete("s")
    appender.append(delta(0))
    await eventually(lambda: appender.over is not None)
    assert await appender.end([END]) is None


async def test_an_end_that_finds_the_stream_deleted_is_over(
    node: Mirrors, appender: SharedAppender
) -> None:
    await node.engine.delete("s")
    assert await appender.end([END]) is None
    assert await node.engine.runs("n") == []


async def test_it_hears_that_it_is_to_stop(node: Mirrors, appender: SharedAppender) -> None:
    assert await node.engine.cancel("s", "g") == "n"
    appender.append(delta(0))
    await asyncio.wait_for(appender.cancelled.wait(), PATIENCE)


async def test_a_source_waits_while_too_much_is_unsent(
    appender: SharedAppender, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_appender, "UNSENT_BYTES", 1000)
    shared_server.freeze()
    while not appender.full:
        appender.append(delta(0))
    waiting = asyncio.create_task(appender.space())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    shared_server.thaw()
    await asyncio.wait_for(waiting, PATIENCE)
    assert not appender.full


async def test_a_reply_that_was_lost_changes_nothing(
    node: Mirrors, appender: SharedAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = node.engine
    tick, lose = engine.tick, 3

    async def losing(ticks: list[Tick]) -> list[Ticked]:
        nonlocal lose
        found = await tick(ticks)
        if lose:
            lose -= 1
            raise StoreError("the reply was lost")
        return found

    monkeypatch.setattr(engine, "tick", losing)
    for number in range(10):
        appender.append(delta(number))
        await asyncio.sleep(0.02)
    written = await appender.end([END])
    assert isinstance(written, Written)
    assert await shown(appender.mirror, 13) == answer(10)


async def test_an_end_is_never_written_like_other_records(
    node: Mirrors, appender: SharedAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else there is a moment in which it can be read and the generation still runs."""
    engine = node.engine
    end, gate = engine.end, asyncio.Event()

    async def late(*words: Any, **more: Any) -> Ticked:
        await gate.wait()
        return await end(*words, **more)

    monkeypatch.setattr(engine, "end", late)
    ending = asyncio.create_task(appender.end([END]))
    await asyncio.sleep(0)
    assert appender.next_tick() is None
    gate.set()
    assert await ending is not None
