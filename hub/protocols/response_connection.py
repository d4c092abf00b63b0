"""A response that goes on: prepared, connected to the hub, and let go of at the end."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from aiohttp import web

from hub.connections.connection import Connection, Pace
from hub.frames.encoder import Encoder
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["ResponseConnection", "rotate", "written"]

ROTATE_SECONDS: Final = 1.0
"""How long a frame that is being written may take when its response is to end."""


class ResponseConnection:
    """The connection of one streaming response, for an ``async with``.

    On entering, the head of ``response`` is sent and the hub looks after the connection, which
    belongs to the principal of the request; on leaving it is closed. ``encoder`` writes for this
    response, in chunks if that is chunked. ``over`` is a future that is done when there is
    nothing more to send, or nobody to send it to.

    A class and not a generator: whoever stays keeps no frame for it.

    Raises on entering:
        Draining: the hub is leaving.
        ConnectionError: the client is gone.
    """

    __slots__ = ("_connection", "_encoder", "_hub", "_pace", "_request", "_response", "over")

    def __init__(
        self,
        hub: Hub,
        request: web.Request,
        response: web.StreamResponse,
        encoder: Encoder,
        pace: Pace,
    ) -> None:
        self._hub = hub
        self._request = request
        self._response = response
        self._encoder = encoder
        self._pace = pace
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Connection:
        request, response = self._request, self._response
        writer = await response.prepare(request)
        if writer is None:
            raise RuntimeError("the response was sent before it was to begin")
        # They are sent; kept, they would be a fifth of what an idle reader costs.
        response.headers.clear()
        connection = self._connection = Connection(
            request.protocol,
            writer.drain,
            self._encoder,
            self._pace,
            self._hub.counts,
            over=self.over,
            by=request[PRINCIPAL],
        )
        self._hub.connect(connection)
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._hub.disconnect(self._connection)


async def written(connection: Connection, pace: Pace) -> None:
    """Wait until all is on its way; whoever does not take it is given up like any other."""
    # The writer takes this only when the socket has drained, after all that came before.
    connection.enqueue(b"")
    await connection.idle(within=2 * pace.slow_client_timeout)


async def rotate(connection: Connection) -> None:
    """End a response that has lasted long enough, after the frame that is being written."""
    connection.end()
    await connection.idle(within=ROTATE_SECONDS)
