"""A hub spoken to over HTTP: requests and their replies, and nothing about what they mean.

::

    async with Wire("http://127.0.0.1:7000") as wire:
        status, reply = await wire.request("POST", "/v1/generations", json={"prompt": "Hi"})
        async with wire.stream("/v1/live/name", headers={"Accept": "text/plain"}) as stream:
            async for piece in stream: ...

A status that is not a success is a reply like any other; an error, always an
`UpstreamError`, is when there is none:

- ``hub_unreachable``: nothing answers at the URL;
- ``hub_lost``: the answer broke off;
- ``hub_malformed``: what answers there is no hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from hub.domain.errors import RequestError, UpstreamError

__all__ = ["Reply", "Transport"]

CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 60.0
"""How long a whole request may take. What takes longer is followed as a stream."""

REPLY_BYTES: Final = 64 * 1024 * 1024
"""The largest reply that is read as JSON."""


class Reply:
    """A reply that is read as it comes: ``status``, ``headers``, and its bytes in pieces."""

    def __init__(self, url: str, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._url = url
        self._pieces = response.content.iter_any()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece, cut anywhere.

        Raises:
            UpstreamError: ``hub_lost``.
        """
        try:
            return await anext(self._pieces)
        except aiohttp.ClientError:
            raise _lost(self._url) from None


class Transport:
    """One hub at one URL, while the context lasts.

    Raises:
        RequestError: the URL is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "streamhub", **(headers or {})}
        self._client: aiohttp.ClientSession | None = None
        if not _is_http(self._url):
            raise RequestError(f'"{url}" is not the URL of a hub, such as http://127.0.0.1:7000')

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            # A content type says something of a stream, also where there is no body.
            skip_auto_headers=("Content-Type",),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
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
        """Ask, and give the status and the decoded JSON, ``None`` for an empty reply.

        Raises:
            UpstreamError: there is no such reply; the code is one of the three above.
        """
        sent = dict(headers or {})
        if json is not None:
            sent["Content-Type"] = "application/json"
        body = None if json is None else orjson.dumps(json)
        status, _, held = await self.send(method, path, body, sent)
        try:
            return status, orjson.loads(held) if held else None
        except orjson.JSONDecodeError:
            if status >= 300:  # a proxy's, maybe: its status says more than its body
                return status, None
            raise self._not_a_hub("does not answer in JSON") from None

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask, and give the status, the headers and the body of the reply as it is.

        Raises:
            UpstreamError: as `request`.
        """
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._response(method, path, body, headers) as response,
            ):
                held = bytearray()
                async for piece in Reply(self._url, response):
                    held += piece
                    if len(held) > REPLY_BYTES:
                        raise self._not_a_hub("answers with more than can be read here")
                return response.status, response.headers, bytes(held)
        except TimeoutError:
            raise UpstreamError(
                f"the hub at {self._url} does not answer within {REQUEST_SECONDS:g} s",
                code="hub_unreachable",
                retryable=True,
            ) from None

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        """GET, and follow the reply for as long as it lasts; leaving closes the socket.

        Raises:
            UpstreamError: ``hub_unreachable``, ``hub_malformed``.
        """
        async with self._response("GET", path, None, headers or {}) as response:
            yield Reply(self._url, response)

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._client is None:
            raise RuntimeError("a hub is spoken to inside its context: async with Hub(url) as hub")
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
            raise self._not_a_hub("does not speak HTTP") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
            raise UpstreamError(
                f"no hub answers at {self._url}: start one with `streamhub serve`",
                code="hub_unreachable",
                retryable=True,
            ) from None
        except aiohttp.ClientError:
            raise _lost(self._url) from None
        try:
            yield response
        finally:
            response.close()

    def _not_a_hub(self, said: str) -> UpstreamError:
        said = f"what is at {self._url} is not a hub: it {said}"
        return UpstreamError(said, code="hub_malformed")


def _is_http(url: str) -> bool:
    try:
        parsed = URL(url)
    except ValueError:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _lost(url: str) -> UpstreamError:
    said = f"the hub at {url} closed the connection in mid-answer"
    return UpstreamError(said, code="hub_lost", retryable=True)
