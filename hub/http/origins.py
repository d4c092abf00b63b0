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
from hub.http.forwarded import host, known_scheme

__all__ = ["Origins", "from_own_page"]

UNSUSPECTED: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` for the hub's own pages, and for addresses that a person typed."""

DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


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
        if _is_own(origin, known_scheme(request), host(request)):
            return
        raise Forbidden(
            f"pages of {origin[:200]} may not use this hub: to allow it, add it to server.origins",
            code="origin_not_allowed",
        )


def from_own_page(request: web.Request) -> bool:
    """Whether a request comes from the hub's own pages, was typed, or is not a browser's at all.

    Other origins do not count, whatever is configured. Nor do those of the same site: other ports
    of this machine, and other names below the same domain.
    """
    origin = request.headers.get("Origin")
    own = origin is None or _is_own(origin, known_scheme(request), host(request))
    return own and request.headers.get("Sec-Fetch-Site", "none") in UNSUSPECTED


def _is_own(origin: str, scheme: str | None, host: str) -> bool:
    """Whether an origin is the hub's own.

    A proxy in front may end TLS, so only a scheme that is known says something.
    """
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(parts.scheme, "")
    return (
        scheme in (None, parts.scheme)
        and parts.netloc.removesuffix(port) == host.lower().removesuffix(port) != ""
    )
