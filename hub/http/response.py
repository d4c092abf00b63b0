"""A delivery: one streaming HTTP response, from its first byte to its end or its breaking off.

A client must be able to tell a complete response from one that broke off, whatever it
reads: so the end of the body (the last HTTP chunk, RFC 9112 section 7.1.3) is written only
when the source has ended. After an error the client gets the encoder's word for it and then
a connection that closes in mid-body.

This floor knows no web framework: `Request` and `Response` are what it uses of aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from hub.domain.errors import HubError
from hub.http.client_socket import give_up

__all__ = ["Request", "Response", "ResponseEncoder", "deliver"]

LOOK_SECONDS: Final = 0.25
"""How often a delivery that waits for its source looks whether the client is still there."""

LINGER_SECONDS: Final = 5.0
"""How long a client may take to read what was written before a response was broken off."""

JOINED_BYTES: Final = 65536
"""Items that are ready together go out in one write, up to about so many bytes."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R", bound="Response")
R_co = TypeVar("R_co", bound="Response", covariant=True)


class Request(Protocol):
    """A request whose connection can be seen, as `aiohttp.web.Request`."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; ``None`` once it is lost."""


class Response(Protocol):
    """A streaming response, as `aiohttp.web.StreamResponse`."""

    async def prepare(self, request: Any, /) -> object:
        """Begin: status and headers."""

    async def write(self, data: bytes, /) -> None:
        """More of the body; waits while the client is slow."""

    async def write_eof(self) -> None:
        """The end of the body."""


class ResponseEncoder(Protocol[T_contra, R_co]):
    """Turns items into one HTTP response."""

    def response(self) -> R_co:
        """A response that has not begun, with its status and headers."""

    def encode(self, item: T_contra, /) -> bytes:
        """The bytes of one item; empty when it does not show."""

    def error(self, error: HubError, /) -> bytes:
        """What tells the client, after some items, that the rest will not come."""


class _ClientLeft(Exception):
    """Nobody is there to be written to."""


async def deliver(
    lots: AsyncIterable[Iterable[T]],
    request: Request,
    encoder: ResponseEncoder[T, R],
    patience: float,
) -> R:
    """Write the items of all lots; gives the response, for a handler to return.

    The response begins with the first bytes there are. It ends early, and quietly, when the
    client leaves, or has read nothing for ``patience`` seconds while there was something to
    read.

    Raises:
        Exception: the error of a source that nothing was written of (a proper status can
            still be given), or a defect that is no `HubError`. Any other error is told to
            the client and goes no further.
    """
    response = encoder.response()
    with suppress(_ClientLeft):
        async with _while_reading(request, patience):
            await _write(lots, request, response, encoder)
    return response


async def _write(
    lots: AsyncIterable[Iterable[T]],
    request: Request,
    response: Response,
    encoder: ResponseEncoder[T, Response],
) -> None:
    begun = False
    try:
        async for lot in lots:
            for piece in _joined(lot, encoder.encode):
                if not begun:
                    await _to_client(response.prepare(request))
                    begun = True
                await _to_client(response.write(piece))
        if not begun:
            await _to_client(response.prepare(request))
        await _to_client(response.write_eof())
    except _ClientLeft:
        raise
    except Exception as error:
        if not begun:
            raise
        if isinstance(error, HubError):
            await _break_off(request, response, encoder.error(error))
        else:
            told = HubError("the hub failed while it wrote this response")
            await _break_off(request, response, encoder.error(told))
            raise


def _joined(lot: Iterable[T], encode: Callable[[T], bytes]) -> Iterator[bytes]:
    """The items of a lot in as few pieces as may be; those before an error are not lost."""
    parts: list[bytes] = []
    size = 0
    try:
        for item in lot:
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
    # Only here does a ConnectionError mean this client: a source may raise its own.
    try:
        await step
    except ConnectionError:
        raise _ClientLeft from None


@asynccontextmanager
async def _while_reading(request: Request, patience: float) -> AsyncIterator[None]:
    """Interrupts what runs inside with `_ClientLeft` when the client is gone or stuck.

    A handler is not told that its client left unless it writes, and a source may be silent
    for a minute; so somebody has to look. The interruption is that of a timeout that is set
    off by hand. It may cut off a send, which is safe for a connection that is lost.
    """
    loop = asyncio.get_running_loop()
    connected = asyncio.timeout(None)
    timer: asyncio.TimerHandle | None = None
    unread, since = 0, loop.time()

    def look() -> None:
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
        timer = loop.call_later(LOOK_SECONDS, look)

    try:
        async with connected:
            look()
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
    """Tell the client and close the connection without the end of the body.

    `close` sends what is written, which `abort` would throw away together with the reason;
    a client that does not read it is aborted a little later.
    """
    transport = request.transport
    if transport is None:
        return
    if last:
        await _to_client(response.write(last))
    transport.close()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, give_up, transport)
