"""The promises of the hub, each with the fault that would break it.

Real servers and sockets on loopback, under both event loops that `serve` may run on. What
is one module's own is tested beside it; here the whole is.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal

import aiohttp
import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.connection import GIVEN_UP, REPLIES, Connection
from hub.events import TERMINALS, Delta, Failed, Finished, Interrupted, Message, Other, Started
from hub.generation import Generation
from hub.hub import Hub
from hub.runs import Ask
from hub.stream import Stream
from tests.answers import Answer, Ending, Gate, openai_sse, refusal
from tests.loopback import Loopback, eventually, hub_on_loopback
from tests.readers import DRIVERS, NDJSON, SSE, Reader, Text, WebSocket
from tests.scripted import Scripted
from tests.wire import client_frame

Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS: list[Run] = [asyncio.run, uvloop.run]
both_loops = pytest.mark.parametrize("run", LOOPS, ids=["asyncio", "uvloop"])


def say(hub: Hub, stream: Stream, count: int, size: int = 0) -> None:
    """Records that tell their own offset."""
    for _ in range(count):
        hub.append(stream, Delta("g", text=f"<{stream.tail}>" + "x" * size))


def length(stream: Stream) -> int:
    """How long the text of all records is."""
    return sum(len(event.text) for event in stream.events() if isinstance(event, Delta))


def numbers(reader: Reader) -> list[int]:
    """The offsets of the records that a reader has been told."""
    return [int(number) for number in re.findall(r"<(\d+)>", reader.text)]


# P1 and P2: each record once, in order, without gaps, on every transport

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["say", "say", "say", "join", "join", "drop", "rejoin", "pause", "resume", "wait"]
        ),
        st.integers(0, 20),
    ),
    min_size=15,
    max_size=50,
)


@both_loops
@settings(max_examples=12, derandomize=True)
@given(schedule=steps, size=st.sampled_from([0, 0, 3000]))
def test_p1_p2_every_reader_gets_the_same_text_each_record_once_in_order(
    run: Run, schedule: list[tuple[str, int]], size: int
) -> None:
    run(_one_day(schedule, size, max_records=100_000))


@both_loops
@settings(max_examples=6, derandomize=True)
@given(schedule=steps)
def test_p1_where_something_is_lost_it_is_told_and_never_skipped(
    run: Run, schedule: list[tuple[str, int]]
) -> None:
    run(_one_day(schedule, 2000, max_records=15))


async def _one_day(schedule: list[tuple[str, int]], size: int, *, max_records: int) -> None:
    fanout = {"slice": 2, "write_buffer_bytes": 4096, "catch_up_bytes": 8192}
    async with hub_on_loopback(streams={"max_records": max_records}, fanout=fanout) as running:
        stream = await running.hub.create("chat")
        # One of each transport from the beginning; the schedule brings more.
        readers = [await _join(running, kind, "start") for kind in range(len(DRIVERS))]
        for what, number in schedule:
            await _step(running, stream, readers, what, number, size)
        say(running.hub, stream, 3, size)
        stream.close()
        for reader in readers:
            await _read_to_the_end(reader)
            _check(reader, stream, trimmed=max_records < 1000)


async def _join(running: Loopback, kind: int, start: str) -> Reader:
    driver = DRIVERS[kind % len(DRIVERS)]
    kernel_buffer = 4096 if kind % 2 else None
    return await running.follow(driver, "chat", start, kernel_buffer=kernel_buffer)


async def _step(
    running: Loopback, stream: Stream, readers: list[Reader], what: str, number: int, size: int
) -> None:
    reader = readers[number % len(readers)]
    if what == "say":
        say(running.hub, stream, number, size)
        await asyncio.sleep(0)
    elif what == "wait":
        await asyncio.sleep(number / 2000)
    elif what == "join":
        readers.append(await _join(running, number, "now" if number % 3 else "start"))
    elif what == "drop":
        reader.drop()
    elif what == "rejoin":
        reader.drop()
        await reader.open()
    elif reader.connected and what == "pause":
        reader.pause()
    elif reader.connected:
        reader.resume()


async def _read_to_the_end(reader: Reader) -> None:
    while not reader.closed:
        if reader.connected:
            reader.resume()
        else:
            await reader.open()
        if reader.status in (204, 410):
            assert reader.status == 204 or isinstance(reader, Text)
            return
        await reader.until(lambda: reader.closed or reader.end)
        if isinstance(reader, Text) and reader.end == "whole":
            return


def _check(reader: Reader, stream: Stream, *, trimmed: bool) -> None:
    told = numbers(reader)
    jumps = [after for before, after in pairwise(told) if after != before + 1]
    resets = [int(reset["position"][17:]) for reset in reader.resets]
    assert jumps == [place for place in resets if place in told and place != told[0]], reader.name
    assert told == sorted(set(told))
    assert told[-1:] == [stream.tail - 1]
    if not trimmed:
        assert resets == []


# P5: one terminal event a generation, always last, with usage

REPLY = ["Hel", "lo ", "wörld \U0001f30a", "<br>\r\n", "data: [DONE]\n\n", "."]
WHOLE = Answer(*openai_sse(*REPLY, usage={"prompt_tokens": 3, "completion_tokens": 6}))


@st.composite
def faults(draw: st.DrawFn) -> Answer:
    """An answer that goes wrong somewhere, or lies about itself, or not."""
    kind = draw(st.sampled_from(["stop", "stop", "stop", "raw", "garbage", "status", "refusal"]))
    if kind == "refusal":
        status = draw(st.sampled_from([301, 400, 401, 404, 429, 500, 503, 529]))
        return refusal(status, "no", retry_after=draw(st.sampled_from([None, "soon", "9999"])))
    framings: list[Literal["chunked", "length", "close"]] = ["chunked", "length", "close"]
    framing = draw(st.sampled_from(framings))
    kind_said = draw(st.sampled_from(["text/event-stream", "text/html", "application/json", None]))
    status = 200 if kind != "status" else draw(st.sampled_from([201, 204, 206, 500]))
    answer = Answer(*WHOLE.steps, framing=framing, type=kind_said, status=status)
    if kind == "garbage":
        junk = draw(st.sampled_from([b"data: {", b"<html>", b"\xff\xfe", b'data: {"error":1}']))
        place = draw(st.integers(0, len(WHOLE.steps)))
        steps = [*WHOLE.steps[:place], junk + b"\n\n", *WHOLE.steps[place:]]
        answer = Answer(*steps, framing=framing, type=kind_said)
    if kind == "raw":
        answer = answer.raw()
    places = draw(st.lists(st.integers(0, len(answer.body)), max_size=4))
    answer = answer.cut(*places)
    if kind in ("stop", "raw") and draw(st.integers(0, 4)):
        ending = draw(st.sampled_from(list(Ending)))
        answer = answer.stop(draw(st.integers(0, len(answer.body))), ending)
    return answer


@settings(max_examples=5, derandomize=True)
@given(st.lists(faults(), min_size=12, max_size=12), st.lists(st.integers(0, 15), max_size=3))
@example([WHOLE], [])
@example([WHOLE], [0])
def test_p5_whatever_an_upstream_does_a_generation_ends_once_and_last(
    answers: list[Answer], cancelled: list[int]
) -> None:
    asyncio.run(_generate(answers, cancelled))


async def _generate(answers: list[Answer], cancelled: list[int]) -> None:
    async with Scripted() as upstream:
        # An address for each answer, because a request that was cancelled may arrive late.
        patience = {"stall_timeout": 0.1, "retries": 1, "max_retry_wait": 0.0}
        upstreams = {
            f"u{number}": {
                "dialect": "openai-chat",
                "url": upstream.answers(answer, under=f"/u{number}/"),
                **patience,
            }
            for number, answer in enumerate(answers)
        }
        async with hub_on_loopback(upstreams=upstreams) as running:
            hub = running.hub
            for number in range(len(answers)):
                generation = await hub.generate(Ask("Hi", upstream=f"u{number}"))
                if number in cancelled:
                    await asyncio.sleep(number / 5000)
                    await hub.cancel(generation.id)
                await hub.finished(generation.id)
                _check_story(generation, await hub.open(generation.stream))


def _check_story(generation: Generation, stream: Stream) -> None:
    question, *story = stream.events()
    assert isinstance(question, Message)
    assert isinstance(story[0], Started)
    assert sum(isinstance(event, TERMINALS) for event in story) == 1
    end = story[-1]
    assert isinstance(end, TERMINALS)
    assert end == generation.terminal
    assert end.usage is not None
    assert end.at is not None
    assert stream.closed
    text = "".join(event.text for event in story if isinstance(event, Delta))
    assert "".join(REPLY).startswith(text)
    if isinstance(end, Finished):
        assert text == "".join(REPLY), "a truncated answer must not look finished"
    if isinstance(end, Failed):
        assert end.code
        assert end.message
        assert end.code != "internal", end


# P6: a slow client never delays another


@both_loops
@pytest.mark.parametrize("driver", [WebSocket, SSE, NDJSON])
def test_p6_who_stops_reading_delays_nobody_holds_little_and_catches_up(
    run: Run, driver: type[Reader]
) -> None:
    run(_slow_and_fast(driver))


async def _slow_and_fast(driver: type[Reader]) -> None:
    async with hub_on_loopback(fanout={"slice": 3}) as running:
        hub = running.hub
        stream = await hub.create("chat")
        slow = await running.follow(driver, "chat", kernel_buffer=4096)
        (connection,) = hub.connections
        fast = [await running.follow(driver, "chat") for _ in range(5)]
        slow.pause()
        most = 0
        for _ in range(150):
            say(hub, stream, 10, 1000)
            await asyncio.sleep(0)
            most = max(most, _held(connection))
        # All others have everything, while this one has not even been looked at.
        for reader in fast:
            await reader.until(lambda: reader.length == length(stream))  # noqa: B023
            assert numbers(reader) == list(range(1500))
        assert hub.counts.evictions == 0
        assert len(numbers(slow)) < 750
        assert most <= 65536 + 65536 + 8192, "the buffer's mark and a frame of a catch-up"
        assert connection.busy
        assert connection._outbox is not None
        assert connection._outbox.qsize() == 1, "a place, not copies"

        before = slow.frames
        slow.resume()
        await slow.until(lambda: slow.length == length(stream))
        assert numbers(slow) == list(range(1500))
        assert slow.resets == []
        if isinstance(slow, WebSocket):
            behind = [event for event in slow.events if event["text"].count("<") > 10]
            assert behind, "what it missed came as merged deltas"
            assert slow.frames - before < 200
        say(hub, stream, 1)
        await slow.until(lambda: numbers(slow)[-1] == 1500)
        await eventually(lambda: not connection.busy)


def _held(connection: Connection) -> int:
    """Bytes that the hub holds for a connection, the kernel's left out."""
    transport = connection.wire.transport
    return transport.get_write_buffer_size() if transport is not None else 0


