"""What becomes of an answer when its client goes away: as the request says, else as configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from hub.hub import Hub
from tests.clients.node import script
from tests.conftest import StartHub
from tests.support.http_requests import promptly
from tests.support.loopback_hub import eventually, hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Request, Scripted
from tests.support.upstream_answers import Answer, Ending, Gate, openai_block, openai_sse

BEGUN: Final = openai_block({"content": "Hel"})
HANGS: Final = Answer(BEGUN, Ending.HANG)
SILENT: Final = Answer(Ending.HANG)
ASKED: Final[dict[str, Any]] = {
    "model": "scripted",
    "messages": [{"role": "user", "content": "Hi"}],
}
CANCEL: Final = {"X-On-Disconnect": "cancel"}


class World:
    def __init__(self, upstream: Scripted, url: str, hub: Hub) -> None:
        self.upstream = upstream
        self.url = url
        self.hub = hub


@asynccontextmanager
async def served(start_hub: StartHub, how: str, **tables: Any) -> AsyncIterator[World]:
    """A hub as `serve` runs it, where aiohttp cancels handlers, or in somebody's application."""
    async with Scripted() as upstream:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m-1", "retries": 0}
        tables = {"upstreams": {"scripted": table}, "default_upstream": "scripted", **tables}
        if how == "embedded":
            running = await start_hub(**tables)
            yield World(upstream, str(running.client.make_url("/v1")), running.hub)
        else:
            async with hub_on_loopback(**tables) as loopback:
                yield World(upstream, f"http://127.0.0.1:{loopback.port}/v1", loopback.hub)


Leave = Callable[[AsyncOpenAI, Callable[[], Awaitable[Request]]], Awaitable[float]]


async def by_closing(client: AsyncOpenAI, sent: Callable[[], Awaitable[Request]]) -> float:
    """Stop reading a streamed chat completion."""
    stream: Any = await client.chat.completions.create(**ASKED, stream=True)
    await anext(aiter(stream))
    left = asyncio.get_running_loop().time()
    await stream.close()
    return left


async def by_closing_a_response(
    client: AsyncOpenAI, sent: Callable[[], Awaitable[Request]]
) -> float:
    stream: Any = await client.responses.create(model="scripted", input="Hi", stream=True)
    await anext(aiter(stream))
    left = asyncio.get_running_loop().time()
    await stream.close()
    return left


async def by_giving_up(client: AsyncOpenAI, sent: Callable[[], Awaitable[Request]]) -> float:
    """Give up waiting for a whole one."""
    waiting = asyncio.create_task(client.chat.completions.create(**ASKED))
    request = await sent()
    await eventually(lambda: request.sent)
    left = asyncio.get_running_loop().time()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    return left


@pytest.mark.parametrize("how", ["served", "embedded"])
@pytest.mark.parametrize(
    ("leave", "answer"),
    [
        (by_closing, HANGS),
        (by_closing_a_response, HANGS),
        (by_giving_up, HANGS),
        (by_giving_up, SILENT),
    ],
    ids=["streamed", "response", "whole", "before its first word"],
)
@pytest.mark.parametrize("said", ["by the request", "by the configuration"])
async def test_leaving_cancels_where_that_was_said(
    leave: Leave, answer: Answer, said: str, how: str, start_hub: StartHub
) -> None:
    by_request = said == "by the request"
    tables = {} if by_request else {"server": {"on_disconnect": "cancel"}}
    async with served(start_hub, how, **tables) as world:

        async def attempt() -> float:
            world.upstream.answers(answer)
            number = len(world.upstream.requests)
            async with AsyncOpenAI(
                api_key="none",
                base_url=world.url,
                max_retries=0,
                default_headers=CANCEL if by_request else {},
            ) as client:

                async def sent() -> Request:
                    return await world.upstream.request(number)

                left = await leave(client, sent)
                return await (await sent()).left() - left

        await promptly(attempt)
        await eventually(lambda: not world.hub.generations.active)
        assert world.hub.counts.generations["cancelled"] == len(world.upstream.requests)


