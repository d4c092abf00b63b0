"""HTTP requests to a hub and their replies, without their meaning.

::

    async with Transport("http://127.0.0.1:7000") as wire:
        status, reply = await wire.request("POST", "/v1/generations", json={"prompt": "Hi"})
        async with wire.stream("/v1/live/name", headers={"Accept": "text/plain"}) as stream:
            async for piece in stream: ...

With a token, every request has ``Authorization: Bearer`` (RFC 6750 section 2.1). If the answer is
401, the request is sent once more, provided that there is a new token. Redirects are not followed,
so a token is sent to the hub's own origin only.

Every status is a reply. An error means that there is none: those of `hub.client.tokens`, or an
`UpstreamError`:

- ``hub_unreachable``: nothing answers at the URL;
- ``hub_lost``: the answer broke off;
- ``hub_malformed``: the server is not a hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from hub.client.tokens import Token, Tokens
from hub.domain.errors import InvalidName, RequestError, UpstreamError

__all__ = [
    "CONNECT_SECONDS",
    "Reply",
    "Transport",
    "check_url",
    "lost",
    "not_a_hub",
    "unreachable",
]

CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 60.0
"""The longest that a whole request may take; anything longer is read as a stream."""

REPLY_BYTES: Final = 64 * 1024 * 1024
"""The largest reply that is read as JSON."""


class Reply:
    """A reply and an iterator over its body, in pieces cut anywhere.

    Raises:
        UpstreamError: on iteration: ``hub_lost``.
    """

    def __init__(self, url: str, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._url = url
        self._pieces = response.content.iter_any()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except aiohttp.ClientError:
            raise lost(self._url) from None


class Transport:
    """The connections to the hub at a URL, for an ``async with``.

    Raises:
        RequestError: it is not a URL, or ``bad_token``.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, token: Token | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._tokens = None if token is None else Tokens(token)
        self._headers = {"User-Agent": "streamhub", **(headers or {})}
        self._client: aiohttp.ClientSession | None = None
        check_url(url, with_token=token is not None)

    @property
    def url(self) -> str:
        """The hub's URL, without a slash at the end."""
        return self._url

    @property
    def renews_token(self) -> bool:
        """Whether an expired token can be followed by a new one."""
        return self._tokens is not None and not self._tokens.fixed

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            # The content type of a stream matters even without a body.
            skip_auto_headers=("Content-Type",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send a request; returns the status and the decoded JSON, ``None`` for an empty reply.

        Raises:
            HubError: there is no such reply; see the module for the codes.
        """
        sent = dict(headers or {})
        if json is not None:
            sent["Content-Type"] = "application/json"
        body = None if json is None else orjson.dumps(json)
        status, _, answer = await self.send(method, path, body, sent)
        try:
            return status, orjson.loads(answer) if answer else None
        except orjson.JSONDecodeError:
            if status >= 300:  # perhaps from a proxy: its status says more than its body
                return status, None
            raise not_a_hub(self._url, "it does not answer in JSON") from None

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request; returns the status, the headers and the body of the reply.

        Raises:
            HubError: as `request`.
        """
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._response(method, path, body, headers) as response,
            ):
                answer = bytearray()
                async for piece in Reply(self._url, response):
                    answer += piece
                    if len(answer) > REPLY_BYTES:
                        raise not_a_hub(self._url, f"it answers with over {REPLY_BYTES} bytes")
                return response.status, response.headers, bytes(answer)
        except TimeoutError:
            message = f"the hub at {self._url} does not answer within {REQUEST_SECONDS:g} s"
            raise UpstreamError(message, code="hub_unreachable", retryable=True) from None

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        """Send a GET request, and read the reply as it comes; leaving closes the socket.

        Raises:
            HubError: as `request`.
        """
        async with self._response("GET", path, None, headers or {}) as response:
            yield Reply(self._url, response)

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        tokens = self._tokens
        if tokens is None:
            async with self._answer(method, path, body, headers) as response:
                yield response
            return
        token = await tokens.get()
        async with self._answer(method, path, body, _with(token, headers)) as response:
            fresh = await tokens.renewed(token) if response.status == 401 else None
            if fresh is None:
                yield response
                return
        async with self._answer(method, path, body, _with(fresh, headers)) as response:
            yield response

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._client is None:
            raise RuntimeError("enter the context of the hub first: async with Hub(url) as hub")
        _check_path(path)
        try:
            response = await self._client.request(
                method,
                self._url + path,
                data=None if body is None else BytesIO(body),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS),
            )
        except aiohttp.ClientResponseError:
            raise not_a_hub(self._url, "it does not speak HTTP") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
            raise unreachable(self._url) from None
        except aiohttp.ClientError:
            raise lost(self._url) from None
        try:
            yield response
        finally:
            response.close()


def _check_path(path: str) -> None:
    """Check that a path names what it says: "." and ".." would lead elsewhere, with the token.

    Raises:
        InvalidName: a name or an id in it has such a segment.
    """
    if not {".", ".."}.isdisjoint(path.partition("?")[0].split("/")):
        raise InvalidName('no segment of a name or an id may be "." or ".."')


def _with(token: str, headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {token}"}


def check_url(url: str, *, with_token: bool) -> None:
    """Check that a URL can be that of a hub.

    Raises:
        RequestError: it cannot, or it has a user name, which would take the place of the token.
    """
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RequestError(f'"{url}" is not the URL of a hub, such as http://127.0.0.1:7000')
    if with_token and parsed.user is not None:
        raise RequestError("the URL of the hub has a user name: leave it out, or the token")


def unreachable(url: str) -> UpstreamError:
    """The error for a URL where nothing answers."""
    message = f"no hub answers at {url}: start one with `streamhub serve`"
    return UpstreamError(message, code="hub_unreachable", retryable=True)


def lost(url: str) -> UpstreamError:
    """The error for a connection that broke off."""
    message = f"the hub at {url} closed the connection"
    return UpstreamError(message, code="hub_lost", retryable=True)


def not_a_hub(url: str, why: str) -> UpstreamError:
    """The error for a server that is not a hub."""
    return UpstreamError(f"the server at {url} is not a hub: {why}", code="hub_malformed")
