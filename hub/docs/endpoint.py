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
import json
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from hub.docs import files
from hub.http.memory_files import MemoryFile

__all__ = ["Documents"]

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def _page() -> str:
    # It imports what describes every field, which is a sixth of a hub's start.
    from hub.docs import page

    return page.page(json.loads(files.openapi()), json.loads(files.asyncapi()))


def _recipes() -> str:
    from hub.docs import recipes  # it brings a parser of Markdown

    return recipes.page(files.recipes().read_text("utf-8"))


_SOURCES: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "/docs": ("text/html", _page),
    "/docs/recipes": ("text/html", _recipes),
    "/docs/openapi.json": ("application/json", files.openapi),
    "/docs/asyncapi.json": ("application/json", files.asyncapi),
    "/docs/docs.css": ("text/css", lambda: files.STYLE.read_text("utf-8")),
}


class Documents:
    """The documents of this version of the hub."""

    def __init__(self) -> None:
        self._generated: dict[str, MemoryFile] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [web.get(path, partial(self._show, path)) for path in _SOURCES]

    async def _show(self, path: str, request: web.Request) -> web.Response:
        document = self._generated.get(path)
        if document is None:
            document = self._generated[path] = await asyncio.to_thread(_generate, path)
        response = document.response(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response


def _generate(path: str) -> MemoryFile:
    kind, generate = _SOURCES[path]
    return MemoryFile.of(kind, generate().encode())
