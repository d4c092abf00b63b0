"""P5 and P9: a generation ends once whatever its upstream does, and at once when cancelled.

Real servers and sockets on loopback, under both event loops that `serve` may run on.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.events import Failed, Finished
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.streams.stream import Stream
from tests.support.ended_generations import (
    WHOLE,
    check_cancelling,
    check_story,
    ends_of,
    faults,
    one_for_each,
)
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
from tests.support.upstream_answers import Answer, Gate, openai_sse

# P5: one terminal event a generation, always last, with usage


@settings(max_examples=5, derandomize=True)
@given(st.lists(faults(), min_size=12, max_size=12), st.lists(st.integers(0, 15), max_size=3))
@example([WHOLE], [])
@example([WHOLE], [0])
def test_p5_whatever_an_upstream_does_a_generation_ends_once_and_last(
    answers: list[Answer], cancelled: list[int]
) -> None:
    asyncio.run(_generate(answers, cancelled))


async def _generate(answers: list[Answer], cancelled: list[int]) -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(upstreams=one_for_each(upstream, answers)) as running,
    ):
        hub = running.hub
        for number in range(len(answers)):
            generation = await hub.generations.start(GenerationRequest("Hi", upstream=f"u{number}"))
            if number in cancelled:
                await asyncio.sleep(number / 5000)
                await hub.generations.cancel(generation.id)
            await hub.generations.wait(generation.id)
            await _check_story(generation, await hub.streams.open(generation.stream))


async def _check_story(generation: Generation, stream: Stream) -> None:
    end, text = await check_story(stream)
    assert end == generation.terminal
    assert end.usage is not None
    assert end.at is not None
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
        async with browser(running) as client:

            async def cancel(generation: str) -> str:
                if way == "http":
                    async with client.delete(f"/v1/generations/{generation}") as done:
                        return str((await done.json())["state"])
                return str((await other.ask(type="cancel", generation=generation))["state"])

            await client.get("/livez")
            await check_cancelling(upstream, answer, starter, cancel)
        stream = await running.hub.streams.open("chat")
        assert await ends_of(stream) == ["Cancelled"] * len(upstream.requests)


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
