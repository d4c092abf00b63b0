"""`/docs`: what the hub speaks and how to use it, for people and for programs.

================================  ====================================================
``/docs``                         every route, command, frame, event and error, readable
``/docs/recipes``                 a recipe for each client and each provider
``/docs/openapi.json``            the routes over HTTP, as OpenAPI 3.1
``/docs/asyncapi.json``           the WebSocket, as AsyncAPI 3
================================  ====================================================

The pages are made here once, when somebody first asks. They run nothing and load nothing but
their own style.
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


class _Made(NamedTuple):
    content_type: str
    body: bytes
    tag: str


def _readable() -> str:
    return page.page(json.loads(files.openapi()), json.loads(files.asyncapi()))


def _recipes() -> str:
    return recipes.page(files.recipes().read_text("utf-8"))


_DOCUMENTS: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "/docs": ("text/html", _readable),
    "/docs/recipes": ("text/html", _recipes),
    "/docs/openapi.json": ("application/json", files.openapi),
    "/docs/asyncapi.json": ("application/json", files.asyncapi),
    "/docs/docs.css": ("text/css", lambda: files.STYLE.read_text("utf-8")),
}


class Documents:
    """The documents of this version of the hub."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [web.get(path, partial(self._show, path)) for path in _DOCUMENTS]

    async def _show(self, name: str, request: web.Request) -> web.Response:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = await asyncio.to_thread(_make, name)
        response = web.Response(body=made.body, headers={"Content-Type": made.content_type})
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.etag = ETag(made.tag, is_weak=True)
        if any(known.value in ("*", made.tag) for known in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        else:
            response.enable_compression()
        return response


def _make(name: str) -> _Made:
    kind, make = _DOCUMENTS[name]
    body = make().encode()
    return _Made(f"{kind}; charset=utf-8", body, hashlib.sha256(body).hexdigest()[:32])
