"""Below all routes: whose connection is taken, how long it may idle, what garbage is told.

aiohttp's own server takes every connection, keeps an idle one for an hour, answers what is no
HTTP in plain text and logs each with a stack trace, so whoever sends garbage fills the disk. Here
there are only so many connections; one that has no whole head of a request in time is closed,
however slowly it sends one; and garbage is told so in the hub's own shape, and not logged.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError, LineTooLong
from aiohttp.log import access_logger

from hub.errors import HubError, LimitExceeded, RequestError, UnsupportedType
from hub.listeners import BACKLOG
from hub.statuses import error_body, error_response, retry_headers, status_of

__all__ = ["Door"]

LINGER: Final = 0.05
"""Seconds for which the rest of a body that nobody wants is read, so that its sender hears why.
aiohttp unpacks it too, without a turn of the loop: a megabyte may hold seconds of that."""

_GARBAGE: Final = RequestError("this is not HTTP as the hub understands it", code="bad_http")
_TOO_LONG: Final = RequestError(
    "a line of the request's head has more than 8190 bytes", code="head_too_large"
)
_ENCODED: Final = UnsupportedType(
    "Content-Encoding is gzip, deflate or none at all", code="unsupported_encoding"
)
_CUT: Final = RequestError("the body ends before its Content-Encoding does", code="bad_body")
_FULL: Final = LimitExceeded("the hub has as many connections as it may: try again later")


class Door:
    """Lets connections in to the application of a runner that is set up."""

    def __init__(
        self, runner: web.AppRunner, *, sockets: int, idle_seconds: float, access_log: bool
    ) -> None:
        if runner.server is None:
            raise RuntimeError("the runner is not set up")
        self._server = runner.server
        self._sockets = sockets
        self._options: dict[str, Any] = {
            "keepalive_timeout": idle_seconds,
            "access_log": access_logger if access_log else None,
            "lingering_time": LINGER,
        }
        self._listening: list[asyncio.Server] = []
        self.inside = 0
        """Connections at this moment."""

    async def open(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections from sockets that listen."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(self._meet, sock=listening, backlog=BACKLOG)
            self._listening.append(server)

    def close(self) -> None:
        """Take no more; those that are inside stay."""
        for server in self._listening:
            server.close()

    def _meet(self) -> asyncio.BaseProtocol:
        if self.inside >= self._sockets:
            return _Refusal()
        return _Connection(self, self._server, loop=asyncio.get_running_loop(), **self._options)


class _Connection(web.RequestHandler):
    """One connection, as aiohttp serves it but for what is no HTTP."""

    __slots__ = ("_door",)

    def __init__(self, door: Door, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.inside += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.inside -= 1
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong here, which a body that is not what its head says is not."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request; all else is a mistake of ours, which is logged."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size:
            raise ConnectionResetError("an answer has begun, and there is no other after it")
        response = error_response(_refusal(exc))
        response.force_close()
        return response


def _refusal(error: HttpProcessingError) -> HubError:
    if isinstance(error, ContentEncodingError):
        # Known to aiohttp and not installed, or else cut off.
        return _ENCODED if "install" in error.message else _CUT
    return _TOO_LONG if isinstance(error, LineTooLong) else _GARBAGE


class _Refusal(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        there = cast("asyncio.WriteTransport", transport)
        body = error_body(_FULL.code, _FULL.message)
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **retry_headers(_FULL),
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status_of(_FULL)} ", *(f"{k}: {v}" for k, v in head.items())]
        there.write("\r\n".join([*lines, "", ""]).encode() + body)
        there.close()
