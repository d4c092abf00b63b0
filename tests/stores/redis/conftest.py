"""The server that the tests of one file break, and hubs' connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from hub.stores.redis.engine import RedisEngine
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import SETTLE


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """An empty server that runs."""
    return redis_server


Opening = Callable[..., Awaitable[RedisEngine]]


@pytest.fixture
async def opening(server: RedisServer) -> AsyncIterator[Opening]:
    """Open engines on the server; all are closed at the end."""
    engines: list[RedisEngine] = []

    async def opened(**settings: Any) -> RedisEngine:
        engines.append(server.engine(**{"settle_seconds": SETTLE, **settings}))
        await engines[-1].open()
        return engines[-1]

    yield opened
    for engine in engines:
        await engine.close()


@pytest.fixture
async def engine(opening: Opening) -> RedisEngine:
    return await opening()
