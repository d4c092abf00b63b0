"""The bytes of one reply, and everything that may go wrong while they are read."""

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

    ``delimited`` is true if the transport marks the end (by chunks or a length), so that a body
    that has ended is known to be whole. In a body that lasts until the connection closes, a cut
    looks like an end.
    """

    over = False
    """Set by the reader before it leaves, if nothing that still comes matters."""

    def __init__(self, pieces: AsyncIterator[bytes], *, delimited: bool) -> None:
        self.delimited = delimited
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.read():
            return piece
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            UpstreamError: the body broke off, or is not what its headers say.
        """
        async for piece in self._pieces:
            if piece:
                return piece
        return b""


class ResponseBody(Body):
    """The body of an HTTP response, watched until `leave`."""

    def __init__(self, request: Request, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.delimited = chunked or "Content-Length" in headers
        self._request = request
        self._content = response.content
        # Kept, because a response lets go of its connection when that breaks. None if the
        # response was read to its end together with its headers.
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
            self._fault = self._error(error)
        # aiohttp lets the error overtake the bytes before it. They may hold the provider's
        # terminator, after which some servers just close the connection.
        self._content.set_exception(None)  # type: ignore[arg-type]  # it takes back the error
        if rest := self._content.read_nowait():
            return rest
        raise self._fault

    def leave(self) -> None:
        """Stop watching the connection, which may be used again."""
        if self._closed is not None and self._closed.remove_done_callback(self._wake):
            # Without this the loop would report that nobody retrieved the error of an idle
            # connection. An earlier reply on the connection may have added it.
            self._closed.remove_done_callback(_retrieve)
            self._closed.add_done_callback(_retrieve)

    def _wake(self, closed: asyncio.Future[None]) -> None:
        """Fail the reader, which aiohttp forgets when it closes because of bad framing."""
        if not closed.cancelled():
            _retrieve(closed)
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError())

    def _error(self, error: aiohttp.ClientError) -> UpstreamError:
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


def _retrieve(closed: asyncio.Future[None]) -> None:
    closed.exception()
