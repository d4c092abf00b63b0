"""A response that goes on: prepared, connected to the hub, and let go of at the end.

A response ends when its stream does (``over``), or before that, when what it is about has been
said: then its encoder is an `Ending`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final

from aiohttp import web

from hub.connections.connection import Connection, Pace
from hub.domain.records import Position
from hub.frames.encoder import Batch, Encoder
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["Ending", "ResponseConnection"]

ROTATE_SECONDS: Final = 1.0
"""How long a frame that is being written may take when its response is to end."""


class Ending(ABC):
    """An encoder that says when the last of its response is written, in a stream that may go on."""

    def __init__(self, inner: Encoder) -> None:
        self.merges = inner.merges
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the last frame, which may still have to go out."""
        self._inner = inner

    @abstractmethod
    def is_last(self, batch: Batch) -> bool:
        """Whether what was written of a batch is the end."""

    def events(self, batch: Batch) -> bytes:
        frame = self._inner.events(batch)
        if not self.reached.done() and self.is_last(batch):
            self.reached.set_result(None)
        return frame

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        return self._inner.reset(stream, position, reason)

    def closed(self, stream: str, position: Position) -> bytes:
        return self._inner.closed(stream, position)

    def beat(self) -> bytes:
        return self._inner.beat()

    def retry(self, milliseconds: int) -> bytes:
        return self._inner.retry(milliseconds)


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

    async def told(self, ending: Ending, *, within: float | None = None) -> bool:
        """Wait for the end, ``within`` seconds at most, and until it is on its way.

        Whether it was reached; if not, the time or the connection is over. Who does not take it
        is given up like any other.
        """
        await asyncio.wait(
            [self.over, ending.reached], timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        if ending.reached.done():
            # The writer takes this only when the socket has drained, after all that came before.
            self._connection.enqueue(b"")
            await self._connection.idle(within=2 * self._pace.slow_client_timeout)
        return ending.reached.done()

    async def rotate(self) -> None:
        """End a response that has lasted long enough, or whose connection is over.

        Cut it if the connection ended before all was sent.
        """
        if not self.over.done():
            self._connection.end()
            await self._connection.idle(within=ROTATE_SECONDS)
        elif not self._connection.complete:
            self._connection.abort()
