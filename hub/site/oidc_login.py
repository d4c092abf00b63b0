"""Signing in with an OpenID provider: ``/login/oidc``, from where a browser leaves for the
provider, ``/login/oidc/callback``, where it comes back, and ``/login/oidc/logout``.

A browser that comes back must have the cookie with which it left (`hub.auth.oidc.pending_login`):
nobody can send somebody else back with a login of their own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from hub.auth.gate import Gate, address_of
from hub.auth.oidc import login_cookies
from hub.auth.oidc.pending_login import PendingLogin
from hub.auth.sign_in import SignIn
from hub.domain.errors import HubError, NotFound, Unauthorized
from hub.http.forwarded import host, scheme
from hub.http.local_paths import local_path
from hub.site.login import PRIVATE, Login
from hub.site.login_pages import page, page_answer_to

if TYPE_CHECKING:  # it loads cryptography, which most hubs have no use for
    from hub.auth.oidc.provider import Provider

__all__ = ["OIDCLogin"]


class OIDCLogin:
    """Signs people in to one hub, whose routes are under ``prefix``.

    ``public_url`` is where people reach the hub; without it, each request says so. Without
    authentication or a provider, nobody signs in like this.
    """

    def __init__(
        self,
        gate: Gate | None,
        sign_in: SignIn | None,
        login: Login,
        *,
        prefix: str = "",
        public_url: str | None = None,
    ) -> None:
        self._gate = gate
        self._sign_in = sign_in
        self._login = login
        self._prefix = prefix
        self._public_url = None if public_url is None else public_url.rstrip("/")

    def pages(self) -> list[web.RouteDef]:
        """The routes of pages, for an application's router."""
        return [
            web.get("/login/oidc", self._leave, allow_head=False),
            web.get("/login/oidc/callback", self._come_back, allow_head=False),
            web.get("/login/oidc/logout", self._sign_out, allow_head=False),
        ]

    async def _leave(self, request: web.Request) -> web.Response:
        sign_in, provider = self._check(request)
        sign_in.cookie.check_secure(request)
        login = PendingLogin.begin(local_path(request.query.get("next", "")), time.time())
        url = await provider.authorization_url(login, self._callback(request))
        response = _to(url)
        login_cookies.store(request, response, login)
        return response

    async def _come_back(self, request: web.Request) -> web.Response:
        sign_in, provider = self._check(request)
        sign_in.cookie.check_secure(request)
        answer = dict(request.query)
        login = login_cookies.find(request, answer.get("state", ""), time.time())
        if login is None or len(answer) < len(request.query):
            raise Unauthorized(
                "this browser has not begun this sign-in, or too long ago: sign in again",
                code="login_expired",
            )
        try:
            callback, address = self._callback(request), address_of(request)
            user = await provider.user(login, answer, callback, address)
            token, expires = await sign_in.sessions.begin(
                user.user, user.tenant, user.claims, by="oidc"
            )
            home = login.then or "../../"
            response = await self._login.signed_in(request, token, expires, home=home)
        except HubError as error:
            response = page_answer_to(error, request)
        login_cookies.remove(request, response, login)
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        _, provider = self._check(request)
        url = await provider.end_session_url(self._public(request) + "/")
        if url is None:
            return _to("../../login")
        # Not a redirect: this may be where a form led to, which must not lead to another origin.
        response = page("Signing out", "<p>You are being signed out at your provider.</p>")
        response.headers["Refresh"] = f"0; url={url}"
        return response

    def _check(self, request: web.Request) -> tuple[SignIn, Provider]:
        """Count a request that somebody makes before they have signed in.

        Raises:
            NotFound: nobody can sign in here.
            RateLimited: there were too many requests.
        """
        sign_in = self._sign_in
        if self._gate is None or sign_in is None or sign_in.provider is None:
            raise NotFound("nobody signs in to this hub with an identity provider")
        self._gate.count(self._gate.nobody(address_of(request)))
        return sign_in, sign_in.provider

    def _callback(self, request: web.Request) -> str:
        """Where the provider sends a browser back to; it must be registered there."""
        return self._public(request) + "/login/oidc/callback"

    def _public(self, request: web.Request) -> str:
        """The hub's root, as a browser reaches it, without a slash at the end."""
        if self._public_url is not None:
            return self._public_url
        return f"{scheme(request)}://{host(request)}{self._prefix}"


def _to(url: str) -> web.Response:
    # The address may be where a form or a page of another site led from.
    headers = {**PRIVATE, "Location": url, "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)
