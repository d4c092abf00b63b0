"""The servers that the other tests break: what each way of breaking one leaves."""

from __future__ import annotations

import asyncio

from tests.support.redis_server import RedisServer


async def test_what_was_acknowledged_survives_a_kill(server: RedisServer) -> None:
    assert await server.ask("SET", "a", "1") == b"+OK\r\n"
    await server.restart()
    assert await server.ask("GET", "a") == b"$1\r\n1\r\n"


async def test_a_server_that_begins_again_empty_has_nothing(server: RedisServer) -> None:
    await server.ask("SET", "a", "1")
    await server.restart_empty()
    assert await server.ask("GET", "a") == b"$-1\r\n"


async def test_a_frozen_server_answers_when_it_thaws(server: RedisServer) -> None:
    server.freeze()
    asked = asyncio.create_task(server.ask("PING"))
    try:
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
    finally:
        server.thaw()
    assert await asked == b"+PONG\r\n"
