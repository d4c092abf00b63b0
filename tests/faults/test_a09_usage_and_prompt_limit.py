"""A9: a cut-off answer has used its prompt, and a prompt is as large as all that goes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import Usage
from hub.domain.generation import cut_off
from hub.domain.generation_request import GenerationRequest
from hub.domain.prompt import Prompt
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.numbered_records import browser, scripted
from tests.support.scripted_upstream import Answer, Ending, Scripted, openai_block, openai_sse
from tests.support.strategies import quick
from tests.support.transport_readers import WebSocket

# What was used

HELLO = "Hello, how are you today?"  # 25 bytes, so about 7 tokens
WORDS = ("Hel", "lo", " there")


def part() -> tuple[bytes, ...]:
    """Three words of an answer."""
    return openai_sse(*WORDS)[:4]


async def run(
    client: ClientSession, running: Loopback, **fields: Any
) -> tuple[str, dict[str, Any]]:
    """Ask, and wait until the three words have come."""
    async with client.post("/v1/generations", json=fields) as reply:
        assert reply.status == 201, await reply.text()
        begun = await reply.json()
    stream = await running.hub.streams.open(begun["stream"])
    await eventually(lambda: stream.end >= 4 + ("prompt" in fields))
    return begun["id"], begun


async def used(client: ClientSession, generation: str) -> dict[str, Any]:
    async with client.get(f"/v1/generations/{generation}") as reply:
        told: dict[str, Any] = (await reply.json())["usage"]
        return told


@pytest.mark.parametrize("cut", ["cancelled", "interrupted", "failed"])
@pytest.mark.parametrize("asked", ["prompt", "messages"])
async def test_a_cut_off_answer_has_used_its_prompt(cut: str, asked: str) -> None:
    said: dict[str, Any] = {"prompt": HELLO, "stream": "chat"}
    if asked == "messages":
        said = {"messages": [{"role": "user", "content": HELLO}], "stream": "chat"}
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream)) as running,
        browser(running) as client,
    ):
        ending = Ending.CLOSE if cut == "failed" else Ending.HANG
        upstream.answers(Answer(*part(), ending))
        generation, _ = await run(client, running, **said)
        if cut == "cancelled":
            assert await used(client, generation) == {
                "prompt_tokens": 7,
                "completion_tokens": 3,
                "estimated": True,
            }, "what it would have used"
            await running.hub.generations.cancel(generation)
        elif cut == "interrupted":
            (await running.hub.streams.open("chat")).close()
        found = await running.hub.generations.wait(generation)
        assert found.state == cut
        assert found.terminal is not None
        assert found.terminal.usage == Usage(7, 3, estimated=True)
        assert (await used(client, generation))["prompt_tokens"] == 7


async def test_what_the_upstream_has_said_of_the_prompt_is_kept(tmp_path: Path) -> None:
    """Some say it first of all, with a count of the answer that is soon too low."""
    early = openai_block({}, usage={"prompt_tokens": 100, "completion_tokens": 1})
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream)) as running,
        browser(running) as client,
    ):
        for cut in ("cancelled", "interrupted"):
            upstream.answers(Answer(early, *part(), Ending.HANG))
            generation, begun = await run(client, running, prompt=HELLO)
            if cut == "cancelled":
                await running.hub.generations.cancel(generation)
            else:
                (await running.hub.streams.open(begun["stream"])).close()
            found = await running.hub.generations.wait(generation)
            assert found.terminal is not None
            assert found.terminal.usage == Usage(100, 3, estimated=True)


async def test_a_whole_answer_has_what_the_upstream_says_and_no_more() -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream)) as running,
    ):
        upstream.answers(
            Answer(*openai_sse(*WORDS, usage={"prompt_tokens": 1, "completion_tokens": 1})),
            Answer(*openai_sse(*WORDS)),
        )
        for usage in (Usage(1, 1), Usage(7, 3, estimated=True)):
            generation = await running.hub.generations.start(GenerationRequest(HELLO))
            await running.hub.generations.wait(generation.id)
            assert generation.terminal is not None
            assert generation.terminal.usage == usage


async def test_the_conversation_counts_as_asked_and_is_told_of_at_the_start() -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(Answer(*openai_sse(*WORDS)), Answer(*openai_sse(*WORDS)))
        for tokens in (7, 16):  # 25 bytes; then 25, 11 and 25 more
            generation = await running.hub.generations.start(
                GenerationRequest(HELLO, stream="chat")
            )
            await running.hub.generations.wait(generation.id)
            assert generation.terminal is not None
            assert generation.terminal.usage == Usage(tokens, 3, estimated=True)
        events = await (await client.get("/v1/stream/chat")).json()
        started = [event for event in events if event["type"] == "started"]
        assert [event["usage"] for event in started] == [
            {"prompt_tokens": tokens, "estimated": True} for tokens in (7, 16)
        ]


async def test_what_failed_before_it_said_a_word_may_have_used_nothing() -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream, retries=0)) as running,
    ):
        upstream.answers(Answer(b"no", status=401))
        generation = await running.hub.generations.start(GenerationRequest(HELLO))
        await running.hub.generations.wait(generation.id)
        assert generation.terminal is not None
        assert generation.terminal.usage == Usage(None, 0, estimated=True)


@quick
@given(
    st.builds(Usage, *[st.none() | st.integers(0, 99)] * 4, estimated=st.booleans()) | st.none(),
    st.none() | st.integers(0, 99),
    st.integers(0, 99),
)
def test_an_estimate_says_so_and_nothing_that_was_said_is_lost(
    said: Usage | None, asked: int | None, deltas: int
) -> None:
    found = cut_off(said, asked, deltas)
    assert found.completion_tokens is not None
    assert found.completion_tokens >= deltas
    if said is None:
        assert found == Usage(asked, deltas, estimated=True)
        return
    assert found.prompt_tokens == (asked if said.prompt_tokens is None else said.prompt_tokens)
    assert found.completion_tokens >= (said.completion_tokens or 0)
    assert (found.reasoning_tokens, found.cached_tokens) == (
        said.reasoning_tokens,
        said.cached_tokens,
    )
    known = found.prompt_tokens == said.prompt_tokens
    known = known and found.completion_tokens == said.completion_tokens
    assert found.estimated == (said.estimated or not known)


def test_what_is_asked_is_counted_by_its_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9999}}
    parts = [{"type": "text", "text": "abcd"}, picture]
    calls = [{"id": "c", "type": "function", "function": {"name": "ab", "arguments": "{}"}}]
    assert Prompt(({"role": "user", "content": "abcde"},)).tokens() == 2
    assert Prompt(({"role": "user", "content": "你好"},)).tokens() == 2
    assert Prompt(({"role": "user", "content": parts},)).tokens() == 1
    assert Prompt(({"role": "assistant", "content": None, "tool_calls": calls},)).tokens() == 1
    assert Prompt((), options={"tools": [{"type": "function"}]}).tokens() > 0
    assert Prompt(({"content": 7}, {"content": [None, "x", {"text": {"a": 1}}]})).tokens() == 0
    assert Prompt(({"content": "half \ud800"},)).tokens() == 2


# What may be asked

LIMIT = 2000
WORD = "x" * 100
LONG = "x" * (LIMIT + 1)


async def conversation(running: Loopback, client: ClientSession, size: int) -> list[Any]:
    """A conversation of so many bytes of text, and no answer in it."""
    said = [{"type": "message", "role": "user", "text": WORD} for _ in range(size // len(WORD))]
    headers = {"Content-Type": "application/json"}
    async with client.put("/v1/stream/chat", data=json.dumps(said), headers=headers) as reply:
        assert reply.status == 201
    return said


@pytest.mark.parametrize("by", ["http", "websocket"])
async def test_a_conversation_that_has_become_too_large_is_not_asked_on(by: str) -> None:
    limits = {"prompt_bytes": LIMIT}
    async with (
        Scripted() as upstream,
        hub_on_loopback(limits=limits, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        said = await conversation(running, client, LIMIT - 100)
        asked = {"stream": "chat", "prompt": "y" * 101}
        if by == "http":
            async with client.post("/v1/generations", json=asked) as reply:
                assert reply.status == 413
                error = (await reply.json())["error"]
        else:
            socket = await running.reader(WebSocket, "chat").open("start")
            error = await socket.ask(type="generate", **asked)
        assert error["code"] == "too_large"
        assert "limits.prompt_bytes" in error["message"]
        assert str(LIMIT + 1) in error["message"]
        async with client.get("/v1/stream/chat") as reply:
            assert await reply.json() == said, "nothing was appended"
        assert not running.hub.generations.active
        # One byte less is not too much, and all of it goes out.
        upstream.answers(Answer(*openai_sse("Hi")))
        async with client.post("/v1/generations", json={**asked, "prompt": "y" * 100}) as reply:
            assert reply.status == 201, await reply.text()
            begun = await reply.json()
        messages = (await upstream.request()).json["messages"]
        assert sum(len(message["content"]) for message in messages) == LIMIT
        await running.hub.generations.wait(begun["id"])


async def test_what_was_answered_counts_too() -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(limits={"prompt_bytes": LIMIT}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(Answer(*openai_sse("x" * LIMIT)))
        async with client.post("/v1/generations", json={"stream": "chat", "prompt": "Hi"}) as reply:
            begun = await reply.json()
        await running.hub.generations.wait(begun["id"])
        before = await (await client.get("/v1/stream/chat")).json()
        async with client.post("/v1/generations", json={"stream": "chat", "prompt": "Hi"}) as reply:
            assert reply.status == 413
        assert await (await client.get("/v1/stream/chat")).json() == before
        assert len(upstream.requests) == 1


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def parts(text: str) -> list[dict[str, Any]]:
    return [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}]


ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/generations", {"prompt": LONG}),
    ("/v1/generations", {"messages": messages(LONG)}),
    ("/v1/chat/completions", {"model": "one", "messages": messages(LONG)}),
    ("/v1/chat/completions", {"model": "one", "messages": messages(LONG), "stream": True}),
    ("/v1/responses", {"model": "one", "input": LONG}),
    ("/v1/responses", {"model": "one", "input": "Hi", "instructions": LONG}),
    ("/api/chat", {"id": "chat", "messages": parts(LONG)}),
    ("/api/chat/chat", {"messages": parts(LONG)}),
]


@pytest.mark.parametrize(("route", "body"), ROUTES)
async def test_every_way_to_ask_refuses_what_is_too_large(route: str, body: dict[str, Any]) -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(limits={"prompt_bytes": LIMIT}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        async with client.post(route, json=body) as reply:
            assert reply.status == 413
            assert "limits.prompt_bytes" in await reply.text()
        assert running.hub.streams.held == 0
        assert not upstream.requests


async def test_what_a_response_goes_on_from_counts_too() -> None:
    async with (
        Scripted() as upstream,
        hub_on_loopback(limits={"prompt_bytes": LIMIT}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(Answer(*openai_sse("x" * LIMIT)))
        asked: dict[str, Any] = {"model": "one", "input": "Hi"}
        async with client.post("/v1/responses", json=asked) as reply:
            before = (await reply.json())["id"]
        asked["previous_response_id"] = before
        async with client.post("/v1/responses", json=asked) as reply:
            assert reply.status == 413
            assert "limits.prompt_bytes" in (await reply.json())["error"]["message"]
        assert running.hub.streams.held == 1
        assert len(upstream.requests) == 1
