"""One contract for all transports: what following a stream means, whatever it goes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hub.connections.connection import Connection
from hub.domain.events import Delta, Event
from hub.domain.generation_request import GenerationRequest
from hub.streams.stream import Stream
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.numbered_records import STORY, TEXT, bodies, heard
from tests.support.transport_readers import DRIVERS, HTTP, SSE, Follow, Reader, Text, WebSocket


class World:
    """A running hub with one stream, and readers that are gone at the end of the test."""

    def __init__(self, running: Loopback, stream: Stream, driver: type[Reader]) -> None:
        self.running = running
        self.hub = running.hub
        self.stream = stream
        self.driver = driver

    def reader(self, stream: str | None = None, **options: Any) -> Reader:
        return self.running.reader(self.driver, stream or self.stream.name, **options)

    async def follow(self, start: str | None = "start", **options: Any) -> Reader:
        return await self.reader(**options).open(start)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.hub.streams.append(self.stream, Delta("g", text=text))

    def append(self, *events: Event) -> None:
        for event in events:
            self.hub.streams.append(self.stream, event)


MakeWorld = Callable[..., Any]


@pytest.fixture
async def make_world(driver: type[Reader]) -> AsyncIterator[MakeWorld]:
    async with AsyncExitStack() as stack:

        async def make(**tables: Any) -> World:
            running = await stack.enter_async_context(hub_on_loopback(**tables))
            return World(running, (await running.hub.streams.create("a/chat"))[0], driver)

        yield make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    made: World = await make_world()
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" in metafunc.fixturenames:
        metafunc.parametrize("driver", DRIVERS, ids=[driver.name for driver in DRIVERS])


async def settle() -> None:
    """Time for what should not come."""
    await asyncio.sleep(0.05)


# Where reading begins


async def test_from_the_start_comes_everything_once_in_order(world: World) -> None:
    world.append(*STORY)
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    assert reader.text == TEXT
    await settle()
    assert heard(reader, world.stream)


async def test_from_now_comes_only_what_comes(world: World) -> None:
    world.say("old")
    reader = await world.follow("now")
    since = world.stream.tail
    world.append(*STORY)
    await reader.until(lambda: heard(reader, world.stream, since))


async def test_from_a_position_comes_what_is_there_and_after(world: World) -> None:
    world.append(*STORY)
    for since in range(world.stream.tail + 1):
        reader = await world.follow(str(world.stream.position_at(since)))
        await reader.until(lambda: heard(reader, world.stream, since))  # noqa: B023
        assert reader.resets == []


async def test_each_batch_of_live_records_comes_as_it_is_written(world: World) -> None:
    reader = await world.follow("start")
    for event in STORY:
        world.append(event)
        await reader.until(lambda: heard(reader, world.stream))
    if reader.resumes:
        assert reader.events == bodies(world.stream)


async def test_history_turns_into_live_without_a_seam(world: World) -> None:
    done = False

    async def talk() -> None:
        number = 0
        while not done:
            world.say(f"<{number}>")
            number += 1
            await asyncio.sleep(0.0005)

    talking = asyncio.create_task(talk())
    readers = []
    for _ in range(4):
        readers.append(await world.follow("start"))
        await asyncio.sleep(0.02)
    done = True
    await talking
    for reader in readers:
        await reader.until(lambda: heard(reader, world.stream))  # noqa: B023


# Going away and coming back


async def test_coming_back_goes_on_at_the_position(world: World) -> None:
    reader = await world.follow("start")
    for number in range(20):
        world.say(f"<{number}>", f"<{number}+>")
        if number % 4 == 1:
            await reader.until(lambda: heard(reader, world.stream))
        if number % 4 == 2:
            reader.drop()
        if number % 4 == 3:
            await reader.open()
    await reader.until(lambda: heard(reader, world.stream))
    assert reader.resets == []


async def test_who_has_gone_is_noticed_and_in_nobodys_way(world: World) -> None:
    gone = await world.follow("start")
    stays = await world.follow("start")
    gone.drop()
    world.append(*STORY)
    await stays.until(lambda: heard(stays, world.stream))
    await eventually(lambda: len(world.hub.connections) == 1)
    assert len(world.stream.fanout) == 1


# The end of a stream


async def test_the_end_of_a_stream_is_told_and_ends_the_response(world: World) -> None:
    reader = await world.follow("start")
    world.append(*STORY)
    world.stream.close()
    await reader.until(lambda: reader.end or reader.closed)
    if isinstance(reader, HTTP):
        await reader.until(lambda: reader.end)
        assert reader.end == "whole"
    assert reader.text == TEXT
    assert reader.closed == (not isinstance(reader, Text))
    assert heard(reader, world.stream)


async def test_a_closed_stream_is_read_like_any_other(world: World) -> None:
    world.append(*STORY)
    world.stream.close()
    reader = await world.follow("start")
    await reader.until(lambda: reader.end or reader.closed)
    assert reader.text == TEXT
    assert heard(reader, world.stream)


async def test_who_has_read_all_of_a_closed_stream_is_told_that_this_was_it(world: World) -> None:
    world.append(*STORY)
    world.stream.close()
    reader = await world.follow("start")
    await reader.until(lambda: reader.end or reader.closed)
    before = list(reader.events)
    reader.drop()
    reader.closed = False
    await reader.open(None if reader.resumes else str(world.stream.position))
    if isinstance(reader, SSE):
        assert reader.status == 204, "after anything else an EventSource comes back for ever"
    else:
        await reader.until(lambda: reader.end or reader.closed)
    assert reader.events == before


# Resets


async def test_who_comes_back_too_late_is_reset_to_the_oldest_kept(make_world: MakeWorld) -> None:
    world: World = await make_world(streams={"max_records": 5})
    world.say(*(f"<{number}>" for number in range(20)))
    reader = await world.follow(str(world.stream.position._replace(offset=3)))
    if isinstance(reader, Text):
        assert (reader.status, reader.error["code"]) == (410, "gone")
        return
    await reader.until(lambda: heard(reader, world.stream))
    head = str(world.stream.position_at(15))
    assert reader.resets == [
        {
            "type": "reset",
            "position": head,
            "reason": "trimmed",
            **({"stream": "a/chat"} if isinstance(reader, WebSocket | Follow) else {}),
        }
    ]


async def test_who_has_read_what_is_not_written_is_reset(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow(str(world.stream.position._replace(offset=99)))
    if isinstance(reader, Text):
        assert (reader.status, reader.error["code"]) == (410, "gone")
        return
    await reader.until(lambda: heard(reader, world.stream))
    assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


async def test_a_stream_of_the_same_name_is_not_taken_for_the_old_one(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    reader.drop()
    await world.hub.streams.delete(world.stream.name)
    again, _ = await world.hub.streams.create(world.stream.name)
    world.hub.streams.append(again, Delta("h", text="other"))
    reader.forget()
    await reader.open()
    await reader.until(lambda: heard(reader, again))
    if reader.resumes:
        assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


async def test_a_reset_that_leads_to_the_end_of_a_closed_stream_is_told_too(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    reader.drop()
    await world.hub.streams.delete(world.stream.name)
    again, _ = await world.hub.streams.create(world.stream.name)
    again.close()
    await reader.open()
    await reader.until(lambda: reader.end or reader.closed)
    if reader.resumes:
        assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


# Signs of life


async def test_beats_come(make_world: MakeWorld, driver: type[Reader]) -> None:
    setting = "ws_beat_seconds" if driver is WebSocket else "beat_seconds"
    world: World = await make_world(server={setting: 0.05})
    reader = await world.follow("start")
    if isinstance(reader, Text):
        await asyncio.sleep(0.2)
        assert reader.text == "", "whatever was sent would be text"
        return
    await reader.until(lambda: reader.beats >= 3)
    world.append(*STORY)
    await reader.until(lambda: heard(reader, world.stream))


# What is refused


@pytest.mark.parametrize(
    ("stream", "start", "status", "code"),
    [
        ("nobody", "start", 404, "stream_not_found"),
        ("a/chat", "tomorrow", 400, "bad_position"),
        ("a/chat", "0_0", 400, "bad_position"),
        ("a/chat", "+" * 33, 400, "bad_position"),
        (".hidden", "start", 400, "bad_name"),
        ("x" * 201, "start", 400, "bad_name"),
    ],
)
async def test_what_cannot_be_followed_is_one_clear_error(
    world: World, stream: str, start: str, status: int, code: str
) -> None:
    reader = await world.reader(stream).open(start)
    assert reader.error["code"] == code
    assert reader.error["message"]
    if isinstance(reader, Follow):
        assert reader.status == 200
        await reader.until(lambda: reader.end)
        assert reader.end == "whole", "there is nothing more to send"
    elif isinstance(reader, HTTP):
        assert reader.status == status
    else:
        assert not reader.end, "one mistake does not end the connection"


async def test_only_so_many_connections(make_world: MakeWorld) -> None:
    world: World = await make_world(limits={"connections": 2})
    readers = [await world.follow("start") for _ in range(2)]
    refused = await world.follow("start")
    assert (refused.status, refused.error["code"]) == (429, "limit_exceeded")
    assert world.hub.counts.refusals == 1
    readers[0].drop()
    await eventually(lambda: len(world.hub.connections) == 1)
    again = await world.follow("start")
    world.append(*STORY)
    await again.until(lambda: heard(again, world.stream))


async def test_a_hub_that_shuts_down_takes_nobody_in(world: World) -> None:
    world.hub.callers.leave()
    refused = await world.follow("start")
    assert (refused.status, refused.error["code"]) == (503, "draining")
    assert "retry-after" in refused.headers


# Slow readers


def patience_ends(connection: Connection) -> None:
    """It is looked at, and again so much later, with nothing taken in between. That the hub does
    this by itself is in ``test_promises_slow.py``."""
    now = asyncio.get_running_loop().time()
    connection.tick(now)
    assert not connection.ended
    connection.tick(now + 31)


async def test_who_never_reads_is_cut(make_world: MakeWorld) -> None:
    world: World = await make_world()
    slow = await world.follow("start", kernel_buffer=4096)
    (connection,) = world.hub.connections
    stays = await world.follow("start")
    slow.pause()
    for _ in range(40):
        world.say("x" * 50_000)
        await asyncio.sleep(0)
    await stays.until(lambda: heard(stays, world.stream))
    patience_ends(connection)
    assert world.hub.counts.evictions == 1
    await eventually(lambda: len(world.hub.connections) == 1)
    slow.resume()
    await slow.until(lambda: slow.end)
    assert slow.end == "cut" or slow.name == "text/1.0", "it must not look like the end"
    assert world.hub.counts.evictions == 1


async def test_who_never_reads_the_end_of_a_closed_stream_is_cut_too(
    make_world: MakeWorld,
) -> None:
    """Its response is written, but as long as it takes no more it is a connection."""
    world: World = await make_world()
    slow = world.reader(kernel_buffer=4096)
    world.say("x" * 200_000)
    world.stream.close()
    await slow.open("start")
    slow.pause()
    await settle()
    (connection,) = world.hub.connections
    patience_ends(connection)
    assert world.hub.counts.evictions == 1
    slow.resume()
    await slow.until(lambda: slow.end)


# One-off generations


async def test_the_end_of_a_reply_ends_a_response_well(world: World) -> None:
    generation = await world.hub.generations.start(GenerationRequest("echo Hello"))
    reader = await world.reader(generation.stream).open("start")
    await reader.until(lambda: reader.end or reader.closed)
    assert reader.text == "Hello"
    if isinstance(reader, HTTP):
        await reader.until(lambda: reader.end == "whole")


@pytest.mark.parametrize("prompt", ["fail", "cut"])
async def test_a_reply_that_broke_off_never_looks_whole_as_text(world: World, prompt: str) -> None:
    generation = await world.hub.generations.start(GenerationRequest(prompt))
    reader = await world.reader(generation.stream).open("start")
    await reader.until(lambda: reader.end or reader.closed)
    if isinstance(reader, Text):
        assert reader.end == "cut"
        late = await world.reader(generation.stream).open("start")
        await late.until(lambda: late.end)
        assert late.end == "cut"
    else:
        assert reader.events[-1]["type"] == "failed"
        assert reader.closed
