"""The promises of the hub, kept by two hubs on one Redis of which each request asks the other one.

Whatever a promise says of one hub holds of both: who writes over one is read over the other, and
who comes back goes on there. What only one hub can do, and its sockets, is in the other files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.events import Delta, Message, encode
from hub.domain.generation_request import GenerationRequest
from tests.support.ended_generations import (
    check_cancelling,
    check_story,
    ends_of,
    faults,
    one_for_each,
)
from tests.support.hubs_in_turn import HubsInTurn, hubs_in_turn
from tests.support.loopback_hub import eventually
from tests.support.numbered_records import (
    HANGS,
    REPLY,
    SILENT,
    STORY,
    TEXT,
    browser,
    heard,
    numbers,
    scripted,
)
from tests.support.reading_day import ALL, SMALL, Schedule, schedules, spend_day
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import JSON, NDJSON, SSE, Reader, Text, WebSocket
from tests.support.upstream_answers import Answer, Gate, openai_sse

DRIVERS: list[type[Reader]] = [WebSocket, SSE, NDJSON, JSON, Text]

each_driver = pytest.mark.parametrize("driver", DRIVERS, ids=[each.name for each in DRIVERS])


@pytest.fixture
async def hubs() -> AsyncIterator[HubsInTurn]:
    async with hubs_in_turn() as running:
        yield running


async def until_heard(reader: Reader, hubs: HubsInTurn, since: int = 0) -> None:
    for stream in await hubs.both("chat"):
        await reader.until(lambda: heard(reader, stream, since))  # noqa: B023


# P1 and P2: each record once, in order, without gaps, whichever hub is read


@settings(max_examples=8, derandomize=True)
@given(schedule=schedules(), size=st.sampled_from([0, 3000]))
def test_p1_p2_every_reader_gets_each_record_once_in_order(schedule: Schedule, size: int) -> None:
    asyncio.run(_day(schedule, size=size))


@settings(max_examples=5, derandomize=True)
@given(schedule=schedules())
def test_p1_where_something_is_lost_it_is_told_and_never_skipped(schedule: Schedule) -> None:
    asyncio.run(_day(schedule, size=2000, max_records=15))


async def _day(schedule: Schedule, *, size: int, max_records: int = ALL) -> None:
    async with hubs_in_turn(streams={"max_records": max_records}, fanout=SMALL) as hubs:
        await spend_day(hubs, DRIVERS, schedule, size=size, max_records=max_records)


@each_driver
async def test_p2_history_turns_into_live_without_a_seam(
    hubs: HubsInTurn, driver: type[Reader]
) -> None:
    done = False

    async def talk() -> None:
        number = 0
        while not done:
            await hubs.say("chat", f"<{number}>")
            number += 1

    await hubs.create("chat")
    talking = asyncio.create_task(talk())
    readers = [await hubs.follow(driver, "chat") for _ in range(4)]
    await asyncio.sleep(0.02)
    for reader in readers[:2]:
        await hubs.come_back(reader)
    done = True
    await talking
    for reader in readers:
        await until_heard(reader, hubs)
        assert reader.resets == []


@each_driver
async def test_p1_the_end_of_a_stream_is_told_at_both(
    hubs: HubsInTurn, driver: type[Reader]
) -> None:
    await hubs.append("chat", STORY[0])
    readers = [await hubs.follow(driver, "chat") for _ in range(2)]
    await hubs.append("chat", *STORY[1:])
    await hubs.close("chat")
    late = [await hubs.follow(driver, "chat") for _ in range(2)]
    for reader in (*readers, *late):
        await reader.until(lambda: reader.end or reader.closed)  # noqa: B023
        assert reader.text == TEXT
        await until_heard(reader, hubs)


# P4: never two contents for one position


@each_driver
async def test_p4_any_position_of_one_hub_is_the_same_place_at_the_other(
    hubs: HubsInTurn, driver: type[Reader]
) -> None:
    await hubs.append("chat", *STORY)
    one, other = await hubs.both("chat")
    for since in range(one.tail + 1):
        assert one.position_at(since) == other.position_at(since)
        reader = await hubs.follow(driver, "chat", str(one.position_at(since)))
        await until_heard(reader, hubs, since)
        assert reader.resets == []


@each_driver
async def test_p4_a_stream_of_the_same_name_is_not_taken_for_the_old_one(
    hubs: HubsInTurn, driver: type[Reader]
) -> None:
    await hubs.say("chat", "one", "two")
    readers = [await hubs.follow(driver, "chat") for _ in range(2)]
    for reader in readers:
        await until_heard(reader, hubs)
        reader.drop()
    await hubs.hub.streams.delete("chat")
    await hubs.say("chat", "other", "words", "here")
    for reader in readers:
        reader.forget()
        await hubs.come_back(reader)
        await until_heard(reader, hubs)
        if reader.resumes:
            assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


@each_driver
async def test_p1_who_comes_back_too_late_is_reset_to_the_oldest_kept(driver: type[Reader]) -> None:
    async with hubs_in_turn(streams={"max_records": 5}) as hubs:
        await hubs.say("chat", *(f"<{number}>" for number in range(20)))
        for stream in await hubs.both("chat"):
            reader = await hubs.follow(driver, "chat", str(stream.position._replace(offset=3)))
            if isinstance(reader, Text):
                assert (reader.status, reader.error["code"]) == (410, "gone")
                continue
            await until_heard(reader, hubs)
            (reset,) = reader.resets
            assert (reset["reason"], reset["position"]) == ("trimmed", str(stream.position_at(15)))


# P5: one terminal event a generation, always last, whatever its upstream does


@settings(max_examples=2, derandomize=True)
@given(st.lists(faults(), min_size=12, max_size=12), st.lists(st.integers(0, 11), max_size=3))
def test_p5_a_generation_ends_once_and_last_at_both(
    answers: list[Answer], cancelled: list[int]
) -> None:
    asyncio.run(_generate(answers, cancelled))


async def _generate(answers: list[Answer], cancelled: list[int]) -> None:
    async with (
        Scripted() as upstream,
        hubs_in_turn(upstreams=one_for_each(upstream, answers)) as hubs,
    ):
        for number in range(len(answers)):
            request = GenerationRequest("Hi", upstream=f"u{number}")
            begun = await hubs.hub.generations.start(request)
            if number in cancelled:
                await hubs.hub.generations.cancel(begun.id)
            await hubs.hub.generations.wait(begun.id)
            for stream in await hubs.both(begun.stream):
                await check_story(stream)
            shown = {(await each.hub.generations.find(begun.id)).state for each in hubs.hubs}
            assert len(shown) == 1


# P6: a slow client never delays another, at its own hub or elsewhere


@pytest.mark.parametrize("driver", [WebSocket, SSE, NDJSON])
async def test_p6_who_stops_reading_delays_nobody_and_catches_up(
    hubs: HubsInTurn, driver: type[Reader]
) -> None:
    await hubs.create("chat")
    slow = [await hubs.follow(driver, "chat", kernel_buffer=4096) for _ in range(2)]
    fast = [await hubs.follow(driver, "chat") for _ in range(4)]
    for reader in slow:
        reader.pause()
    for first in range(0, 600, 20):
        said = [Delta("g", text=f"<{first + more}>" + "x" * 1000) for more in range(20)]
        await hubs.hub.streams.write("chat", [(encode(event), event) for event in said])
    for reader in fast:
        await reader.until(lambda: numbers(reader) == list(range(600)))  # noqa: B023
    assert all(len(numbers(reader)) < 300 for reader in slow)
    for reader in slow:
        reader.resume()
        await reader.until(lambda: numbers(reader) == list(range(600)))  # noqa: B023
        assert reader.resets == []
    assert [each.hub.counts.evictions for each in hubs.hubs] == [0, 0]


# P8: a retried prompt has one effect


async def test_p8_a_prompt_sent_again_has_one_effect_whichever_hub_is_asked(
    hubs: HubsInTurn,
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(browser(each)) for each in hubs.hubs]

        async def post(client: aiohttp.ClientSession, prompt: str) -> tuple[int, dict[str, Any]]:
            asked = {"prompt": prompt, "stream": "chat"}
            headers = {"Idempotency-Key": "k"}
            async with client.post("/v1/generations", json=asked, headers=headers) as response:
                return response.status, await response.json()

        answers = await asyncio.gather(*(post(client, "echo Hi") for client in clients * 3))
        assert {status for status, _ in answers} == {201}
        (identity,) = {shown["id"] for _, shown in answers}
        await hubs.hub.generations.wait(identity)
        command = {"type": "generate", "stream": "chat", "prompt": "echo Hi", "key": "k"}
        for client in clients:
            socket = await hubs.follow(WebSocket, "chat", "now")
            assert (await socket.ask(**command))["generation"] == identity
            refused = await socket.ask(**{**command, "prompt": "echo Bye"})
            assert refused["code"] == "key_reused"
            assert (await post(client, "echo Bye"))[0] == 422
    for stream in await hubs.both("chat"):
        assert sum([isinstance(event, Message) async for event in stream.events()]) == 1


# P9: cancel reaches the upstream within 100 ms from anywhere; a disconnect never cancels


@pytest.mark.parametrize("answer", [HANGS, SILENT], ids=["in mid-answer", "before its first word"])
async def test_p9_cancel_over_another_hub_reaches_the_upstream_at_once(answer: Answer) -> None:
    async with Scripted() as upstream, hubs_in_turn(**scripted(upstream)) as hubs:
        starter, other = [await hubs.follow(WebSocket, "chat") for _ in range(2)]

        async def cancel(generation: str) -> str:
            return str((await other.ask(type="cancel", generation=generation))["state"])

        await check_cancelling(upstream, answer, starter, cancel)
        for stream in await hubs.both("chat"):
            assert await ends_of(stream) == ["Cancelled"] * len(upstream.requests)


async def test_p9_who_goes_away_cancels_nothing() -> None:
    async with Scripted() as upstream, hubs_in_turn(**scripted(upstream)) as hubs:
        gate, blocks = Gate(), openai_sse(*REPLY)
        upstream.answers(Answer(*blocks[:3], gate, *blocks[3:]))
        starter, other = [await hubs.follow(WebSocket, "chat") for _ in range(2)]
        await starter.ask(type="generate", stream="chat", prompt="Hi")
        await gate.reached()
        starter.drop()
        other.drop()
        await eventually(lambda: not any(each.hub.connections for each in hubs.hubs))
        gate.open()
        for reader in (starter, other):
            await hubs.come_back(reader)
            await reader.until(lambda: reader.text == "".join(REPLY))  # noqa: B023
            await reader.until(lambda: reader.events[-1]["type"] == "finished")  # noqa: B023


# P12: a drain loses nothing


async def test_p12_who_is_sent_off_by_one_hub_goes_on_at_the_other() -> None:
    async with Scripted() as upstream:
        tables = {**scripted(upstream), "server": {"drain_seconds": 3.0}}
        async with hubs_in_turn(**tables) as hubs:
            leaving, stays = hubs.hubs
            gate, blocks = Gate(), openai_sse(*REPLY)
            upstream.answers(Answer(*blocks[:3], gate, *blocks[3:]), HANGS)
            for name in ("chat", "hangs"):
                await leaving.hub.generations.start(GenerationRequest("Hi", stream=name))
            await gate.reached()
            readers = [await leaving.follow(driver, "chat") for driver in (WebSocket, SSE, NDJSON)]
            shutdown = asyncio.create_task(leaving.app.shutdown())
            await eventually(lambda: leaving.hub.draining)
            gate.open()
            await shutdown
            for reader in readers:
                await reader.until(lambda: reader.end)  # noqa: B023
                assert not reader.closed, "the stream goes on"
                reader.move(stays.port)
                await reader.open()
            await stays.hub.streams.append_to("chat", Message("user", "Again"))
            for reader in readers:
                await reader.until(lambda: reader.events[-1].get("text") == "Again")  # noqa: B023
                kinds = [event["type"] for event in reader.events]
                assert [kinds.count(kind) for kind in ("started", "finished")] == [1, 1]
                assert reader.text == "".join(REPLY)
                assert reader.resets == []
            assert await ends_of(await stays.hub.streams.open("hangs")) == ["Interrupted"]
