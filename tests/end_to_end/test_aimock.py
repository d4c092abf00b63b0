"""The hub on an upstream that this project did not write, with real sockets on both sides.

The first test is what the hub is for: six clients of four kinds follow one reply, two of
them lose their connection in the middle of it and come back, and all end with the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running, StartHub
from tests.support.aimock import aimock, reply
from tests.support.patience import PATIENCE

STORY = "Es war einmal 👨‍👩‍👧‍👦 — 从前有一个小女孩 — 🦊🐺🌲, and\n```py\nprint('…')\n```\n" * 7
AWAY = 0.3  # seconds that a client which dropped stays away: a dozen records
Event = dict[str, Any]


class Follower:
    """One client: what it was told, once, and the place where it is."""

    def __init__(self, *, drops: bool = False) -> None:
        self.told: list[Event] = []
        self.position = "start"
        self.dropped_at: int | None = None
        self._drops = drops

    @property
    def text(self) -> str:
        return "".join(event.get("text", "") for event in self.told if event["type"] == "delta")

    def take(self, events: list[Event], position: str) -> None:
        assert self.position == "start" or position > self.position
        self.told += events
        self.position = position

    def drops_now(self) -> bool:
        """Once, in the middle of the text."""
        if not self._drops or self.dropped_at is not None or len(self.text) < len(STORY) // 3:
            return False
        self.dropped_at = len(self.text)
        return True

    def summary(self) -> list[Event]:
        """What it was told, with consecutive deltas as one: a hub may merge them."""
        merged: list[Event] = []
        for event in self.told:
            if merged and event["type"] == merged[-1]["type"] == "delta":
                merged[-1] = {**event, "text": merged[-1]["text"] + event["text"]}
            else:
                merged.append(event)
        return merged


async def until_the_end(url: str, stream: str, follower: Follower, kind: str) -> None:
    """Follow; a connection that is dropped is not closed but just gone, as with a lost tab."""
    follow = {"websocket": over_websocket, "sse": over_sse, "ndjson": over_ndjson}[kind]
    async with asyncio.timeout(PATIENCE):
        while True:
            async with aiohttp.ClientSession(url) as client:
                if await follow(client, stream, follower):
                    return
            await asyncio.sleep(AWAY)


async def over_websocket(client: aiohttp.ClientSession, stream: str, follower: Follower) -> bool:
    socket = await client.ws_connect("/v1/ws", protocols=["hub.v1"])
    asked = {"type": "subscribe", "id": 1, "stream": stream, "from": follower.position}
    await socket.send_json(asked)
    while True:
        message = await socket.receive_json()
        if message["type"] == "events":
            assert message["stream"] == stream
            follower.take(message["events"], message["position"])
            if follower.drops_now():
                return False
        elif message["type"] == "closed":
            return True
        else:
            assert message["type"] in ("ok", "beat"), message


async def over_sse(client: aiohttp.ClientSession, stream: str, follower: Follower) -> bool:
    headers = {"Accept": "text/event-stream"}
    if follower.position != "start":
        headers["Last-Event-ID"] = follower.position
    async with client.get(f"/v1/live/{stream}", headers=headers) as response:
        assert response.status == 200
        async for block in pieces(response, b"\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if fields.get("event") == "closed":
                return True
            assert "event" not in fields, block
            if "data" in fields:
                follower.take([json.loads(fields["data"])], fields["id"])
            if follower.drops_now():
                return False
    raise AssertionError("the body ended before the stream")


async def over_ndjson(client: aiohttp.ClientSession, stream: str, follower: Follower) -> bool:
    query = {"format": "ndjson", "from": follower.position}
    pending: list[Event] = []
    async with client.get(f"/v1/live/{stream}", params=query) as response:
        assert response.status == 200
        async for line in pieces(response, b"\n"):
            told = json.loads(line)
            if told["type"] == "closed":
                return True
            if told["type"] == "position":
                follower.take(pending, told["position"])
                pending = []
            elif told["type"] != "beat":
                pending.append(told)
    raise AssertionError("the body ended before the stream")


async def pieces(response: aiohttp.ClientResponse, separator: bytes) -> AsyncIterator[str]:
    held = b""
    async for piece in response.content.iter_any():
        *whole, held = (held + piece).split(separator)
        for one in whole:
            yield one.decode()


async def as_text(url: str, stream: str) -> str:
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession(url) as client,
        client.get(f"/v1/live/{stream}", headers={"Accept": "text/plain"}) as response,
    ):
        assert response.content_type == "text/plain"
        return (await response.read()).decode()


def mock(url: str, dialect: str = "openai-chat") -> dict[str, Any]:
    path = {"openai-chat": "/v1", "ollama": ""}[dialect]
    return {"dialect": dialect, "url": url + path, "model": "gpt-4o", "retries": 0}


async def generate(running: Running, prompt: str, upstream: str = "mock") -> Event:
    asked = {"prompt": prompt, "upstream": upstream}
    async with running.client.post("/v1/generations", json=asked) as response:
        assert response.status == 201, await response.text()
        told: Event = await response.json()
        return told


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    plain = reply("plain", STORY, size=3)
    plain["response"].update(reasoning="Hm, 🤔.", usage=usage)
    weather = [{"name": "weather", "arguments": '{"city":"Ulm"}'}]
    broken = reply("broken", STORY, per_second=50)
    replies = [
        reply("story", STORY, first=0.3, per_second=len(STORY) / 5 / 2, size=5),
        plain,
        {"match": {"userMessage": "tool"}, "response": {"toolCalls": weather}},
        {**broken, "match": {"userMessage": "truncated"}, "truncateAfterChunks": 4},
        {**broken, "match": {"userMessage": "dropped"}, "disconnectAfterMs": 100},
        *(
            {
                "match": {"userMessage": f"refused {status}"},
                "response": {
                    "error": {"message": "not today", "type": "some_error"},
                    "status": status,
                },
            }
            for status in (400, 401, 429)
        ),
    ]
    with aimock(*replies) as url:
        yield url


async def test_six_clients_of_four_kinds_follow_one_reply_and_two_drop_and_resume(
    start_hub: StartHub, upstream: str
) -> None:
    """P1, P2: one upstream read, and the same text for everybody, each record once."""
    asked_before = await requests_of(upstream)
    running = await start_hub(upstreams={"mock": mock(upstream)})
    url = str(running.client.make_url("/"))
    stream = (await generate(running, "Tell me a story"))["stream"]

    kinds = ["websocket", "websocket", "sse", "sse", "ndjson"]
    droppers = {0, 2}
    followers = [Follower(drops=number in droppers) for number in range(len(kinds))]
    async with asyncio.TaskGroup() as group:
        for kind, follower in zip(kinds, followers, strict=True):
            group.create_task(until_the_end(url, stream, follower, kind))
        text = group.create_task(as_text(url, stream))

    assert text.result() == STORY
    for number, follower in enumerate(followers):
        assert follower.text == STORY
        assert follower.summary() == followers[-1].summary()
        assert (follower.dropped_at is not None) is (number in droppers)
    for number in droppers:
        assert 0 < (followers[number].dropped_at or 0) < len(STORY)
    types = [event["type"] for event in followers[-1].summary()]
    assert types == ["message", "started", "delta", "finished"]
    assert await requests_of(upstream) - asked_before == 1


@pytest.mark.parametrize("dialect", ["openai-chat", "ollama"])
async def test_a_providers_format_is_understood(
    start_hub: StartHub, upstream: str, dialect: str
) -> None:
    """Text with emoji cut in two, reasoning, tool calls and token counts."""
    running = await start_hub(upstreams={"mock": mock(upstream, dialect)})

    told = await followed(running, "plain")
    deltas = [event for event in told if event["type"] == "delta"]
    assert "".join(event.get("text", "") for event in deltas) == STORY
    assert "".join(event.get("reasoning", "") for event in deltas) == "Hm, 🤔."
    assert (told[-1]["type"], told[-1]["reason"]) == ("finished", "stop")
    if dialect == "openai-chat":
        assert told[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 5}
    else:  # aimock's Ollama counts nothing, so the hub does
        assert told[-1]["usage"]["estimated"] is True

    told = await followed(running, "tool")
    calls = [event["tool"] for event in told if "tool" in event]
    assert calls[0]["name"] == "weather"
    arguments = "".join(call.get("arguments", "") for call in calls)
    assert json.loads(arguments) == {"city": "Ulm"}
    assert (told[-1]["type"], told[-1]["reason"]) == ("finished", "tool")


@pytest.mark.parametrize("how", ["truncated", "dropped"])
async def test_a_reply_that_breaks_off_is_never_a_finished_one(
    start_hub: StartHub, upstream: str, how: str
) -> None:
    """P5."""
    running = await start_hub(upstreams={"mock": mock(upstream)})
    told = await followed(running, how)
    assert told[-1]["type"] == "failed"
    assert told[-1]["code"] in ("upstream_truncated", "upstream_reset")
    assert [event["type"] for event in told].count("failed") == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "upstream_rejected"), (401, "upstream_unauthorized"), (429, "upstream_rate_limited")],
)
async def test_a_refusal_fails_with_the_providers_words(
    start_hub: StartHub, upstream: str, status: int, code: str
) -> None:
    running = await start_hub(upstreams={"mock": mock(upstream)})
    told = await followed(running, f"refused {status}")
    assert (told[-1]["type"], told[-1]["code"]) == ("failed", code)
    assert "not today" in told[-1]["message"]
    assert 'upstream "mock"' in told[-1]["message"]


async def requests_of(upstream: str) -> int:
    """How many requests aimock has had, by its own count."""
    async with (
        aiohttp.ClientSession() as outsider,
        outsider.get(f"{upstream}/__aimock/journal") as response,
    ):
        return int(response.headers["X-Total-Count"])


async def followed(running: Running, prompt: str) -> list[Event]:
    follower = Follower()
    stream = (await generate(running, prompt))["stream"]
    await until_the_end(str(running.client.make_url("/")), stream, follower, "sse")
    return follower.told


def test_the_story_is_worth_following() -> None:
    """It is cut inside emoji, as it must be to try what it is there to try."""
    units = STORY.encode("utf-16-le")
    pieces = [units[at : at + 10] for at in range(0, len(units), 10)]
    assert any(_is_torn(piece) for piece in pieces)


def _is_torn(piece: bytes) -> bool:
    try:
        piece.decode("utf-16-le")
    except UnicodeDecodeError:
        return True
    return False