@both_loops
def test_p6_who_never_reads_again_is_cut_and_the_others_do_not_notice(run: Run) -> None:
    run(_stuck())


async def _stuck() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 0.3}) as running:
        hub = running.hub
        stream = await hub.create("chat")
        stuck = [
            await running.follow(driver, "chat", kernel_buffer=4096)
            for driver in (WebSocket, SSE, Text)
        ]
        stays = await running.follow(WebSocket, "chat")
        for reader in stuck:
            reader.pause()
        for _ in range(60):
            say(hub, stream, 20, 500)
            await asyncio.sleep(0.01)
        await eventually(lambda: len(hub.connections) == 1, within=3)
        assert hub.counts.evictions == 3
        await stays.until(lambda: numbers(stays) == list(range(1200)))
        for reader in stuck:
            reader.resume()
            await reader.until(lambda: reader.end == "cut")  # noqa: B023
        # What was cut comes back, and misses nothing.
        back = stuck[0]
        await back.open()
        await back.until(lambda: numbers(back) == list(range(1200)))


@both_loops
def test_p6_who_reads_slowly_but_steadily_is_not_cut(run: Run) -> None:
    run(_steady())


async def _steady() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 0.4}) as running:
        hub = running.hub
        stream = await hub.create("chat")
        steady = await running.follow(WebSocket, "chat", kernel_buffer=16384)
        (connection,) = hub.connections
        paused = 0
        for _ in range(20):
            steady.pause()
            say(hub, stream, 1, 100_000)
            await asyncio.sleep(0.05)
            paused += connection.wire.writing_paused
            before = steady.received
            steady.resume()
            await steady.until(lambda: steady.received > before + 40_000)  # noqa: B023
        assert paused >= 19, "whenever it is looked at, its buffer is full"
        await steady.until(lambda: numbers(steady) == list(range(20)))
        assert hub.counts.evictions == 0


