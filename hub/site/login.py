"""Signing in and out with a browser: ``/login``, ``/login/SECRET``, ``/v1/logout``, ``/v1/me``.

To look at a sign-in link changes nothing, because mail programs and browsers fetch links on their
own; its button does. Whoever signs in gets a new session, and the one before ends: nobody can give
somebody else a session that they know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from hub.access.permissions import Permissions
from hub.auth.gate import Gate, address_of
from hub.auth.sign_in import SignIn
from hub.auth.trusted_header import HEADER
from hub.domain.errors import Forbidden, NotFound, Unauthorized
from hub.domain.principal import LOCAL, Principal
from hub.http.local_paths import local_path
from hub.http.origins import from_own_page
from hub.site.login_pages import begin_page, link_page

__all__ = ["PRIVATE", "SIGN_OUT_ELSEWHERE", "Login"]

SIGN_OUT_ELSEWHERE: Final = "login/oidc/logout"
"""Where to sign out at the provider, relative to the hub's root."""

PRIVATE: Final = {"Cache-Control": "no-store", "Vary": "Cookie"}


class Login:
    """Signs people in and out of one hub, with ``sign_in`` where they can.

    Without a ``gate`` there is no authentication; without ``sign_in`` it is the application's.
    """

    def __init__(self, gate: Gate | None, sign_in: SignIn | None, permissions: Permissions) -> None:
        self._gate = gate
        self._sign_in = sign_in
        self._permissions = permissions

    def pages(self) -> list[web.RouteDef]:
        """The routes of pages, for an application's router."""
        return [
            web.get("/login", self._offer),
            web.get("/login/{secret}", self._show),
            web.post("/login/{secret}", self._use),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The routes for programs, for an application's router."""
        return [web.get("/v1/me", self._me), web.post("/v1/logout", self._end)]

    async def _offer(self, request: web.Request) -> web.Response:
        by = await self._principal(request)
        methods = () if self._sign_in is None else self._sign_in.methods
        response = begin_page(methods, by.user, local_path(request.query.get("next", "")))
        self._forget(request, response, by)
        return response

    async def _show(self, request: web.Request) -> web.Response:
        sign_in = self._check(request)
        return link_page(await sign_in.links.user(request.match_info["secret"]))

    async def _use(self, request: web.Request) -> web.Response:
        sign_in = self._check(request)
        if not from_own_page(request):
            # Whatever origins are allowed: they could sign somebody in as somebody else.
            raise Forbidden("open the sign-in link itself", code="origin_not_allowed")
        sign_in.cookie.check_secure(request)
        token, expires = await sign_in.links.use(request.match_info["secret"])
        return await self.signed_in(request, token, expires, home="../")

    async def signed_in(
        self, request: web.Request, token: str, expires: float, *, home: str
    ) -> web.Response:
        """The response to somebody whose session has just begun, which leads to the page.

        ``home`` is the hub's root, relative to the request's path. The browser's session of before
        ends.

        Raises:
            Forbidden, StoreError: see `hub.auth.cookies.SessionCookie.set` and
                `hub.auth.sessions.Sessions.end`.
        """
        assert self._sign_in is not None  # noqa: S101 - else nothing begins a session
        cookie = self._sign_in.cookie
        await self._end_sessions(request)
        response = web.Response(status=303, headers={**PRIVATE, "Location": home})
        cookie.set(request, response, token, expires)
        return response

    async def _end(self, request: web.Request) -> web.Response:
        self._count(request)
        elsewhere = await self._signs_out_elsewhere(request)
        if "text/html" in request.headers.get("Accept", ""):
            home = f"../{SIGN_OUT_ELSEWHERE}" if elsewhere else "../login"
            response = web.Response(status=303, headers={**PRIVATE, "Location": home})
        elif elsewhere:
            response = web.json_response({"url": SIGN_OUT_ELSEWHERE}, headers=PRIVATE)
        else:
            response = web.Response(status=204, headers=PRIVATE)
        # Not Clear-Site-Data: it clears all of the origin, which other programs may share.
        if self._sign_in is not None and from_own_page(request):
            await self._end_sessions(request)
            self._sign_in.cookie.delete(request, response)
        return response

    async def _signs_out_elsewhere(self, request: web.Request) -> bool:
        """Whether who made a request signed in at a provider, and is to sign out there, too."""
        if self._sign_in is None or not self._sign_in.sign_out_at_provider:
            return False
        try:
            token = self._sign_in.cookie.token(request)
            return token is not None and (await self._sign_in.sessions.find(token)).by == "oidc"
        except Unauthorized:
            return False

    async def _end_sessions(self, request: web.Request) -> None:
        """End all sessions of a request's cookies, each but the first of which counts as a request.

        Raises:
            RateLimited: there were too many.
            StoreError: see `hub.auth.sessions.Sessions.end`.
        """
        assert self._sign_in is not None  # noqa: S101 - its callers have looked
        for place, token in enumerate(self._sign_in.cookie.tokens(request)):
            if place:
                self._count(request)
            await self._sign_in.sessions.end(token)

    async def _me(self, request: web.Request) -> web.Response:
        by = await self._principal(request)
        if by.ticket:
            # Whoever was given one is not to learn of whom, and by which key.
            raise Forbidden("a ticket is for one stream and nothing else", code="not_permitted")
        response = web.json_response(await self._about(request, by), headers=PRIVATE)
        self._forget(request, response, by)
        return response

    async def _about(self, request: web.Request, by: Principal) -> dict[str, Any]:
        methods = () if self._sign_in is None else self._sign_in.methods
        expires = None if by.expires is None else datetime.fromtimestamp(by.expires, UTC)
        return {
            "user": by.user,
            "tenant": by.tenant,
            "key": by.key,
            "signed_in": await self._how(request, by),
            "expires": None if expires is None else expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "allowed": bool(by.grants) and by.within != (),
            "folder": self._permissions.folder(by),
            "conversations": self._permissions.conversations(by),
            "methods": [{"kind": one.kind, "label": one.label, "url": one.href} for one in methods],
        }

    async def _how(self, request: web.Request, by: Principal) -> str | None:
        """How somebody has signed in; ``None`` if they have not."""
        if by.subject is None and by.credential is None:
            return None
        if self._sign_in is None:
            return "application"
        if by.credential == HEADER:
            return "header"
        if by.key is not None:
            return "key"
        token = self._sign_in.cookie.token(request)
        if token is None or "Authorization" in request.headers:
            return "token"
        return (await self._sign_in.sessions.find(token)).by

    async def _principal(self, request: web.Request) -> Principal:
        """Who makes a request; nobody if it has a session that has ended.

        Raises:
            HubError: as `hub.auth.gate.Gate.principal`, about any other credential.
        """
        if self._gate is None:
            return LOCAL
        try:
            return await self._gate.principal(request)
        except Unauthorized:
            if "Authorization" in request.headers:
                raise
            return self._gate.nobody(address_of(request))

    def _forget(self, request: web.Request, response: web.Response, by: Principal) -> None:
        """Let the browser forget a session that has ended."""
        if self._sign_in is not None and by.subject is None and from_own_page(request):
            self._sign_in.cookie.delete(request, response)

    def _check(self, request: web.Request) -> SignIn:
        """Count a request that somebody makes before they have signed in.

        Raises:
            NotFound: nobody can sign in here.
            RateLimited: there were too many requests.
        """
        if self._gate is None or self._sign_in is None:
            raise NotFound("nobody signs in to this hub with a link", code="login_link_invalid")
        self._count(request)
        return self._sign_in

    def _count(self, request: web.Request) -> None:
        """Count a request at its address.

        Raises:
            RateLimited: there were too many.
        """
        if self._gate is not None:
            self._gate.count(self._gate.nobody(address_of(request)))
