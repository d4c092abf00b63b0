"""Two hubs on one Redis, in one process, which are asked in turn: each request goes to the other.

So what is written over one is read over the other, and whoever comes back goes on elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hub.domain.events import Delta, Event
from hub.domain.stream_settings import StreamSettings
from hub.hub import Hub
from hub.streams.followed import FollowedStream
from tests.support.loopback_hub import Loopback, hub_on_loopback
from tests.support.reader import Reader
from tests.support.redis_server import RedisServer

__all__ = ["HubsInTurn", "hubs_in_turn"]

R = TypeVar("R", bound=Reader)


class HubsInTurn:
    """Two running hubs, and the server that they share."""

    def __init__(self, hubs: list[Loopback], server: RedisServer) -> None:
        self.hubs = hubs
        self.server = server
        self._turns = cycle(hubs)

    @property
    def next(self) -> Loopback:
        """The hub whose turn it is."""
        return next(self._turns)

    @property
    def hub(self) -> Hub:
        return self.next.hub

    async def follow(self, driver: type[R], stream: str, start: str = "start", **options: Any) -> R:
        """A reader at the next hub."""
        return await self.next.follow(driver, stream, start, **options)

    async def come_back(self, reader: Reader, start: str | None = None) -> None:
        """Let a reader go on at the next hub."""
        reader.drop()
        reader.move(self.next.port)
        await reader.open(start)

    async def create(self, stream: str) -> None:
        await self.hub.streams.make(stream, StreamSettings())

    async def append(self, stream: str, *events: Event) -> None:
        """Write events, each over the next hub."""
        for event in events:
            await self.hub.streams.append_to(stream, event)

    async def say(self, stream: str, *texts: str) -> None:
        await self.append(stream, *(Delta("g", text=text) for text in texts))

    async def close(self, stream: str) -> None:
        await self.hub.streams.write(stream, [], close=True)

    async def both(self, stream: str) -> list[FollowedStream]:
        """A stream as each of the hubs has it; both have the same."""
        found: list[FollowedStream]
        found = [await running.hub.streams.open(stream) for running in self.hubs]
        one, other = [[event async for event in each.events()] for each in found]
        assert one == other
        return found


@asynccontextmanager
async def hubs_in_turn(**tables: Any) -> AsyncIterator[HubsInTurn]:
    """Run two hubs with tables as they stand in config.toml."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = RedisServer(folder)
        stack.push_async_callback(server.stop)
        await server.start()
        store = {"url": f"redis://127.0.0.1:{server.port}"}
        hubs = [
            await stack.enter_async_context(hub_on_loopback(**{**tables, "store": store}))
            for _ in range(2)
        ]
        yield HubsInTurn(hubs, server)
