"""The cookie with a browser's session.

It is called ``__Host-streamhub``: browsers take it over HTTPS only, and from this very host, so
that no other name below the same domain can put one in its place (RFC 6265bis section 4.1.3.2). On
this machine there is no HTTPS, and it is called ``streamhub``. A hub under a prefix of an
application has a cookie of its own, although browsers send it to all of the application.

Browsers add a cookie to whatever request is made to the hub. So it only counts in those that come
from the hub's own pages; all others are treated as if they had none.
"""

from __future__ import annotations

import re
import time
from typing import Final

from aiohttp import web

from hub.auth.sessions import session_ended
from hub.domain.addresses import is_local
from hub.domain.errors import Forbidden, Unauthorized
from hub.http.forwarded import host, known_scheme
from hub.http.origins import from_own_page

__all__ = ["SECURE", "SessionCookie", "cookies", "is_secure", "keep_private"]

NAME: Final = "streamhub"
SECURE: Final = "__Host-"
"""The prefix of cookies that are only for this host, and only over HTTPS."""

_TOKEN: Final = re.compile(r"ss_[A-Za-z0-9_-]+", re.ASCII)
_HOST: Final = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::[0-9]*)?")
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9]+", re.ASCII)


class SessionCookie:
    """The cookie of a hub whose routes are under ``prefix``."""

    def __init__(self, prefix: str = "") -> None:
        self._plain = NAME + _NOT_A_NAME.sub("-", prefix.rstrip("/"))
        self._secure = SECURE + self._plain

    def token(self, request: web.Request) -> str | None:
        """The token of a session in a request's cookie; ``None`` if it has none that counts.

        Raises:
            Unauthorized: ``session_ended``: it cannot be a session's, or there are several.
        """
        held = self._held(request)
        if not held or not from_own_page(request):
            return None
        if len(set(held)) > 1 or _TOKEN.fullmatch(held[0]) is None:
            raise session_ended()
        return held[0]

    def tokens(self, request: web.Request) -> set[str]:
        """All that may be tokens of sessions in a request, also if there are several.

        Whoever signs out means all of them: another program of this machine may have added one.
        """
        return {one for one in self._held(request) if _TOKEN.fullmatch(one)}

    def set(
        self, request: web.Request, response: web.StreamResponse, token: str, expires: float
    ) -> None:
        """Give a browser the token of a session, which expires in seconds since 1970.

        Raises:
            Forbidden: ``https_required``; see `check_secure`.
        """
        self.check_secure(request)
        secure = is_secure(request)
        response.set_cookie(
            self._secure if secure else self._plain,
            token,
            max_age=max(0, int(expires - time.time())),
            path="/",
            secure=secure,
            httponly=True,
            samesite="Lax",
        )

    def delete(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a browser forget its session."""
        for name in (self._secure, self._plain):
            if _values(request, name):
                secure = name == self._secure
                response.del_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")

    def delete_ended(
        self, error: Exception, request: web.Request, response: web.StreamResponse
    ) -> None:
        """Let a browser forget its session if a request was refused because that has ended."""
        if isinstance(error, Unauthorized) and error.code == "session_ended":
            self.delete(request, response)

    def check_secure(self, request: web.Request) -> None:
        """Check that a browser would keep the cookie.

        Raises:
            Forbidden: ``https_required``: its page came over HTTP, and not from this machine.
        """
        if _scheme(request) == "http" and not _is_here(request):
            raise Forbidden(
                "signing in needs HTTPS, except on the hub's own machine: open its https address",
                code="https_required",
            )

    def _held(self, request: web.Request) -> list[str]:
        # Another scheme is another origin, but not to browsers that do not say the site.
        secure = [] if _scheme(request) == "http" else _values(request, self._secure)
        return secure or (_values(request, self._plain) if _is_here(request) else [])


def keep_private(request: web.Request, response: web.StreamResponse) -> None:
    """Let no cache give to somebody else what a cookie has opened (RFC 9111 section 5.2.2.7).

    For requests with ``Authorization`` that is so by itself (RFC 9111 section 3.5). A URL with a
    ticket is kept nowhere, and is not sent on as a referrer.
    """
    if "ticket" in request.query:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return
    held = response.headers.get("Cache-Control", "no-cache")
    if "no-store" not in held:
        response.headers["Cache-Control"] = held if "private" in held else f"private, {held}"
        vary = response.headers.get("Vary")
        response.headers["Vary"] = "Cookie" if vary is None else f"{vary}, Cookie"


def cookies(request: web.Request) -> list[tuple[str, str]]:
    """All cookies; `aiohttp.web.Request.cookies` has only one of several with the same name."""
    pairs = (
        pair.partition("=")
        for line in request.headers.getall("Cookie", [])
        for pair in line.split(";")
    )
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def is_secure(request: web.Request) -> bool:
    """Whether the cookies of a browser are to be those that it takes over HTTPS only."""
    return not _is_here(request) or _scheme(request) == "https"


def _values(request: web.Request, name: str) -> list[str]:
    return [value for key, value in cookies(request) if key == name]


def _scheme(request: web.Request) -> str | None:
    """The scheme of the hub's page that makes a request; ``None`` if that is not known."""
    origin = request.headers.get("Origin")
    if origin is not None and "://" in origin:
        return origin.partition(":")[0].lower()
    return known_scheme(request)


def _is_here(request: web.Request) -> bool:
    """Whether a browser calls the hub by a name of its own machine."""
    found = _HOST.fullmatch(host(request))
    return found is not None and is_local(found[1].strip("[]"))
