"""The official `openai` client at a hub whose upstream follows a script."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionChunk

from tests.conftest import Running, StartHub
from tests.support.scripted_upstream import Scripted

__all__ = [
    "HELLO",
    "World",
    "chunks",
    "completing",
    "official_client",
    "request",
    "said",
    "text_of",
    "url_of",
]

HELLO: Final[list[Any]] = [{"role": "user", "content": "Hello"}]


def said(text: str) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


class World:
    """A hub, an upstream that follows a script, and a client of the hub."""

    def __init__(self, running: Running, upstream: Scripted, client: AsyncOpenAI) -> None:
        self.running = running
        self.upstream = upstream
        self.client = client

    async def begin(self, *, model: str = "scripted", **more: Any) -> AsyncStream[Any]:
        """A streamed completion."""
        stream: AsyncStream[Any] = await self.client.chat.completions.create(
            model=model, messages=more.pop("messages", HELLO), stream=True, **more
        )
        return stream


@asynccontextmanager
async def completing(start_hub: StartHub, **config: Any) -> AsyncIterator[World]:
    """A world whose upstream ``scripted`` has the model ``m-1``, and ``config`` for the rest."""
    async with Scripted() as upstream:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m-1", "retries": 0}
        running = await start_hub(upstreams={"scripted": table}, **config)
        async with official_client(running) as client:
            yield World(running, upstream, client)


def official_client(running: Running, *, strict: bool = False) -> AsyncOpenAI:
    """A client of the hub that asks once; ``strict`` refuses answers of another form than OpenAI's.

    Its certificates are read once for all, because that takes ten times as long as the rest.
    """
    return AsyncOpenAI(
        api_key="none",
        base_url=url_of(running),
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(verify=_tls()),
        _strict_response_validation=strict,
    )


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def url_of(running: Running) -> str:
    """What a client of OpenAI calls its base URL."""
    return str(running.client.make_url("/v1"))


async def chunks(stream: AsyncStream[Any]) -> list[ChatCompletionChunk]:
    """All chunks of an answer that ends well."""
    return [chunk async for chunk in stream]


def text_of(given: list[ChatCompletionChunk]) -> str:
    """The text in chunks."""
    return "".join(c.choices[0].delta.content or "" for c in given if c.choices)


def request(model: str, text: str, version: bytes) -> bytes:
    """The bytes of a request for a streamed completion."""
    body = json.dumps({"model": model, "messages": said(text), "stream": True}).encode()
    return (
        b"POST /v1/chat/completions HTTP/%b\r\nHost: hub\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (version, len(body), body)
    )
