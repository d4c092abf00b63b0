"""The bytes of one reply, and everything that may go wrong with them on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from hub.domain.errors import UpstreamError
from hub.upstreams.http_request import Request

__all__ = ["Body", "ResponseBody"]


class Body:
    """The bytes of one reply, each piece as one read brought it.

    ``delimited`` is true if the transport marks the end by itself, by chunks or by a
    length, so that a body which ended is known to be whole. A body that lasts until the
    connection closes is not: a cut looks like an end.
    """

    over = False
    """Nothing that still comes matters: to be said by the reader, before it leaves."""

    def __init__(self, pieces: AsyncIterator[bytes], *, delimited: bool) -> None:
        self.delimited = delimited
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises:
            UpstreamError: the body broke off, or is not what its head says.
        """
        if piece := await self.read():
            return piece
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            UpstreamError: as `__anext__`.
        """
        async for piece in self._pieces:
            if piece:
                return piece
        return b""


class ResponseBody(Body):
    """The body of an HTTP answer, watched until `leave`."""

    def __init__(self, request: Request, response: aiohttp.ClientResponse) -> None:
        marks = response.headers
        chunked = "chunked" in marks.get("Transfer-Encoding", "").lower()
        self.delimited = chunked or "Content-Length" in marks
        self._request = request
        self._content = response.content
        # Taken now, because a response lets go of its connection when that breaks. None if
        # the answer was read to its end together with its head.
        self._protocol = response.connection.protocol if response.connection else None
        self._closed = self._protocol.closed if self._protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(self._wake)
        self._fault: UpstreamError | None = None

    async def read(self) -> bytes:
        if self._fault is not None:
            raise self._fault
        try:
            return await self._content.readany()
        except aiohttp.ClientError as error:
            self._fault = self._broken(error)
        if rest := self._rest():
            return rest
        raise self._fault

    def leave(self) -> None:
        """Stop watching the connection, which may serve others after this."""
        if self._closed is not None and self._closed.remove_done_callback(self._wake):
            # Or else the loop reports that nobody has heard how an idle connection ended.
            self._closed.remove_done_callback(_taken)  # of a reply before on this connection
            self._closed.add_done_callback(_taken)

    def _rest(self) -> bytes:
        """What arrived before the body broke off and was not read yet.

        aiohttp lets the error overtake these bytes. They may hold the provider's
        terminator, after which some servers do nothing but close.
        """
        self._content.set_exception(None)  # type: ignore[arg-type]  # it takes back the error
        return self._content.read_nowait()

    def _wake(self, closed: asyncio.Future[None]) -> None:
        """Fail the reader that aiohttp forgets when it closes because of bad framing."""
        if not closed.cancelled():
            closed.exception()  # taken, so that the loop does not report it
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError())

    def _broken(self, error: aiohttp.ClientError) -> UpstreamError:
        lost = self._protocol.exception() if self._protocol is not None else None
        if isinstance(error.__cause__, ContentEncodingError):
            said, code = "sent a body that cannot be decompressed", "upstream_malformed"
        elif isinstance(lost, HttpProcessingError):
            said, code = "broke the rules of HTTP in the middle of the reply", "upstream_malformed"
        elif isinstance(lost, OSError):
            said, code = "reset the connection in the middle of the reply", "upstream_reset"
        else:
            said, code = "closed the connection before the reply was whole", "upstream_truncated"
        return self._request.error(said, code, retryable=True)


def _taken(closed: asyncio.Future[None]) -> None:
    closed.exception()
