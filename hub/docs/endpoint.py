"""`/docs`: documentation of the hub's interfaces, for people and for programs.

================================  ====================================================
``/docs``                         a page with every route, command, frame, event and error
``/docs/recipes``                 a recipe for each client and each provider
``/docs/openapi.json``            the HTTP routes, as OpenAPI 3.1
``/docs/asyncapi.json``           the WebSocket, as AsyncAPI 3
================================  ====================================================

Each document is generated once, at its first request. The pages run no scripts and load nothing but
their own style sheet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from aiohttp import ETag, web

from hub.docs import files, page, recipes

__all__ = ["Documents"]

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


_SOURCES: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "/docs": (
        "text/html",
        lambda: page.page(json.loads(files.openapi()), json.loads(files.asyncapi())),
    ),
    "/docs/recipes": ("text/html", lambda: recipes.page(files.recipes().read_text("utf-8"))),
    "/docs/openapi.json": ("application/json", files.openapi),
    "/docs/asyncapi.json": ("application/json", files.asyncapi),
    "/docs/docs.css": ("text/css", lambda: files.STYLE.read_text("utf-8")),
}


class _Document(NamedTuple):
    content_type: str
    body: bytes
    tag: str


class Documents:
    """The documents of this version of the hub."""

    def __init__(self) -> None:
        self._generated: dict[str, _Document] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [web.get(path, partial(self._show, path)) for path in _SOURCES]

    async def _show(self, path: str, request: web.Request) -> web.Response:
        document = self._generated.get(path)
        if document is None:
            document = self._generated[path] = await asyncio.to_thread(_generate, path)
        response = web.Response(
            body=document.body,
            headers={
                "Content-Type": document.content_type,
                "Cache-Control": "no-cache",
                "Vary": "Accept-Encoding",
                "Content-Security-Policy": POLICY,
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Opener-Policy": "same-origin",
            },
        )
        response.etag = ETag(document.tag, is_weak=True)
        if any(known.value in ("*", document.tag) for known in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        else:
            response.enable_compression()
        return response


def _generate(path: str) -> _Document:
    kind, generate = _SOURCES[path]
    body = generate().encode()
    return _Document(f"{kind}; charset=utf-8", body, hashlib.sha256(body).hexdigest()[:32])