# P7: memory is bounded, whatever clients do


@both_loops
def test_p7_a_client_that_asks_and_never_reads_is_not_read_any_more(run: Run) -> None:
    run(_asks_and_never_reads())


async def _asks_and_never_reads() -> None:
    async with hub_on_loopback() as running:
        await running.hub.create("chat")
        greedy = await running.follow(WebSocket, "chat", kernel_buffer=4096)
        (connection,) = running.hub.connections
        greedy.pause()
        ping = json.dumps({"type": "ping", "id": "p" * 200}).encode()
        for _ in range(100):
            greedy.write(client_frame(ping) * 100)
            await asyncio.sleep(0)
        most = 0
        for _ in range(50):
            await asyncio.sleep(0.005)
            most = max(most, _held(connection))
            assert connection._outbox is None or connection._outbox.qsize() <= REPLIES
        assert most <= 65536 + 2000
        assert greedy.unsent > 1_000_000, "it is the client's own memory that fills up"
        # Nothing was thrown away either: when it reads, it is answered.
        greedy.resume()
        await greedy.until(lambda: greedy.answers == 10_001)


@both_loops
def test_p7_neither_is_one_that_sends_control_frames(run: Run) -> None:
    run(_pings_and_never_reads())


async def _pings_and_never_reads() -> None:
    async with hub_on_loopback() as running:
        await running.hub.create("chat")
        greedy = await running.follow(WebSocket, "chat", kernel_buffer=4096)
        (connection,) = running.hub.connections
        greedy.pause()
        for _ in range(100):
            greedy.write(client_frame(b"p" * 125, 9) * 1000)
            await asyncio.sleep(0)
        most = 0
        for _ in range(50):
            await asyncio.sleep(0.005)
            most = max(most, _held(connection))
        assert most <= 2 * 65536 + 2000
        assert greedy.unsent > 1_000_000


