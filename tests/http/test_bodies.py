"""Request bodies are bounded in bytes and time, all together and each."""

from __future__ import annotations

import asyncio

from tests.conftest import StartHub
from tests.support.loopback_hub import eventually

BEGUN = (
    b"POST /v1/generations HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
    b"Content-Length: 900000\r\n\r\n" + b'{"prompt":"'
)


async def test_p7_bodies_that_never_end_hold_no_more_than_is_allowed(start_hub: StartHub) -> None:
    running = await start_hub(limits={"bodies_bytes": 4_000_000})
    allowance = running.hub.allowance
    port = running.client.server.port
    writers = []
    for _ in range(4):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BEGUN)
        writers.append(writer)
    await eventually(lambda: allowance.held == 3_600_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(BEGUN)
    assert b" 429 " in await reader.readline()
    # A small one still gets through, and so do all once the others are gone.
    answer = await running.client.post("/v1/generations", json={"prompt": "poem"})
    assert answer.status == 201
    for open_writer in [*writers, writer]:
        open_writer.close()
    await eventually(lambda: allowance.held == 0)
    answer = await running.client.post("/v1/generations", json={"prompt": "x" * 900_000})
    assert answer.status == 201


async def test_a_body_that_comes_too_slowly_is_given_up(start_hub: StartHub) -> None:
    running = await start_hub(limits={"body_seconds": 0.2})
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.server.port)
    writer.write(BEGUN)
    told = await reader.readuntil(b"}}")
    assert b" 408 " in told
    assert b'"body_timeout"' in told
    writer.close()
