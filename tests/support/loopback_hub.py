"""A hub on a loopback socket, set up as `serve` does it, for clients that may misbehave.

It needs no test fixture, so that it runs under any event loop and inside hypothesis::

    async with hub_on_loopback(fanout={"slow_client_timeout": 0.3}) as running:
        await running.hub.streams.append_to("chat", event)
        reader = await running.follow(WebSocket, "chat")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web

from hub import HUB, Config, Hub, make_app
from hub.http.sockets import listen
from tests.support.patience import PATIENCE
from tests.support.reader import Reader

__all__ = ["Loopback", "eventually", "hub_on_loopback"]

R = TypeVar("R", bound=Reader)


class Loopback:
    """A running hub and the port it listens on; the readers made here are gone after it."""

    def __init__(self, app: web.Application, port: int) -> None:
        self.app = app
        self.hub: Hub = app[HUB]
        self.port = port
        self.readers: list[Reader] = []

    def reader(self, driver: type[R], stream: str, *, kernel_buffer: int | None = None) -> R:
        """A reader that has not connected yet."""
        made = driver(self.port, stream, kernel_buffer=kernel_buffer)
        self.readers.append(made)
        return made

    async def follow(
        self,
        driver: type[R],
        stream: str,
        start: str = "start",
        *,
        kernel_buffer: int | None = None,
    ) -> R:
        """A reader that follows a stream."""
        return await self.reader(driver, stream, kernel_buffer=kernel_buffer).open(start)


@asynccontextmanager
async def hub_on_loopback(**tables: Any) -> AsyncIterator[Loopback]:
    """Run a hub with tables as they stand in config.toml.

    Unless they say otherwise, tests may write events of generations of their own.
    """
    # Bytes that tests write are addressed to "hub".
    server = {"drain_seconds": 0.0, "hosts": ["hub"], **tables.pop("server", {})}
    demo = {"dialect": "demo", "options": {"pace": 100_000}}
    upstreams = {"demo": demo, **tables.pop("upstreams", {})}
    streams = {"foreign_generations": True, **tables.pop("streams", {})}
    given = {"server": server, "upstreams": upstreams, "streams": streams, **tables}
    config = Config.model_validate({"store": {"url": "memory:"}, **given})
    runner = web.AppRunner(
        make_app(config), access_log=None, handler_cancellation=True, shutdown_timeout=2.0
    )
    await runner.setup()
    try:
        (listening,) = listen("127.0.0.1", 0, notsent_lowat=config.fanout.notsent_lowat)
        await web.SockSite(runner, listening).start()
        running = Loopback(runner.app, listening.getsockname()[1])
        try:
            yield running
        finally:
            for reader in running.readers:
                reader.drop()
    finally:
        await runner.cleanup()


async def eventually(holds: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait until something holds; an `AssertionError` if it does not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not holds():
        assert loop.time() < end, f"did not come to hold within {within:g} seconds"
        await asyncio.sleep(0.005)
