"""Below all routes: whose connection is taken, how long it may idle, what garbage is told.

aiohttp's own server takes every connection, keeps an idle one for an hour, answers what is no
HTTP in plain text and logs each with a stack trace, so whoever sends garbage fills the disk. Here
there are only so many connections; one that has no whole head of a request in time is closed,
however slowly it sends one; and garbage is told so in the hub's own shape, and not logged.

Whoever watches over the hub must be answered most of all when others have taken everything. So
a few connections more may come, of which only those that ask a probe's question are let in.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError, LineTooLong
from aiohttp.log import access_logger

from hub.domain.errors import HubError, LimitExceeded, RequestError, UnsupportedType
from hub.http.errors import error_body, error_response, retry_headers, status_of
from hub.http.request_ids import HEADER, made
from hub.http.sockets import BACKLOG
from hub.http.streaming import SERVER_NAME

__all__ = [
    "PROBES",
    "Acceptor",
]

LINGER: Final = 0.05
"""Seconds for which the rest of a body that nobody wants is read, so that its sender hears why.
aiohttp unpacks it too, without a turn of the loop: a megabyte may hold seconds of that."""

RESERVE: Final = 32
"""Connections beyond the limit that may be heard, and as many that may be answered."""

HEARD_SECONDS: Final = 1.0
"""How long a connection that is one too many may take to say what it wants; and how long one
that came before the door closed is waited for."""

LOOK_SECONDS: Final = 0.02
"""How often it is looked whether those that came have been heard."""

HEAD_BYTES: Final = 8190
"""A longer head is no probe's."""

_GARBAGE: Final = RequestError("this is not HTTP as the hub understands it", code="bad_http")
_TOO_LONG: Final = RequestError(
    "a line of the request's head has more than 8190 bytes", code="head_too_large"
)
_ENCODED: Final = UnsupportedType(
    "Content-Encoding is gzip, deflate or none at all", code="unsupported_encoding"
)
_CUT: Final = RequestError("the body ends before its Content-Encoding does", code="bad_body")
_FULL: Final = LimitExceeded("the hub has as many connections as it may: try again later")

PROBES: Final = ("/livez", "/readyz", "/metrics")


class Acceptor:
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
        self._listening: list[tuple[socket.socket, asyncio.Server]] = []
        self.inside = 0
        """Connections at this moment."""
        self.unheard: dict[_Connection, float] = {}
        """Those that have sent nothing, and when they came."""
        self.gates: dict[_Gate, None] = {}
        """Those beyond the limit that have not said what they want, the oldest first."""
        self.probing = 0
        """Those beyond the limit that were let in."""
        self.draining = False
        """Each connection is closed after the answer to its request."""

    async def open(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections from sockets that listen."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(self._meet, sock=listening, backlog=BACKLOG)
            self._listening.append((listening, server))

    async def close(self, *, heirs: bool = False) -> None:
        """Take no more; those that are inside stay, and those that just came are heard.

        What waits to be accepted is for the ``heirs``, if another process has the sockets too;
        else it is taken first, as it would be reset.
        """
        arrived: list[socket.socket] = []
        for listening, server in self._listening:
            if not heirs:
                arrived += _waiting(listening)
            server.close()
        self._listening.clear()
        loop = asyncio.get_running_loop()
        for connected in arrived:
            connected.setblocking(False)
            await loop.connect_accepted_socket(self._meet, connected)
        while any(  # noqa: ASYNC110 - each may be heard, or leave, or grow old
            loop.time() - came < HEARD_SECONDS for came in self.unheard.values()
        ):
            await asyncio.sleep(LOOK_SECONDS)
        for gate in list(self.gates):
            gate.refuse()

    def let_in(self, *, probe: bool = False) -> _Connection:
        """A connection as the application serves it; one of a ``probe`` gets one answer."""
        return _Connection(
            self, self._server, probe=probe, loop=asyncio.get_running_loop(), **self._options
        )

    def _meet(self) -> asyncio.BaseProtocol:
        return self.let_in() if self.inside < self._sockets else _Gate(self)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted."""
    with suppress(BlockingIOError, ConnectionError):
        for _ in range(BACKLOG):
            yield listening.accept()[0]


_WAITER: Final[Any] = web.RequestHandler.__dict__["_handler_waiter"]


class _Connection(web.RequestHandler):
    """One connection, as aiohttp serves it but for what is no HTTP."""

    __slots__ = ("_door", "_probe")

    def __init__(self, door: Acceptor, server: web.Server, *, probe: bool, **options: Any) -> None:
        super().__init__(server, **options)
        self._door = door
        self._probe = probe

    @property
    def _handler_waiter(self) -> asyncio.Future[None] | None:
        """Whom aiohttp tells of the end of a handler while it shuts down; nobody who has given up.

        It looks only whether there is somebody. Who gives up in the very turn of the loop in
        which the handler ends was told nevertheless, which is an error in the log.
        """
        waiter: asyncio.Future[None] | None = _WAITER.__get__(self)
        return None if waiter is None or waiter.done() else waiter

    @_handler_waiter.setter
    def _handler_waiter(self, waiter: asyncio.Future[None] | None) -> None:
        _WAITER.__set__(self, waiter)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.inside += 1
        self._door.probing += self._probe
        self._door.unheard[self] = asyncio.get_running_loop().time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.inside -= 1
        self._door.probing -= self._probe
        self._door.unheard.pop(self, None)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong here, which a body that is not what its head says is not."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def data_received(self, data: bytes) -> None:
        if self in self._door.unheard:
            del self._door.unheard[self]
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what the handler answered; the last answer on this connection says so."""
        if self._probe or self._door.draining:
            resp.force_close()
        if not resp.prepared:
            # What is no request has no application that would say it.
            resp.headers["Server"] = SERVER_NAME
        return await super().finish_response(request, resp, start_time)

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
        response.headers[HEADER] = made()
        response.force_close()
        return response


def _refusal(error: HttpProcessingError) -> HubError:
    if isinstance(error, ContentEncodingError):
        # Known to aiohttp and not installed, or else cut off.
        return _ENCODED if "install" in error.message else _CUT
    return _TOO_LONG if isinstance(error, LineTooLong) else _GARBAGE


class _Gate(asyncio.Protocol):
    """One connection too many: it is heard, and refused unless it is a probe's."""

    def __init__(self, door: Acceptor) -> None:
        self._door = door
        self._head = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HEARD_SECONDS, self.refuse)
        self._door.gates[self] = None
        if len(self._door.gates) > RESERVE:
            # Who says nothing gives way: a probe comes with its question.
            next(iter(self._door.gates)).refuse()

    def data_received(self, data: bytes) -> None:
        if self not in self._door.gates:
            return
        self._head += data
        long = len(self._head) > HEAD_BYTES
        if b"\r\n\r\n" not in self._head and not long:
            return
        if long or not _is_probe(self._head) or self._door.probing >= RESERVE:
            self.refuse()
            return
        self._leave()
        connection = self._door.let_in(probe=True)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        connection.data_received(self._head)

    def connection_lost(self, exc: BaseException | None) -> None:
        del exc
        self._leave()

    def refuse(self) -> None:
        """Say that there are too many, and close."""
        self._leave()
        body = error_body(_FULL.code, _FULL.message)
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **retry_headers(_FULL),
            HEADER: made(),
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status_of(_FULL)} ", *(f"{k}: {v}" for k, v in head.items())]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self._transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._door.gates.pop(self, None)


def _is_probe(head: bytes) -> bool:
    """Whether the head of a request is one of a probe."""
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return method in (b"GET", b"HEAD") and path.decode("latin-1") in PROBES