async def test_p7_a_client_that_comes_and_goes_while_it_reads_nothing_stops_no_stream() -> None:
    """The outbox has room for whatever it can do before its answers stop it."""
    async with hub_on_loopback(limits={"subscriptions": 5}) as running:
        hub = running.hub
        streams = [await hub.create(f"s{number}") for number in range(5)]
        nasty = await running.follow(WebSocket, "s0", kernel_buffer=4096)
        stays = await running.follow(NDJSON, "s0")
        for stream in streams[1:]:
            await nasty.ask(type="subscribe", stream=stream.name)
        connection = next(one for one in hub.connections if len(one.subscriptions) == 5)
        nasty.pause()
        for _ in range(100):
            for stream in streams:
                say(hub, stream, 1, 1000)
            await asyncio.sleep(0)
        assert connection.busy
        for _ in range(40):
            for stream in streams:
                nasty.tell(type="unsubscribe", stream=stream.name)
                nasty.tell(type="subscribe", stream=stream.name, **{"from": "start"})
        for _ in range(50):
            await asyncio.sleep(0.002)
            for stream in streams:
                say(hub, stream, 1)
        assert connection._outbox is not None
        assert connection._outbox.qsize() <= 5 + REPLIES + GIVEN_UP
        await stays.until(lambda: numbers(stays) == list(range(150)))
        nasty.resume()
        await nasty.ask(type="ping")


async def test_p7_subscriptions_and_frames_have_a_limit() -> None:
    async with hub_on_loopback(limits={"subscriptions": 3, "frame_bytes": 1000}) as running:
        for number in range(4):
            await running.hub.create(f"s{number}")
        client = await running.follow(WebSocket, "s0")
        for number in (1, 2):
            reply = await client.ask(type="subscribe", stream=f"s{number}")
            assert reply["type"] == "ok"
        reply = await client.ask(type="subscribe", stream="s3")
        assert reply["code"] == "limit_exceeded"
        client.write(client_frame(json.dumps({"type": "ping", "id": "p" * 1000}).encode()))
        await client.until(lambda: None in client.replies)
        assert client.replies[None]["code"] == "frame_too_large"
        assert (await client.ask(type="ping"))["type"] == "ok"
        client.write(client_frame(b"x" * 10_000))
        await client.until(lambda: client.end)
        assert client.close_code == 1009


# P8: a retried prompt has one effect


@asynccontextmanager
async def browser(running: Loopback) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as client:
        yield client


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
        await running.hub.finished(identity)

        socket = await running.follow(WebSocket, "chat", "now")
        command = {"type": "generate", "stream": "chat", "prompt": "echo Hi", "key": "k1"}
        assert (await socket.ask(**command))["generation"] == identity
        refused = await socket.ask(**{**command, "prompt": "echo Something else"})
        assert refused["code"] == "key_reused"
        assert await post("echo Something else", "k1") == (422, {"error": _error(refused)})

        other = await socket.ask(**{**command, "key": "k2"})
        assert other["generation"] != identity
        await running.hub.finished(other["generation"])
        assert (await post("echo Hi", "k2"))[1]["id"] == other["generation"]

        stream = await running.hub.open("chat")
        assert sum(isinstance(event, Message) for event in stream.events()) == 2


def _error(reply: dict[str, Any]) -> dict[str, Any]:
    return {"code": reply["code"], "message": reply["message"]}


# P9: cancel reaches the upstream within 100 ms; a disconnect never cancels


def _scripted(upstream: Scripted, **more: Any) -> dict[str, Any]:
    table = {"dialect": "openai-chat", "url": upstream.url, **more}
    return {"upstreams": {"one": table}, "default_upstream": "one"}


