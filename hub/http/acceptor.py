"""Accept connections: limit their number and idle time, and respond to what is not HTTP.

aiohttp's own server accepts every connection, keeps idle ones for an hour, responds to garbage in
plain text and logs it with a stack trace, so that senders of garbage can fill the disk. Here the
number of connections is limited. A connection without a complete request head in time is closed,
however slowly it sends one. Garbage gets a response in the hub's error format and is not logged.

Monitoring needs a response most of all when others have taken every connection. So the acceptor
accepts a few more connections, and serves those of them that send a probe's request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http import WebSocketReader
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError, LineTooLong
from aiohttp.log import access_logger

from hub.domain.errors import HubError, LimitExceeded, RequestError, UnsupportedType
from hub.http.access_log import AccessLog
from hub.http.errors import error_body, error_response, retry_headers, status_of
from hub.http.forwarded import TrustedProxies
from hub.http.request_ids import HEADER, made
from hub.http.sockets import BACKLOG
from hub.http.streaming import SERVER_NAME
from hub.http.turns import OWN_SECONDS, SLICE, Turns

__all__ = ["HEAD_BYTES", "LINGER", "PROBES", "Acceptor"]

LINGER: Final = 0.05
"""Seconds to read the rest of an unwanted body, so that its sender receives the response. What is
packed stays so (`hub.http.bodies.leave_packed`)."""

RESERVE: Final = 32
"""How many connections beyond the limit may send a request head, and how many may be served."""

HEARD_SECONDS: Final = 1.0
"""How long a connection beyond the limit may take to send its request head, and how long `close`
waits for connections that have sent nothing yet."""

LOOK_SECONDS: Final = 0.02
"""How often `close` checks for such connections."""

HEAD_BYTES: Final = 8190
"""No probe's request head is longer."""

_GARBAGE: Final = RequestError("the request is not valid HTTP", code="bad_http")
_TOO_LONG: Final = RequestError(
    "a line of the request's head has more than 8190 bytes", code="head_too_large"
)
_ENCODED: Final = UnsupportedType(
    "Content-Encoding must be gzip or deflate, or absent", code="unsupported_encoding"
)
_CUT: Final = RequestError("the compressed body is incomplete", code="bad_body")
_FULL: Final = LimitExceeded("the hub has too many connections: try again later")

SHORT: Final = 1024
"""So many bytes are parsed at once: that costs no more than a request."""

PROBES: Final = ("/livez", "/readyz", "/metrics")


class Acceptor:
    """Accepts connections for the application of a runner that is set up."""

    def __init__(
        self,
        runner: web.AppRunner,
        *,
        sockets: int,
        idle_seconds: float,
        access_log: bool,
        proxies: TrustedProxies | None = None,
    ) -> None:
        if runner.server is None:
            raise RuntimeError("the runner is not set up")
        self._server = runner.server
        self._sockets = sockets
        self._options: dict[str, Any] = {
            "keepalive_timeout": idle_seconds,
            "access_log": access_logger if access_log else None,
            "access_log_class": partial(AccessLog, proxies=proxies or TrustedProxies()),
            "lingering_time": LINGER,
        }
        self._listening: list[tuple[socket.socket, asyncio.Server]] = []
        self.turns = Turns()
        self.inside = 0
        """The number of connections."""
        self.unheard: dict[_Connection, float] = {}
        """Connections that have sent nothing yet, and when they were made."""
        self.gates: dict[_Gate, None] = {}
        """Connections beyond the limit that have not sent a request head, oldest first."""
        self.probing = 0
        """The number of connections beyond the limit that are served."""
        self.draining = False
        """Close each connection after the response to its current request."""

    async def open(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections from listening sockets."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(self._protocol, sock=listening, backlog=BACKLOG)
            self._listening.append((listening, server))

    async def close(self, *, heirs: bool = False) -> None:
        """Accept no more connections; open ones stay, and new ones may still send a request.

        Connections in the backlog would be reset and are accepted first. With ``heirs``, which are
        other processes that listen on the same sockets, they are left to those.
        """
        arrived: list[socket.socket] = []
        for listening, server in self._listening:
            if not heirs:
                arrived += _accept_all(listening)
            server.close()
        self._listening.clear()
        loop = asyncio.get_running_loop()
        for connected in arrived:
            connected.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connected)
        while any(  # noqa: ASYNC110 - each may send, disconnect or time out
            loop.time() - came < HEARD_SECONDS for came in self.unheard.values()
        ):
            await asyncio.sleep(LOOK_SECONDS)
        for gate in list(self.gates):
            gate.refuse()

    def let_in(self, *, probe: bool = False) -> _Connection:
        """A connection that the application serves, for one request only if it is a ``probe``."""
        return _Connection(
            self, self._server, probe=probe, loop=asyncio.get_running_loop(), **self._options
        )

    def _protocol(self) -> asyncio.BaseProtocol:
        return self.let_in() if self.inside < self._sockets else _Gate(self)


def _accept_all(listening: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError, ConnectionError):
        for _ in range(BACKLOG):
            yield listening.accept()[0]


_WAITER: Final[Any] = web.RequestHandler.__dict__["_handler_waiter"]


