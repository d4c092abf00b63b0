"""Deliver one streaming HTTP response, from its first byte to its end.

A client must be able to tell a complete response from one that broke off. So the end of the body
(the last HTTP chunk, RFC 9112 section 7.1.3) is written only when the source has ended. After an
error the client gets the encoder's report of it, and then the connection closes in mid-body.

This module is independent of web frameworks; `Request` and `Response` are what it uses of
aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from hub.domain.errors import HubError
from hub.http.client_socket import give_up

__all__ = [
    "WHOLE_BYTES",
    "Request",
    "Response",
    "ResponseEncoder",
    "WholeRequest",
    "WholeResponse",
    "deliver",
    "deliver_whole",
]

WHOLE_BYTES: Final = 65536
"""A whole response with a larger body is sent with `deliver_whole`: so much may wait anywhere."""

LOOK_SECONDS: Final = 0.25
"""How often a delivery checks that the client is still connected and reading."""

LINGER_SECONDS: Final = 5.0
"""How long a client may take to read the rest of a response that broke off."""

JOINED_BYTES: Final = 65536
"""Items that are ready together are joined into one write of about this many bytes."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R", bound="Response")
R_co = TypeVar("R_co", bound="Response", covariant=True)


class Request(Protocol):
    """A request with its connection, such as `aiohttp.web.Request`."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport; ``None`` once the connection is lost."""


class Response(Protocol):
    """A streaming response, such as `aiohttp.web.StreamResponse`."""

    async def prepare(self, request: Any, /) -> object:
        """Send the status and the headers."""

    async def write(self, data: bytes | memoryview, /) -> None:
        """Send more of the body; waits while the client is slow."""

    async def write_eof(self) -> None:
        """Send the end of the body."""


class WholeRequest(Request, Protocol):
    """A request of which is known how it was made."""

    @property
    def method(self) -> str:
        """Its method."""


class WholeResponse(Response, Protocol):
    """A response that has its body, such as `aiohttp.web.Response`."""

    body: Any
    """The bytes of the body, or ``None``."""


class ResponseEncoder(Protocol[T_contra, R_co]):
    """Turns items into one HTTP response."""

    def response(self) -> R_co:
        """A response with its status and headers that has not started."""

    def encode(self, item: T_contra, /) -> bytes:
        """The bytes of one item; empty if it is not sent."""

    def error(self, error: HubError, /) -> bytes:
        """The bytes that tell a client in mid-response that the rest will not come."""


class _ClientLeft(Exception):
    """The client has disconnected."""


async def deliver(
    batches: AsyncIterable[Iterable[T]],
    request: Request,
    encoder: ResponseEncoder[T, R],
    patience: float,
) -> R:
    """Write the items of all batches, and return the response for a handler to return.

    The response starts with the first bytes that there are. It ends early and without an error when
    the client disconnects, or reads nothing for ``patience`` seconds while there is data.

    Raises:
        Exception: an error before anything was written, so that the caller can still choose the
            status, or a bug that is not a `HubError`. The client is told of any other error, which
            is not raised.
    """
    response = encoder.response()
    with suppress(_ClientLeft):
        async with _while_reading(request, patience):
            await _write(batches, request, response, encoder)
    return response


async def deliver_whole(response: WholeResponse, request: WholeRequest, patience: float) -> None:
    """Send a response that has its body; returns once it is sent, or the client is given up.

    It is given up as in `deliver`, and sent in pieces: aiohttp by itself would keep a copy of the
    body in the transport, for as long as a client likes to read nothing.
    """
    with suppress(_ClientLeft):
        async with _while_reading(request, patience):
            await _to_client(response.prepare(request))
            if request.method != "HEAD":
                body, response.body = memoryview(response.body), None
                for start in range(0, len(body), JOINED_BYTES):
                    await _to_client(response.write(body[start : start + JOINED_BYTES]))
            await _to_client(response.write_eof())


async def _write(
    batches: AsyncIterable[Iterable[T]],
    request: Request,
    response: Response,
    encoder: ResponseEncoder[T, Response],
) -> None:
    started = False
    try:
        async for batch in batches:
            for piece in _joined(batch, encoder.encode):
                if not started:
                    await _to_client(response.prepare(request))
                    started = True
                await _to_client(response.write(piece))
        if not started:
            await _to_client(response.prepare(request))
        await _to_client(response.write_eof())
    except _ClientLeft:
        raise
    except Exception as error:
        if not started:
            raise
        if isinstance(error, HubError):
            await _break_off(request, response, encoder.error(error))
        else:
            failed = HubError("the hub failed while it wrote this response")
            await _break_off(request, response, encoder.error(failed))
            raise


def _joined(batch: Iterable[T], encode: Callable[[T], bytes]) -> Iterator[bytes]:
    """Encode a batch in as few pieces as possible; an error does not lose the items before it."""
    parts: list[bytes] = []
    size = 0
    try:
        for item in batch:
            part = encode(item)
            parts.append(part)
            size += len(part)
            if size >= JOINED_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    except Exception:
        if size:
            yield b"".join(parts)
        raise
    if size:
        yield b"".join(parts)


async def _to_client(step: Awaitable[object]) -> None:
    # A ConnectionError from elsewhere may be the source's and not the client's.
    try:
        await step
    except ConnectionError:
        raise _ClientLeft from None


@asynccontextmanager
async def _while_reading(request: Request, patience: float) -> AsyncIterator[None]:
    """Interrupt the block with `_ClientLeft` when the client disconnects or stops reading.

    A handler only notices a disconnect when it writes, and a source may be silent for a minute, so
    a timer checks. The interruption is a timeout that the timer triggers. It may cut off a send,
    which is safe for a lost connection.
    """
    loop = asyncio.get_running_loop()
    connected = asyncio.timeout(None)
    timer: asyncio.TimerHandle | None = None
    unread, since = 0, loop.time()

    def check() -> None:
        nonlocal timer, unread, since
        transport = request.transport
        if transport is None or transport.is_closing():
            connected.reschedule(loop.time())
            return
        waiting = transport.get_write_buffer_size()
        if waiting == 0 or waiting != unread:
            unread, since = waiting, loop.time()
        elif loop.time() - since >= patience:
            give_up(transport)
        timer = loop.call_later(LOOK_SECONDS, check)

    try:
        async with connected:
            check()
            try:
                yield
            finally:
                if timer is not None:
                    timer.cancel()
    except TimeoutError:
        if connected.expired():
            raise _ClientLeft from None
        raise


async def _break_off(request: Request, response: Response, last: bytes) -> None:
    """Tell the client, and close the connection without the end of the body.

    `close` still sends what is buffered, including the reason, which `abort` would discard. A
    client that does not read it is disconnected a little later.
    """
    transport = request.transport
    if transport is None:
        return
    if last:
        await _to_client(response.write(last))
    transport.close()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, give_up, transport)