@pytest.mark.parametrize("how", ["served", "embedded"])
@pytest.mark.parametrize("headers", [{}, {"X-On-Disconnect": "continue"}])
async def test_otherwise_it_goes_on(headers: dict[str, str], how: str, start_hub: StartHub) -> None:
    """Also where the configuration says otherwise, if the request says so."""
    gate = Gate()
    tables = {"server": {"on_disconnect": "cancel"}} if headers else {}
    async with served(start_hub, how, **tables) as world:
        world.upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]))
        async with AsyncOpenAI(
            api_key="none", base_url=world.url, max_retries=0, default_headers=headers
        ) as client:
            raw = await client.chat.completions.with_raw_response.create(**ASKED, stream=True)
            stream = raw.parse()
            await anext(aiter(stream))
            await stream.close()
        await eventually(lambda: not world.hub.connections)
        gate.open()
        generation = await world.hub.generations.wait(raw.headers["Streamhub-Generation"])
        assert generation.state == "finished"


async def test_a_response_in_the_background_goes_on_unless_its_request_says_otherwise(
    start_hub: StartHub,
) -> None:
    asked = {"model": "scripted", "input": "Hi", "background": True, "stream": True}
    async with served(start_hub, "served", server={"on_disconnect": "cancel"}) as world:
        gate = Gate()
        world.upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]), HANGS)
        async with httpx.AsyncClient(base_url=world.url) as client:
            async with client.stream("POST", "responses", json=asked) as response:
                assert response.status_code == 200
            await eventually(lambda: not world.hub.connections)
            gate.open()
            generation = await world.hub.generations.wait(response.headers["Streamhub-Generation"])
            assert generation.state == "finished"
            async with client.stream("POST", "responses", json=asked, headers=CANCEL) as response:
                assert response.status_code == 200
            generation = await world.hub.generations.wait(response.headers["Streamhub-Generation"])
            assert generation.state == "cancelled"


@pytest.mark.parametrize("said", ["stop", "", "cancel, continue"])
async def test_a_header_that_says_neither_is_refused(said: str, start_hub: StartHub) -> None:
    async with served(start_hub, "served") as world:
        async with AsyncOpenAI(api_key="none", base_url=world.url, max_retries=0) as client:
            with pytest.raises(openai.BadRequestError, match="continue or cancel"):
                await client.chat.completions.create(
                    **ASKED, extra_headers={"X-On-Disconnect": said}
                )
        assert not world.upstream.requests


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_the_npm_client_cancels_by_aborting(api: str, start_hub: StartHub) -> None:
    async with served(start_hub, "served") as world:
        asked = {"url": world.url, "api": api, "headers": CANCEL}

        async def attempt() -> float:
            world.upstream.answers(HANGS)
            number = len(world.upstream.requests)
            async with script("openai_abort.mjs", asked) as running:
                assert await running.line() == "begun"
                # It aborts when it has said so.
                now = asyncio.get_running_loop().time()
                took = await (await world.upstream.request(number)).left() - now
                assert await running.lines() == ["aborted"]
                return took

        await promptly(attempt)


async def test_curl_reads_every_chunk_as_it_comes(start_hub: StartHub) -> None:
    """`curl -N`, and its exit says whether the answer was whole."""
    gate = Gate()
    async with served(start_hub, "served") as world:
        world.upstream.answers(
            Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]),
            Answer(BEGUN, Ending.CLOSE),
        )
        body = '{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"stream":true}'
        command = ["curl", "-sN", f"{world.url}/chat/completions", "-d", body]
        command += ["-H", "Content-Type: application/json"]
        curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert curl.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while b'"Hel"' not in await curl.stdout.readline():
                pass
            gate.open()
            rest = await curl.stdout.read()
            assert rest.endswith(b"data: [DONE]\n\n")
            assert b'"lo"' in rest
            assert await curl.wait() == 0
            cut = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            told, _ = await cut.communicate()
        assert b"upstream_truncated" in told
        assert b"[DONE]" not in told
        assert cut.returncode != 0, "a body that breaks off is none that ends"
