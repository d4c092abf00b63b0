"""The HTTP side of an upstream: sends one request, and gives the bytes of the reply as they come.

Two clocks run here: ``connect_timeout`` until there is a connection (DNS, TCP and TLS), and
``stall_timeout`` from the sending of the request until the response's headers. Between the chunks
of the body the caller's clock runs, because only the caller knows what a chunk is. A whole reply
has no time limit.

Leaving the context closes the socket at once, whatever is still under way on it. The connection is
used again only if the body was read to its end, or if the caller has set `Body.over`: the
provider's last word mostly comes a moment before the end of the body, and breaking off there would
cost every request a new connection.

Whatever goes wrong is an `UpstreamError` with a code of its own. Everyone who follows the reply
sees its message, which names the upstream as the configuration does, and has neither its address
nor a key. The log has the details at debug level, and a warning where a key is refused.
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
"""Bytes of a reply that may wait unread before the socket is paused; aiohttp takes up to twice as
many."""

PIECE: Final = 65_536
"""Bytes of a request that are sent at once; a longer one lets others run in between."""

IDLE: Final = 30.0
"""Seconds that an unused connection is kept, for a chat's next prompt. A closed connection is
noticed; if a request crosses the close, there is no answer, and the relay asks again."""

ENDING: Final = 1.0
"""Seconds in which a body that is over must end, so that its connection can be used again."""

REFUSAL_BYTES: Final = 65_536
REFUSAL_SECONDS: Final = 5.0
"""How much of a refusal is read, and for how long."""

CODINGS: Final = frozenset({"gzip", "deflate", "br", "zstd"})
"""Content codings that aiohttp decodes, the last two where their packages are installed."""

NO_CODINGS: Final = frozenset(
    {"", "identity", "none", "null", "plain", "text", "binary", "7bit", "8bit", "chunked"}
    | {"utf-8", "utf8", "unicode", "ascii", "us-ascii", "latin1", "iso-8859-1", "windows-1252"}
)
"""Values of Content-Encoding that servers send and that mean no coding; other clients read such
bodies, too."""

HEADER_LINE: Final = 65_536
"""Bytes of a header line of a response: gateways put whole traces and policies there."""


class Dialer:
    """The connections to all upstreams."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None
        self._ending: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        """Responses whose reply is over and whose body is not."""
        self._closed = False

    async def close(self) -> None:
        """Close every connection; later requests fail with `Draining`."""
        self._closed = True
        for response in [*self._ending]:
            self._give_up(response)
        if self._client is not None:
            await self._client.close()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Body]:
        """Send the request; gives the body of the response.

        Raises:
            UpstreamError: there is no response, or it is not a reply.
            Draining: the dialer is closed.
        """
        response = await self._send(request)
        body: ResponseBody | None = None
        try:
            await _check(request, response)
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
        """Keep the response until its body ends, which frees its connection."""
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

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        content = request.content
        try:
            return await self._session().post(
                request.url,
                data=content if len(content) <= PIECE else BytesIO(content),  # sent in pieces
                headers=request.headers,
                allow_redirects=False,
                timeout=_clocks(request.connect_timeout, request.stall_timeout),
            )
        except (aiohttp.ClientError, TimeoutError, UnicodeError) as error:
            # The error may contain the whole address, with a key in its query.
            logger.debug('upstream "%s": %s', request.name, request.masked(str(error).encode()))
            # Not chained: an error of aiohttp may contain the request's headers.
            raise request.unanswered(error) from None

    def _session(self) -> aiohttp.ClientSession:
        """The session of all requests.

        It keeps no cookies, so no reply affects another. It uses no proxy or netrc from the
        environment, so only the configuration decides where a key is sent. It does not limit the
        connections, because the number of generations is limited.
        """
        if self._closed:
            raise Draining("the hub is shutting down: try again when it is back")
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "streamhub", "Accept-Encoding": "identity"},
                response_class=_Response,
                read_bufsize=READ_BUFFER,
                max_line_size=HEADER_LINE,
                max_field_size=HEADER_LINE,
            )
        return self._client


class _Response(aiohttp.ClientResponse):
    """A response with a time limit for its headers, from the sending of the request on."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        try:
            if protocol is not None:
                protocol.start_timeout()
            return await super().start(connection)
        except BaseException:
            _abort(connection)
            raise
        finally:
            if protocol is not None:
                # The time limit of the body is the caller's.
                protocol.read_timeout = None
                protocol.start_timeout()


@cache
def _clocks(connect: float, stall: float) -> aiohttp.ClientTimeout:
    """Shared by the requests of an upstream."""
    return aiohttp.ClientTimeout(connect=connect, sock_read=stall)


def _abort(connection: Connection) -> None:
    """Close the socket at once; a proper close waits for unsent bytes and the TLS shutdown."""
    if connection.transport is not None:
        connection.transport.abort()


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close the socket at once, unless the body was read to its end and has freed it."""
    if response.connection is not None:
        _abort(response.connection)
    response.close()


async def _check(request: Request, response: aiohttp.ClientResponse) -> None:
    """Raise an error unless this is the beginning of a reply, whatever its content type."""
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
            "answers as application/vnd.amazon.eventstream, a binary format that the hub cannot"
            " read: configure an OpenAI-compatible address of that provider",
            "upstream_unsupported",
        )


def _host(headers: Mapping[str, str]) -> str:
    with suppress(ValueError):
        if host := URL(headers.get("Location", "")).host:
            return host
    return "another address"


async def _refusal(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, or the beginning of it."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(REFUSAL_SECONDS):
            async for piece in response.content.iter_any():
                body += piece
                if len(body) >= REFUSAL_BYTES:
                    break
    return body[:REFUSAL_BYTES]
