"""The end of a hub that serves: what runs may end, then everybody is sent off.

First the drain, in which the hub goes on serving: it answers commands and reads, takes new
readers and appends, and stops generations; only new generations are refused. It lasts until
every generation and every request that was under way has ended, or the time is over.

Then the farewell: nobody comes in any more, whoever is connected is told when to come back,
each another moment, and is let go once it has what there is.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hub.connections.connection import Connection
from hub.http.retry_times import moments
from hub.hub import Hub
from hub.protocols.websocket.endpoint import WebSockets

__all__ = ["Shutdown"]

SECONDS: Final = 1.0
"""What a reader has to take what it has not, when the hub goes away."""

LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a request under way has become one that would never end."""


class Shutdown:
    """The way out of one hub; ``drain_seconds`` is the longest that its drain may last."""

    def __init__(self, hub: Hub, sockets: WebSockets, *, drain_seconds: float) -> None:
        self._hub = hub
        self._sockets = sockets
        self._drain_seconds = drain_seconds

    async def drain(self) -> None:
        """Wait for what is under way, and serve meanwhile; what is left of it is interrupted."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._drain_seconds
        # Not the one that waits here, if it is one.
        left = self._hub.callers.ending - {asyncio.current_task()}
        await self._hub.drain(self._drain_seconds)
        # Those that came later are no reason to stay: under constant requests there is no end.
        while (left := left & self._hub.callers.ending) and (time := end - loop.time()) > 0:
            await asyncio.wait(left, timeout=min(time, LOOK_SECONDS))

    async def say(self) -> None:
        """Send everybody off."""
        hub = self._hub
        hub.callers.leave()
        readers = hub.connections - self._sockets.connections
        closing = zip(readers, moments(len(readers)), strict=True)
        sent_off = [_let_go(reader, wait) for reader, wait in closing]
        await asyncio.gather(self._sockets.close(SECONDS), *sent_off)


async def _let_go(connection: Connection, wait: int) -> None:
    connection.enqueue(connection.encoder.retry(wait))
    await connection.idle(within=SECONDS)
    connection.abort(sent=True)
