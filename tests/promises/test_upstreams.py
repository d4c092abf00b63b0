"""P5 and P9: a generation ends once whatever its upstream does, and at once when cancelled.

Real servers and sockets on loopback, under both event loops that `serve` may run on.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.events import TERMINALS, Delta, Failed, Finished, Message, Started
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.streams.stream import Stream
from tests.support.http_requests import promptly
from tests.support.loopback_hub import eventually, hub_on_loopback
from tests.support.numbered_records import (
    HANGS,
    REPLY,
    SILENT,
    Run,
    both_loops,
    browser,
    scripted,
)
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import NDJSON, WebSocket
from tests.support.upstream_answers import Answer, Ending, Gate, openai_sse, refusal

# P5: one terminal event a generation, always last, with usage

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
                generation = await hub.generations.start(
                    GenerationRequest("Hi", upstream=f"u{number}")
                )
                if number in cancelled:
                    await asyncio.sleep(number / 5000)
                    await hub.generations.cancel(generation.id)
                await hub.generations.wait(generation.id)
                await _check_story(generation, await hub.streams.open(generation.stream))


async def _check_story(generation: Generation, stream: Stream) -> None:
    question, *story = [event async for event in stream.events()]
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


# P9: cancel reaches the upstream within 100 ms; a disconnect never cancels


@both_loops
@pytest.mark.parametrize("way", ["http", "websocket"])
@pytest.mark.parametrize("answer", [HANGS, SILENT], ids=["in mid-answer", "before its first word"])
def test_p9_cancel_from_another_connection_reaches_the_upstream_at_once(
    run: Run, way: str, answer: Answer
) -> None:
    run(_cancel(way, answer))


async def _cancel(way: str, answer: Answer) -> None:
    async with Scripted() as upstream, hub_on_loopback(**scripted(upstream)) as running:
        starter = await running.follow(WebSocket, "chat")
        other = await running.follow(WebSocket, "other")
        loop = asyncio.get_running_loop()
        async with browser(running) as client:

            async def attempt() -> float:
                upstream.answers(answer)
                number = len(upstream.requests)
                started = await starter.ask(type="generate", stream="chat", prompt="Hi")
                request = await upstream.request(number)
                await eventually(lambda: request.sent)
                began = loop.time()
                if way == "http":
                    async with client.delete(f"/v1/generations/{started['generation']}") as done:
                        assert (await done.json())["state"] == "cancelled"
                else:
                    reply = await other.ask(type="cancel", generation=started["generation"])
                    assert reply["state"] == "cancelled"
                return await request.left() - began

            await client.get("/livez")
            await promptly(attempt)
        stream = await running.hub.streams.open("chat")
        ends = [event async for event in stream.events() if isinstance(event, TERMINALS)]
        kinds = [type(event).__name__ for event in ends]
        assert kinds == ["Cancelled"] * len(upstream.requests)


@both_loops
def test_p9_who_goes_away_cancels_nothing(run: Run) -> None:
    run(_go_away())


async def _go_away() -> None:
    async with Scripted() as upstream, hub_on_loopback(**scripted(upstream)) as running:
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
        await eventually(lambda: not running.hub.connections)
        assert running.hub.generations.active == 3
        for gate in gates:
            gate.open()
        await eventually(lambda: not running.hub.generations.active)
        assert running.hub.counts.generations == {"finished": 3}
        follower = await running.follow(NDJSON, "one")
        await follower.until(lambda: follower.text == "".join(REPLY))
