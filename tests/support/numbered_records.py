"""Records that tell their own place, so that a reader shows what it has missed or doubled.

Also what several tests of the promises need: both event loops, a browser, an upstream.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvloop

from hub.domain.events import Delta, Event, Finished, Message, Other
from hub.hub import Hub
from hub.streams.followed import FollowedStream
from hub.streams.stream import Stream
from tests.support.loopback_hub import Loopback
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import Reader
from tests.support.upstream_answers import Answer, Ending, openai_sse

__all__ = [
    "HANGS",
    "REPLY",
    "SILENT",
    "STORY",
    "TEXT",
    "Run",
    "bodies",
    "both_loops",
    "browser",
    "heard",
    "length",
    "numbers",
    "say",
    "scripted",
]

Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS: list[Run] = [asyncio.run, uvloop.run]
both_loops = pytest.mark.parametrize("run", LOOPS, ids=["asyncio", "uvloop"])


STORY: list[Event] = [
    Message("user", "Hi\n"),
    Delta("g", text="Hel"),
    Delta("g", text="lo \U0001f30a"),
    Other({"type": "cited", "of": [1, None, "\u2028"]}),
    Delta("g", text="\r\n\n\0", extra={"refusal": True}),
    Finished("g"),
]
TEXT = "Hello \U0001f30a\r\n\n\0"


def fold(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events with neighbouring deltas joined, as a catch-up may have done."""
    told: list[dict[str, Any]] = []
    for event in events:
        before = told[-1] if told else {}
        if {*event} == {*before} == {"type", "generation", "text"}:
            told[-1] = {**before, "text": before["text"] + event["text"]}
        else:
            told.append(event)
    return told


def bodies(stream: FollowedStream, since: int = 0) -> list[dict[str, Any]]:
    """What the stream holds from an offset on, all of it in memory."""
    assert stream.warm == stream.head
    start = max(since, stream.head)
    if start == stream.tail:
        return []
    return [json.loads(record.body) for record in stream.between(start, stream.tail).records]


def heard(reader: Reader, stream: FollowedStream, since: int = 0) -> bool:
    """The reader has got exactly what the stream holds, each record once, in order."""
    held = bodies(stream, since)
    if not reader.resumes:
        return reader.text == "".join(e.get("text", "") for e in held if e["type"] == "delta")
    return fold(reader.events) == fold(held) and reader.position == str(stream.position)


def say(hub: Hub, stream: Stream, count: int, size: int = 0) -> None:
    """Records that tell their own offset."""
    for _ in range(count):
        hub.streams.append(stream, Delta("g", text=f"<{stream.tail}>" + "x" * size))


async def length(stream: FollowedStream) -> int:
    """How long the text of all records is."""
    return sum([len(event.text) async for event in stream.events() if isinstance(event, Delta)])


def numbers(reader: Reader) -> list[int]:
    """The offsets of the records that a reader has been told."""
    return [int(number) for number in re.findall(r"<(\d+)>", reader.text)]


@asynccontextmanager
async def browser(running: Loopback) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as client:
        yield client


REPLY = ["Hel", "lo ", "wörld \U0001f30a", "<br>\r\n", "data: [DONE]\n\n", "."]


def scripted(upstream: Scripted, **more: Any) -> dict[str, Any]:
    table = {"dialect": "openai-chat", "url": upstream.url, **more}
    return {"upstreams": {"one": table}, "default_upstream": "one"}


HANGS = Answer(*openai_sse(*REPLY)[:3], Ending.HANG)
SILENT = Answer(Ending.HANG)
