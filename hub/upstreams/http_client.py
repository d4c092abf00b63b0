"""The HTTP side of an upstream: one request out, the bytes of the answer as they are read.

Two clocks run here: ``connect_timeout`` until there is a connection (name, TCP and TLS),
and ``stall_timeout`` from the sending of the request until the head of the answer. Between
the chunks of the body runs the caller's, because only it knows what a chunk is. Nothing
limits a whole reply.

Leaving the context closes the socket at once, whatever is still under way on it. Only a body
that was read to its end leaves its connection for the next request, or one of which the
caller says that it is `Body.over`: the provider's last word mostly comes a moment before the
end of the body, and to break off there would make every request pay for a new connection.

Whatever goes wrong is an `UpstreamError` with a code of its own. Its words reach whoever
follows the reply: they name the upstream as the configuration does, and hold neither its
address nor a key. The log has the rest, at the debug level, and a warning where a key is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from io import BytesIO
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from hub.domain.errors import Draining
from hub.domain.failures import REFUSES_KEY
from hub.upstreams.http_body import Body, ResponseBody
from hub.upstreams.http_errors import explain
from hub.upstreams.http_request import Request

__all__ = ["Dialer"]

logger = logging.getLogger(__name__)

READ_BUFFER: Final = 65_536
"""Bytes of a reply that wait unread before the socket is left to wait instead; aiohttp
takes up to twice as many."""

PIECE: Final = 65_536
"""Bytes of a request that are sent at once; a longer one leaves turns to others."""

IDLE: Final = 30.0
"""Seconds that an unused connection is kept, for a chat's next prompt. That a server has closed
it is seen; of a request that crosses this there is no answer, and the relay asks again."""

ENDING: Final = 1.0
"""Seconds that a body which is over has to end, so that its connection can be used again."""

REFUSAL_BYTES: Final = 65_536
REFUSAL_SECONDS: Final = 5.0
"""How much of a refusal is read, and for how long."""

CODINGS: Final = frozenset({"gzip", "deflate", "br", "zstd"})
"""Content codings that aiohttp undoes, the last two where their packages are installed."""

NO_CODINGS: Final = frozenset(
    {"", "identity", "none", "null", "plain", "text", "binary", "7bit", "8bit", "chunked"}
    | {"utf-8", "utf8", "unicode", "ascii", "us-ascii", "latin1", "iso-8859-1", "windows-1252"}
)
"""What servers write there that is no coding; other clients take such a body as it is, too."""

HEADER_LINE: Final = 65_536
"""Bytes that a line of an answer's head may have: gateways put whole traces and policies there."""


