"""Which web pages may speak to the hub: the `Origin` check (RFC 6454, RFC 6455 section 10.2).

CORS stops a foreign page from *reading* answers, but not from opening a WebSocket, nor from
sending a simple POST. So whatever changes something, and every WebSocket, checks Origin. A
request without one does not come from a web page and passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web

from hub.errors import Forbidden

__all__ = ["Origins"]


class Origins:
    """The page's own origin, and those that the configuration names; ``*`` allows any."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def check(self, request: web.Request) -> None:
        """Let a request pass or not.

        Raises:
            Forbidden: it comes from a page of another origin.
        """
        origin = request.headers.get("Origin")
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
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
