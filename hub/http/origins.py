"""Which web pages may speak to the hub: the `Origin` check (RFC 6454, RFC 6455 section 10.2).

CORS stops a foreign page from *reading* answers, but not from opening a WebSocket, nor from
sending a simple POST. So whatever changes something or may have its price, and every WebSocket,
checks Origin. A GET that a page causes by an image or a link comes without one, but says in
`Sec-Fetch-Site` where it comes from (W3C Fetch Metadata; only browsers send it, and only to
addresses that they trust). A request with neither does not come from a web page and passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hub.domain.errors import Forbidden

__all__ = ["Origins"]

UNSUSPECTED: Final = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of the hub's own pages, and of what somebody typed."""


class Origins:
    """The page's own origin, and those that the configuration names; ``*`` allows any."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def check(self, request: web.Request) -> None:
        """Let a request pass or not.

        Raises:
            Forbidden: it comes from a page of another origin.
        """
        if "*" in self._allowed:
            return
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site", "none") in UNSUSPECTED:
                return
            said = "pages of other origins may not cause this: they would have to use fetch()"
            raise Forbidden(said, code="origin_not_allowed")
        if origin.lower() in self._allowed:
            return
        # A proxy in front may speak TLS, so the scheme of this request says nothing.
        if _host(origin) == request.headers.get("Host", "").lower() != "":
            return
        raise Forbidden(
            f"pages of {origin[:200]} may not use this hub: name it in server.origins",
            code="origin_not_allowed",
        )


def _host(origin: str) -> str:
    """The host and port of an origin; nothing for what is none, such as ``null``."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