HANGS = Answer(*openai_sse(*REPLY)[:3], Ending.HANG)
SILENT = Answer(Ending.HANG)


@both_loops
@pytest.mark.parametrize("way", ["http", "websocket"])
@pytest.mark.parametrize("answer", [HANGS, SILENT], ids=["in mid-answer", "before its first word"])
def test_p9_cancel_from_another_connection_reaches_the_upstream_at_once(
    run: Run, way: str, answer: Answer
) -> None:
    run(_cancel(way, answer))


async def _cancel(way: str, answer: Answer) -> None:
    async with Scripted() as upstream, hub_on_loopback(**_scripted(upstream)) as running:
        upstream.answers(answer, answer, answer)
        starter = await running.follow(WebSocket, "chat")
        other = await running.follow(WebSocket, "other")
        took: list[float] = []
        loop = asyncio.get_running_loop()
        async with browser(running) as client:
            await client.get("/livez")
            for number in range(3):
                started = await starter.ask(type="generate", stream="chat", prompt="Hi")
                request = await upstream.request(number)
                await eventually(lambda: request.sent)  # noqa: B023
                began = loop.time()
                if way == "http":
                    async with client.delete(f"/v1/generations/{started['generation']}") as done:
                        assert (await done.json())["state"] == "cancelled"
                else:
                    reply = await other.ask(type="cancel", generation=started["generation"])
                    assert reply["state"] == "cancelled"
                took.append(await request.left() - began)
        # Three tries, because this machine may have been busy with something else.
        assert min(took) < 0.1, took
        stream = await running.hub.open("chat")
        ends = [event for event in stream.events() if isinstance(event, TERMINALS)]
        assert [type(event).__name__ for event in ends] == ["Cancelled"] * 3


@both_loops
def test_p9_who_goes_away_cancels_nothing(run: Run) -> None:
    run(_go_away())


async def _go_away() -> None:
    async with Scripted() as upstream, hub_on_loopback(**_scripted(upstream)) as running:
        gates = [Gate(), Gate(), Gate()]
        blocks = openai_sse(*REPLY)
        upstream.answers(*(Answer(*blocks[:3], gate, *blocks[3:]) for gate in gates))
        # Over WebSocket, by a POST, and as a completion that is being streamed.
        starter = await running.follow(WebSocket, "one")
        await starter.ask(type="generate", stream="one", prompt="Hi")
        await gates[0].reached()
        starter.drop()
        async with browser(running) as client:
            async with client.post("/v1/generations", json={"prompt": "Hi"}) as posted:
                assert posted.status == 201
            await gates[1].reached()
            asked = {"model": "one", "messages": [{"role": "user", "content": "Hi"}]}
            response = await client.post("/v1/chat/completions", json={**asked, "stream": True})
            await response.content.readline()
            await gates[2].reached()
            assert response.connection is not None
            assert response.connection.transport is not None
            response.connection.transport.abort()
            response.close()
        await eventually(lambda: not running.hub.connections, within=3)
        assert running.hub.generating == 3
        for gate in gates:
            gate.open()
        await eventually(lambda: not running.hub.generating)
        assert running.hub.counts.generations == {"finished": 3}
        follower = await running.follow(NDJSON, "one")
        await follower.until(lambda: follower.text == "".join(REPLY))


# P12: a drain loses nothing and causes no reconnect storm


@both_loops
def test_p12_a_drain_loses_nothing_and_sends_everybody_off_at_a_time_of_their_own(
    run: Run,
) -> None:
    run(_drain())


async def _drain() -> None:
    async with Scripted() as upstream:
        tables = _scripted(upstream)
        server = {"drain_seconds": 2.0}
        async with (
            hub_on_loopback(**tables, server=server, fanout={"slice": 1}) as running,
            browser(running) as client,
        ):
            gate, blocks = Gate(), openai_sse(*REPLY)
            upstream.answers(Answer(*blocks[:3], gate, *blocks[3:]), HANGS)
            ends = await running.hub.generate(Ask("Hi", stream="ends"))
            await gate.reached()
            hangs = await running.hub.generate(Ask("Hi", stream="hangs"))
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
        stream = await running.hub.create("chat")
        sockets = [await running.follow(WebSocket, "chat") for _ in range(3)]
        shutdown = asyncio.create_task(running.app.shutdown())
        while not shutdown.done():
            running.hub.append(stream, Other({"n": 1}))
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
        stream = await running.hub.create("chat")
        reader = await running.follow(driver, "chat", kernel_buffer=16384)
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
