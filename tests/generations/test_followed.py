"""Waiting for a generation by its events."""

from __future__ import annotations

import asyncio

import pytest

from hub.domain.errors import HubError, StoreError
from hub.domain.events import Delta, Finished, Interrupted, Message, Started
from hub.domain.generation import Generation, State
from hub.domain.records import Position
from hub.generations.followed import FollowedGeneration
from hub.stores import Saved
from hub.streams.stream import Retention, Stream
from tests.support.fake_runs import Keep, Runner, hangs
from tests.support.fake_stores import FakeStore
from tests.support.fake_upstream import END, FakeUpstream, said
from tests.support.patience import PATIENCE

ME = "gen_0"


def followed(stream: Stream, start: int = 0) -> FollowedGeneration:
    return FollowedGeneration(
        stream, Generation.told(ME, stream.name, Position(stream.epoch, start), ())
    )


def ended(generation: Generation) -> bool:
    return generation.ended


async def test_it_is_woken_by_the_event_that_it_waits_for() -> None:
    stream = Stream("s")
    one = followed(stream)
    waiting = asyncio.ensure_future(one.until(lambda seen: seen.state is State.STREAMING))
    for event in (Message("user", "Hi"), Started(ME, "up", model="m"), Delta("gen_1", "no")):
        stream.append(event)
        await asyncio.sleep(0.001)
        assert not waiting.done()
    stream.append(Delta(ME, "yes"))
    stream.append(Finished(ME, "stop"))
    assert await waiting
    assert (one.seen.upstream, one.seen.model) == ("up", "m")
    assert one.seen.state is State.STREAMING, "nothing is read behind what was waited for"
    assert await one.until(ended)
    assert one.seen.terminal == Finished(ME, "stop")
    assert not len(stream.fanout)


async def test_nothing_is_seen_before_it_is_shown() -> None:
    class Later(FakeStore):
        def after(self, done: object, stream: str | None = None) -> None:
            """It never commits."""

    stream = Stream("s", store=Later())
    stream.append(Started(ME))
    stream.append(Finished(ME, "stop"), safe=True)
    one = followed(stream)
    assert not await one.until(ended, within=0.01)
    assert one.seen.state is State.WAITING


async def test_it_reads_what_has_left_memory() -> None:
    store = FakeStore()
    stream = Stream("s", store=store)
    stream.append(Started(ME))
    stream.append(Delta(ME, "x"))
    stream.cool(2)
    one = followed(stream)
    waiting = asyncio.ensure_future(one.until(ended))

    async def read(times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while store.reads < times:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)

    await read(1)
    for burst in range(3):
        # Each time it leaves memory before the round comes to whoever waits.
        stream.append(Delta(ME, "y"))
        stream.cool(stream.tail)
        await read(2 + burst)
    stream.append(Finished(ME, "stop"))
    assert await waiting


async def test_an_end_is_found_though_the_beginning_is_trimmed() -> None:
    stream = Stream("s", retention=Retention(max_records=2))
    for event in (Started(ME), Delta(ME, "a"), Delta(ME, "b"), Finished(ME, "stop")):
        stream.append(event)
    one = followed(stream)
    assert await one.until(lambda seen: seen.state is State.STREAMING)
    assert await one.until(ended)


@pytest.mark.parametrize("how", ["close", "abandon"])
async def test_it_waits_for_nothing_that_cannot_come(how: str) -> None:
    stream = Stream("s", Saved(Stream("t").settings, ((0, 0),)))
    stream.append(Started(ME))
    one = followed(stream)
    waiting = asyncio.ensure_future(one.until(ended))
    await asyncio.sleep(0.001)
    getattr(stream, how)()
    assert not await waiting
    assert one.over


async def test_whoever_waits_for_a_run_sees_its_end_whatever_happens_meanwhile(keep: Keep) -> None:
    """Waits, cancels and deletions at every step: each wait ends, and all tell the same end."""
    for turns in range(25):
        desk = keep(Runner(FakeUpstream([said("Hel"), 0.0, said("lo"), END])))
        generation = await desk.ask(stream="chat")
        stream = await desk.stream("chat")
        waits = [asyncio.create_task(desk.runs.wait(generation.id)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        waits.append(asyncio.create_task(desk.runs.cancel(generation.id)))
        await asyncio.gather(desk.runs.leave(stream.name), desk.streams.remove(stream))
        found = await asyncio.wait_for(asyncio.gather(*waits), timeout=PATIENCE)
        assert [one.terminal for one in found] == [generation.terminal] * len(waits)
        assert generation.ended


async def test_a_wait_says_that_the_end_cannot_be_kept(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FakeStore):
        full_disk = False

        def after(self, done: object, stream: str | None = None) -> None:
            """It never commits."""

        async def synced(self, stream: str | None = None) -> None:
            if self.full_disk:
                raise StoreError("the disk is full", code="store_full")

    monkeypatch.setattr("hub.generations.runs.UNSHOWN_SECONDS", 0.01)
    store = Full()
    desk = keep(Runner(hangs(), store=store))
    generation = await desk.ask(stream="chat")
    waiting = asyncio.create_task(desk.runs.wait(generation.id))
    await asyncio.sleep(0.02)
    assert not waiting.done(), "it goes on, and nothing is wrong"
    store.full_disk = True
    with pytest.raises(HubError, match="full"):
        await desk.runs.cancel(generation.id)
    with pytest.raises(HubError, match="full"):
        await waiting


async def test_a_run_that_was_interrupted_by_its_stream_has_its_end(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    generation = await desk.ask(stream="chat")
    waiting = asyncio.create_task(desk.runs.wait(generation.id))
    await asyncio.sleep(0)
    (await desk.stream("chat")).close()
    found = await waiting
    assert isinstance(found.terminal, Interrupted)
