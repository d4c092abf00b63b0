"""The cookies of logins that are under way in a browser: each tab can have its own.

As a session's (`hub.auth.cookies`), they are for this very host and over HTTPS only, except on this
machine. They are sent when the provider sends the browser back, but not with what other pages load
from the hub.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hub.auth.cookies import SECURE, cookies, is_secure
from hub.auth.oidc.pending_login import SECONDS, PendingLogin, tag

__all__ = ["find", "remove", "store"]

NAME: Final = "streamhub-login-"
MOST: Final = 5
"""Logins that a browser may have begun; the oldest is forgotten for another one."""


def store(request: web.Request, response: web.StreamResponse, login: PendingLogin) -> None:
    """Give a browser the login that it begins."""
    name = _prefix(request)
    begun = [one for one in cookies(request) if one[0].startswith(name)]
    for old, _ in sorted(begun, key=_began)[: max(0, len(begun) - MOST + 1)]:
        _delete(request, response, old)
    response.set_cookie(
        f"{name}{tag(login.state)}",
        login.cookie,
        max_age=SECONDS,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="Lax",
    )


def find(request: web.Request, state: str, now: float) -> PendingLogin | None:
    """The login with this state that the browser has begun, if it has, and not too long ago."""
    name = f"{_prefix(request)}{tag(state)}"
    held = [value for key, value in cookies(request) if key == name]
    return PendingLogin.find(held[0], state, now) if len(held) == 1 else None


def remove(request: web.Request, response: web.StreamResponse, login: PendingLogin) -> None:
    """Let a browser forget a login that is over."""
    _delete(request, response, f"{_prefix(request)}{tag(login.state)}")


def _prefix(request: web.Request) -> str:
    return f"{SECURE if is_secure(request) else ''}{NAME}"


def _delete(request: web.Request, response: web.StreamResponse, name: str) -> None:
    secure = is_secure(request)
    response.del_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")


def _began(cookie: tuple[str, str]) -> str:
    """When the login of a cookie has begun, in digits that sort."""
    return cookie[1].partition(".")[2].partition(".")[0].zfill(12)
