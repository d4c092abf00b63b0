"""The promises of the hub, each with the fault that would break it.

Real servers and sockets on loopback, under both event loops that `serve` may run on. What
is one module's own is tested beside it; here the whole is. Slow and greedy clients have
``test_slow_clients.py``, faulty upstreams and cancelling ``test_upstreams.py``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.events import Finished, Interrupted, Message, Other
from hub.domain.generation_request import GenerationRequest
from tests.support.loopback_hub import eventually, hub_on_loopback
from tests.support.numbered_records import (
    HANGS,
    REPLY,
    Run,
    both_loops,
    browser,
    numbers,
    say,
    scripted,
)
from tests.support.reading_day import ALL, SMALL, OneHub, Schedule, schedules, spend_day
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import DRIVERS, NDJSON, SSE, Reader, WebSocket
from tests.support.upstream_answers import Answer, Gate, openai_sse

# P1 and P2: each record once, in order, without gaps, on every transport


@both_loops
@settings(max_examples=12, derandomize=True)
@given(schedule=schedules(), size=st.sampled_from([0, 0, 3000]))
def test_p1_p2_every_reader_gets_the_same_text_each_record_once_in_order(
    run: Run, schedule: Schedule, size: int
) -> None:
    run(_day(schedule, size=size))


@both_loops
@settings(max_examples=6, derandomize=True)
@given(schedule=schedules())
def test_p1_where_something_is_lost_it_is_told_and_never_skipped(
    run: Run, schedule: Schedule
) -> None:
    run(_day(schedule, size=2000, max_records=15))


async def _day(schedule: Schedule, *, size: int, max_records: int = ALL) -> None:
    streams = {"max_records": max_records}
    async with hub_on_loopback(streams=streams, fanout=SMALL) as running:
        place = OneHub(running)
        await spend_day(place, DRIVERS, schedule, size=size, max_records=max_records)


# P8: a retried prompt has one effect


async def test_p8_a_prompt_sent_again_has_one_effect_however_it_is_sent() -> None:
    async with hub_on_loopback() as running, browser(running) as client:

        async def post(prompt: str, key: str) -> tuple[int, dict[str, Any]]:
            asked = {"prompt": prompt, "stream": "chat"}
            headers = {"Idempotency-Key": key}
            async with client.post("/v1/generations", json=asked, headers=headers) as response:
                return response.status, await response.json()

        answers = await asyncio.gather(*(post("echo Hi", "k1") for _ in range(5)))
        assert {status for status, _ in answers} == {201}
        assert len({shown["id"] for _, shown in answers}) == 1
        identity = answers[0][1]["id"]
        await running.hub.generations.wait(identity)

        socket = await running.follow(WebSocket, "chat", "now")
        command = {"type": "generate", "stream": "chat", "prompt": "echo Hi", "key": "k1"}
        assert (await socket.ask(**command))["generation"] == identity
        refused = await socket.ask(**{**command, "prompt": "echo Something else"})
        assert refused["code"] == "key_reused"
        assert await post("echo Something else", "k1") == (422, {"error": _error(refused)})

        other = await socket.ask(**{**command, "key": "k2"})
        assert other["generation"] != identity
        await running.hub.generations.wait(other["generation"])
        assert (await post("echo Hi", "k2"))[1]["id"] == other["generation"]

        stream = await running.hub.streams.open("chat")
        assert sum([isinstance(event, Message) async for event in stream.events()]) == 2


def _error(reply: dict[str, Any]) -> dict[str, Any]:
    return {"code": reply["code"], "message": reply["message"]}


# P12: a drain loses nothing and causes no reconnect storm


@both_loops
def test_p12_a_drain_loses_nothing_and_sends_everybody_off_at_a_time_of_their_own(
    run: Run,
) -> None:
    run(_drain())


async def _drain() -> None:
    async with Scripted() as upstream:
        tables = scripted(upstream)
        server = {"drain_seconds": 3.0}
        async with (
            hub_on_loopback(**tables, server=server, fanout={"slice": 1}) as running,
            browser(running) as client,
        ):
            gate, blocks = Gate(), openai_sse(*REPLY)
            upstream.answers(Answer(*blocks[:3], gate, *blocks[3:]), HANGS)
            ends = await running.hub.generations.start(GenerationRequest("Hi", stream="ends"))
            await gate.reached()
            hangs = await running.hub.generations.start(GenerationRequest("Hi", stream="hangs"))
            sockets = [await running.follow(WebSocket, "hangs") for _ in range(12)]
            events = [await running.follow(SSE, "hangs") for _ in range(8)]
            await sockets[0].until(lambda: sockets[0].text)

            shutdown = asyncio.create_task(running.app.shutdown())
            await eventually(lambda: running.hub.draining)
            async with client.get("/readyz") as ready, client.get("/livez") as live:
                assert (ready.status, live.status) == (503, 200)
            async with client.post("/v1/generations", json={"prompt": "Hi"}) as refused:
                assert refused.status == 503
                assert (await refused.json())["error"]["code"] == "draining"
            reply = await sockets[0].ask(type="generate", prompt="Hi", stream="new")
            assert reply["code"] == "draining"
            gate.open()
            await shutdown

            assert isinstance(ends.terminal, Finished), "it had the time to end"
            assert isinstance(hangs.terminal, Interrupted)
            for reader in (*sockets, *events):
                await reader.until(lambda: reader.end)  # noqa: B023
                assert reader.events[-1]["type"] == "interrupted", "the last word came too"
            waits = {_farewell(socket) for socket in sockets}
            assert all(500 <= wait <= 5000 for wait in waits)
            assert len(waits) > 6, "they do not all come back at once"
            assert {socket.close_code for socket in sockets} == {4000}
            assert {reader.end for reader in events} == {"cut"}
            assert not any(reader.closed for reader in (*sockets, *events)), "the stream goes on"
            assert not running.hub.connections


def _farewell(socket: WebSocket) -> int:
    (told,) = socket.others
    assert told["type"] == "draining"
    wait: int = told["retry_ms"]
    return wait


@both_loops
def test_p12_nothing_is_written_after_the_farewell(run: Run) -> None:
    run(_append_during_the_farewell())


async def _append_during_the_farewell() -> None:
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        sockets = [await running.follow(WebSocket, "chat") for _ in range(3)]
        shutdown = asyncio.create_task(running.app.shutdown())
        while not shutdown.done():
            running.hub.streams.append(stream, Other({"n": 1}))
            await asyncio.sleep(0)
        for socket in sockets:
            # Its parser complains about whatever comes after a close frame.
            await socket.until(lambda: not socket.connected)  # noqa: B023
            assert socket.close_code == 4000


@both_loops
@pytest.mark.parametrize("driver", [WebSocket, SSE, NDJSON])
def test_p12_who_is_a_little_behind_is_sent_the_rest_first(run: Run, driver: type[Reader]) -> None:
    run(_drain_with_a_lag(driver))


async def _drain_with_a_lag(driver: type[Reader]) -> None:
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        reader = await running.follow(driver, "chat", kernel_buffer=4096)
        reader.pause()
        for _ in range(100):
            say(running.hub, stream, 1, 5000)
            await asyncio.sleep(0)
        (connection,) = running.hub.connections
        assert connection.busy
        reader.resume()
        await running.app.shutdown()
        await reader.until(lambda: reader.end)
        assert numbers(reader) == list(range(100))
        assert not reader.closed
