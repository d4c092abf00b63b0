"""Check which web pages may use the hub, by ``Origin`` (RFC 6454, RFC 6455 section 10.2).

CORS prevents pages of other origins from *reading* responses, but not from opening a WebSocket or
sending a simple POST. So every WebSocket and every request that changes something or may cost money
is checked. A GET that a page causes with an image or a link has no ``Origin``, but browsers send
``Sec-Fetch-Site`` with it (W3C Fetch Metadata, only to addresses that they trust). A request with
neither does not come from a web page and is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hub.domain.errors import Forbidden

__all__ = ["Origins"]

UNSUSPECTED: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` for the hub's own pages, and for addresses that a person typed."""


class Origins:
    """The hub's own origin and the configured ones; ``*`` allows any."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def check(self, request: web.Request) -> None:
        """Check a request.

        Raises:
            Forbidden: it comes from a page of another origin.
        """
        if "*" in self._allowed:
            return
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site", "none") in UNSUSPECTED:
                return
            message = "pages of other origins may only send this request with fetch()"
            raise Forbidden(message, code="origin_not_allowed")
        if origin.lower() in self._allowed:
            return
        # A proxy in front may terminate TLS, so the scheme of this request means nothing.
        if _host(origin) == request.headers.get("Host", "").lower() != "":
            return
        raise Forbidden(
            f"pages of {origin[:200]} may not use this hub: to allow it, add it to server.origins",
            code="origin_not_allowed",
        )


def _host(origin: str) -> str:
    """The host and port of an origin; empty if it is not one, such as ``null``."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
