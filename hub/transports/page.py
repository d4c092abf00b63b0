"""`/`: the page, and the files it is made of."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web

__all__ = ["Page"]

FILES: Final = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}

# Only what the page itself is made of; what a model writes is text, never markup.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """The page in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [web.get(f"/{path}", self._serve) for path in FILES]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name, content_type = FILES[request.path.rsplit("/", 1)[-1]]
        try:
            held = await asyncio.to_thread((self._folder / name).read_bytes)
        except OSError:
            raise web.HTTPNotFound from None
        tag = hashlib.sha256(held).hexdigest()
        # A whole small file, because aiohttp's FileResponse forgets to close its own when the
        # client has left before the head is sent.
        response = web.Response(
            body=held,
            headers={
                "Content-Type": f"{content_type}; charset=utf-8",
                "Cache-Control": "no-cache",
                "Content-Security-Policy": POLICY,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )
        response.etag = tag
        if any(known.value == tag for known in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        return response