class Dialer:
    """The sockets to all upstreams: made at the first use, closed once for all."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None
        self._ending: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        """Those whose reply is over and whose body is not."""
        self._closed = False

    async def close(self) -> None:
        """Close every connection; later requests are refused with `Draining`."""
        self._closed = True
        for response in [*self._ending]:
            self._give_up(response)
        if self._client is not None:
            await self._client.close()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Body]:
        """Send the request and give the body of the answer.

        Raises:
            UpstreamError: there is no answer, or one that is not a reply.
            Draining: the dialer is closed.
        """
        response = await self._ask(request)
        body: ResponseBody | None = None
        try:
            await _accept(request, response)
            body = ResponseBody(request, response)
            yield body
        finally:
            if body is not None:
                body.leave()
            if body is not None and body.over:
                self._let_end(response)
            else:
                _hang_up(response)

    def _let_end(self, response: aiohttp.ClientResponse) -> None:
        """Keep the response until its body has ended, which gives its connection free."""
        if response.connection is not None and not self._closed:
            later = asyncio.get_running_loop().call_later
            self._ending[response] = later(ENDING, self._give_up, response)
            response.content.on_eof(partial(self._ended, response))

    def _ended(self, response: aiohttp.ClientResponse) -> None:
        if timer := self._ending.pop(response, None):
            timer.cancel()

    def _give_up(self, response: aiohttp.ClientResponse) -> None:
        self._ended(response)
        _hang_up(response)

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        client = self._dialled()
        content = request.content
        try:
            return await client.post(
                request.url,
                data=content if len(content) <= PIECE else BytesIO(content),  # sent in pieces
                headers=request.headers,
                allow_redirects=False,
                timeout=_clocks(request.connect_timeout, request.stall_timeout),
            )
        except (aiohttp.ClientError, TimeoutError, UnicodeError) as error:
            # It may hold the whole address, and a key in its query.
            logger.debug('upstream "%s": %s', request.name, request.masked(str(error).encode()))
            # Not chained: an error of aiohttp may hold the request's headers.
            raise request.unanswered(error) from None

    def _dialled(self) -> aiohttp.ClientSession:
        """The client that all share.

        No cookies, so that no reply reaches into another; no proxy or netrc from the
        environment, so that only the configuration says where a key goes; no limit on
        connections, because the limit on generations is one.
        """
        if self._closed:
            raise Draining("the hub is shutting down: ask again when it is back")
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "streamhub", "Accept-Encoding": "identity"},
                response_class=_Answer,
                read_bufsize=READ_BUFFER,
                max_line_size=HEADER_LINE,
                max_field_size=HEADER_LINE,
            )
        return self._client


class _Answer(aiohttp.ClientResponse):
    """A response whose head is waited for from when the request begins to be sent."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        clocked = connection.protocol
        try:
            if clocked is not None:
                clocked.start_timeout()
            return await super().start(connection)
        except BaseException:
            _abort(connection)
            raise
        finally:
            if clocked is not None:
                # How long the body may take is not known here.
                clocked.read_timeout = None
                clocked.start_timeout()


@cache
def _clocks(connect: float, stall: float) -> aiohttp.ClientTimeout:
    """The two clocks of an upstream."""
    return aiohttp.ClientTimeout(connect=connect, sock_read=stall)


def _abort(connection: Connection) -> None:
    """Close the socket now: to close it properly would first wait for unsent bytes, and over
    TLS for the other side.
    """
    if connection.transport is not None:
        connection.transport.abort()


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close the socket now; a body that was read to its end has let go of it before."""
    if response.connection is not None:
        _abort(response.connection)
    response.close()


async def _accept(request: Request, response: aiohttp.ClientResponse) -> None:
    """Raise unless this is the beginning of a reply, of whatever type it says it is."""
    status, headers = response.status, response.headers
    if 300 <= status < 400:
        raise request.error(
            f"answered {status}, a redirect to {_host(headers)}, which is not followed:"
            " configure the address that it leads to",
            "upstream_rejected",
        )
    if not 200 <= status < 300:
        refusal = request.masked(await _refusal(response))
        reason = request.masked((response.reason or "").encode("utf-8", "replace")).decode()
        error = request.refused(explain(status, reason, headers, refusal))
        if error.code == REFUSES_KEY:
            logger.warning("%s", error)
        raise error
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in CODINGS and not {part.strip() for part in coding.split(",")} <= NO_CODINGS:
        said = f"compresses its answers as {coding[:40]!a}, which the hub cannot undo"
        raise request.error(said, "upstream_unsupported")
    if response.content_type == "application/vnd.amazon.eventstream":
        raise request.error(
            "answers as application/vnd.amazon.eventstream, a binary format that is not read"
            " here: configure an OpenAI-compatible address of that provider",
            "upstream_unsupported",
        )


def _host(headers: Mapping[str, str]) -> str:
    with suppress(ValueError):
        if host := URL(headers.get("Location", "")).host:
            return host
    return "another address"


async def _refusal(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that is no reply, or the beginning of it."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(REFUSAL_SECONDS):
            async for piece in response.content.iter_any():
                body += piece
                if len(body) >= REFUSAL_BYTES:
                    break
    return body[:REFUSAL_BYTES]