class _Connection(web.RequestHandler):
    """One connection, served by aiohttp except for what is not HTTP."""

    __slots__ = ("_acceptor", "_probe", "_rest", "_slow")

    def __init__(
        self, acceptor: Acceptor, server: web.Server, *, probe: bool, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._acceptor = acceptor
        self._probe = probe
        self._rest: bytearray | None = None
        """What has come and is not parsed yet; only then the connection is not read."""
        self._slow = False
        """Whether the last slice took so long that the next one has to wait (`hub.http.turns`)."""

    @property
    def _handler_waiter(self) -> asyncio.Future[None] | None:
        """The future that aiohttp sets when a handler ends during shutdown, unless it is done.

        aiohttp only checks that there is a future. If its waiter gives up in the same turn of the
        loop in which the handler ends, aiohttp would set a cancelled future and log an error.
        """
        waiter: asyncio.Future[None] | None = _WAITER.__get__(self)
        return None if waiter is None or waiter.done() else waiter

    @_handler_waiter.setter
    def _handler_waiter(self, waiter: asyncio.Future[None] | None) -> None:
        _WAITER.__set__(self, waiter)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._acceptor.inside += 1
        self._acceptor.probing += self._probe
        self._acceptor.unheard[self] = asyncio.get_running_loop().time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._acceptor.inside -= 1
        self._acceptor.probing -= self._probe
        self._acceptor.unheard.pop(self, None)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log errors of the hub, but not a client's body that does not match its head."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def data_received(self, data: bytes) -> None:
        if self in self._acceptor.unheard:
            del self._acceptor.unheard[self]
        if self._rest is not None and data:
            self._rest += data
        elif len(data) > SHORT:
            self._rest = bytearray(data)
            # Most of what is long is quickly parsed, and nobody else needs a turn before.
            left = 0.0 if self._slow else OWN_SECONDS
            while left > 0 and self._can_parse:
                left -= self._parse_slice()
        else:
            super().data_received(data)  # with nothing, aiohttp goes on with what it has
        if self._rest is not None:
            self._wait()

    def set_parser(
        self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None
    ) -> None:
        """Go on as a WebSocket."""
        self._unparse_tail()
        super().set_parser(parser, data_received_cb)

    def parse(self) -> None:
        """Parse a slice of what waits, and read on after the last."""
        if self._can_parse:
            try:
                self._parse_slice()
            except Exception:
                self.force_close()  # as transports do: nobody would read on
                raise
            self._resume_transport_reading()

    def _wait(self) -> None:
        self._pause_transport_reading()
        self._acceptor.turns.wait(self)

    def _unparse_tail(self) -> None:
        """Let what came after the head of an upgrade wait; aiohttp would parse it all at once."""
        if self._message_tail:
            self._rest = bytearray(self._message_tail) + (self._rest or b"")
            self._message_tail = b""
            self._wait()

    @property
    def _can_parse(self) -> bool:
        return self._rest is not None and not self._full

    @property
    def _full(self) -> bool:
        """Whether aiohttp takes no more at the moment."""
        return self._reading_paused or self._buffer_paused

    def _parse_slice(self) -> float:
        """Parse a slice; returns how many seconds that took."""
        rest = self._rest or bytearray()
        piece = bytes(rest[:SLICE])
        del rest[:SLICE]
        self._rest = rest or None
        took = self._acceptor.turns.timed(partial(super().data_received, piece))
        self._slow = took > OWN_SECONDS
        return took

    def _resume_transport_reading(self) -> None:
        """Read on, if nothing waits; aiohttp calls this when it takes more."""
        if self._can_parse:
            self._acceptor.turns.wait(self)
        elif not self._full:
            super()._resume_transport_reading()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a handler's response; the last one on a connection says that it is the last."""
        if self._probe or self._acceptor.draining:
            resp.force_close()
        if not resp.prepared:
            # A response to garbage has not passed the application, which adds this header.
            resp.headers["Server"] = SERVER_NAME
        if self._message_tail and self._payload_parser is None and not self._messages:
            # It asked for an upgrade and gets none: what follows is HTTP again.
            self._unparse_tail()
            self._resume_reading_for_buffer()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to an invalid request; any other error is a bug in the hub and logged."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size:
            raise ConnectionResetError("a response has already started")
        response = error_response(_refusal(exc))
        response.headers[HEADER] = made()
        response.force_close()
        return response


def _refusal(error: HttpProcessingError) -> HubError:
    if isinstance(error, ContentEncodingError):
        # Either a decoder that is not installed, or compressed data that is cut off.
        return _ENCODED if "install" in error.message else _CUT
    return _TOO_LONG if isinstance(error, LineTooLong) else _GARBAGE


class _Gate(asyncio.Protocol):
    """A connection beyond the limit: it may send a request head, and only probes are served."""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._head = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HEARD_SECONDS, self.refuse)
        self._acceptor.gates[self] = None
        if len(self._acceptor.gates) > RESERVE:
            # Probes send their request at once, so the silent ones give way.
            next(iter(self._acceptor.gates)).refuse()

    def data_received(self, data: bytes) -> None:
        if self not in self._acceptor.gates:
            return
        self._head += data
        long = len(self._head) > HEAD_BYTES
        if b"\r\n\r\n" not in self._head and not long:
            return
        if long or not _is_probe(self._head) or self._acceptor.probing >= RESERVE:
            self.refuse()
            return
        self._leave()
        connection = self._acceptor.let_in(probe=True)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        connection.data_received(self._head)

    def connection_lost(self, exc: BaseException | None) -> None:
        del exc
        self._leave()

    def refuse(self) -> None:
        """Respond that there are too many connections, and close."""
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
        self._acceptor.gates.pop(self, None)


def _is_probe(head: bytes) -> bool:
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return method in (b"GET", b"HEAD") and path.decode("latin-1") in PROBES
