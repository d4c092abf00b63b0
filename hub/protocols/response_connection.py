"""A streaming response: send its head, connect it to the hub, disconnect it at the end.

A response ends when its stream does (``over``), or earlier, when its encoder is an `Ending` that
has been reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from aiohttp import web

from hub.connections.connection import Connection, Pace
from hub.frames.chunked import Chunked
from hub.frames.encoder import Batch, Encoder, WrappingEncoder
from hub.http.admission import PRINCIPAL
from hub.http.response_formats import endless
from hub.hub import Hub

__all__ = ["Ending", "ResponseConnection"]

ROTATE_SECONDS: Final = 1.0
"""How long a frame that is being written may take when its response is to end."""


class Ending(WrappingEncoder):
    """An encoder that knows when its response is complete, though the stream may go on.

    ``find_end`` is called for each batch that has been encoded; a true result ends the response.
    """

    def __init__(self, inner: Encoder, find_end: Callable[[Batch], object]) -> None:
        super().__init__(inner)
        self.end: object = None
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the last frame has been built; it may still have to be sent."""
        self._find_end = find_end

    def events(self, batch: Batch) -> bytes:
        frame = super().events(batch)
        if not self.end:
            self.end = self._find_end(batch)
            if self.end:
                self.reached.set_result(None)
        return frame


class ResponseConnection:
    """The connection of one streaming response, for an ``async with``.

    Entering sends the head of the `response` and connects it to the hub, for the principal of
    the request; leaving disconnects it. A chunked response is written by ``chunked``, or else by
    ``encoder`` in chunks.

    A class and not a generator, which would keep a frame for as long as the response lasts.

    Raises on entering:
        Draining: the hub is shutting down.
        ConnectionError: the client is gone.
    """

    __slots__ = ("_connection", "_encoder", "_hub", "_pace", "_request", "over", "response")

    def __init__(
        self,
        hub: Hub,
        request: web.Request,
        headers: Mapping[str, str],
        encoder: Encoder,
        pace: Pace,
        *,
        chunked: Encoder | None = None,
    ) -> None:
        self.response = endless(request, headers)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is nothing more to send, or nobody to send it to."""
        self._hub = hub
        self._request = request
        self._encoder = (chunked or Chunked(encoder)) if self.response.chunked else encoder
        self._pace = pace

    async def __aenter__(self) -> Connection:
        writer = await self.response.prepare(self._request)
        if writer is None:
            raise RuntimeError("the response was sent before it was to begin")
        # They have been sent, and would be a fifth of the memory of an idle reader.
        self.response.headers.clear()
        connection = self._connection = Connection(
            self._request.protocol,
            writer.drain,
            self._encoder,
            self._pace,
            self._hub.counts,
            over=self.over,
            by=self._request[PRINCIPAL],
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

    async def wait_for_end(self, ending: Ending, *, within: float | None = None) -> bool:
        """Wait until ``ending`` is reached and sent, ``within`` seconds at most.

        False if it is not reached in time, or the connection is lost before. A client that does
        not read the end is cut off like any slow client.
        """
        await asyncio.wait(
            [self.over, ending.reached], timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        if ending.reached.done():
            # The writer takes this only when the socket has drained, after everything before it.
            self._connection.enqueue(b"")
            await self._connection.idle(within=2 * self._pace.slow_client_timeout)
        return ending.reached.done()

    async def rotate(self) -> None:
        """End a response that has lasted long enough, or whose connection is over.

        It is cut if the connection was lost before everything was sent, but not if its principal's
        credential has expired.
        """
        if not self.over.done():
            self._connection.end()
            await self._connection.idle(within=ROTATE_SECONDS)
        elif not self._connection.complete and not self._connection.expired:
            self._connection.abort()
