"""A proxy before several hubs that sends each request to the next of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from itertools import cycle

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web
from aiohttp.test_utils import TestServer
from yarl import URL

__all__ = ["alternating"]

HOP_BY_HOP = {"connection", "content-encoding", "keep-alive", "transfer-encoding"}


@asynccontextmanager
async def alternating(urls: Sequence[URL]) -> AsyncIterator[URL]:
    """The URL of a proxy for the hubs at these; what they send is passed on piece by piece."""
    hubs = cycle(urls)

    async def handle(request: web.Request) -> web.StreamResponse:
        target = URL(f"{str(next(hubs)).rstrip('/')}{request.raw_path}", encoded=True)
        headers = request.headers.copy()
        headers.popall("Transfer-Encoding", None)
        headers.popall("Content-Length", None)
        body = BytesIO(await request.read()) if request.can_read_body else None
        async with session.request(
            request.method, target, headers=headers, data=body, allow_redirects=False
        ) as found:
            response = web.StreamResponse(status=found.status, reason=found.reason)
            for name, value in found.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            with suppress(ConnectionError):  # the client may leave when it has read enough
                async for piece in found.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
            return response

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handle)
    async with (
        ClientSession(
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
            skip_auto_headers=["Content-Type", "User-Agent", "Accept", "Accept-Encoding"],
        ) as session,
        TestServer(app) as server,
    ):
        yield server.make_url("/")
