"""An OpenID provider on loopback that says whatever a test wants it to say."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.support.key_server import Handler, KeyServer, Signer, claims

__all__ = ["CLIENT", "ForgedProvider"]

CLIENT = "streamhub"


class ForgedProvider(KeyServer):
    """Its documents and answers can be changed by key; a value of ``...`` leaves one out."""

    def __init__(self, signer: Signer) -> None:
        super().__init__(signer.jwk)
        self.signer = signer
        self.nonce = ""
        """Of the login that is under way."""
        self.document: dict[str, Any] = {}
        """Changes of what it says of itself."""
        self.claims: dict[str, Any] = {}
        """Changes of the claims of its tokens."""
        self.id_token: str | None = None
        """The whole token, if it is not to be made of claims."""
        self.tokens: dict[str, Any] = {}
        """Changes of what it gives for a code."""
        self.status = 200
        self.user_info: dict[str, Any] = {"sub": "ann"}
        self.faults: dict[str, Handler] = {}
        """What it does instead, by the path."""
        self.codes: list[dict[str, str]] = []
        """The forms with which codes were redeemed, with the headers' authorization."""

    @property
    def issuer(self) -> str:
        return self.at("/")[:-1]

    def held(self, **more: Any) -> dict[str, Any]:
        """The claims of its next token."""
        own = {"iss": self.issuer, "aud": CLIENT, "nonce": self.nonce}
        return claims(**{**own, **self.claims, **more})

    def _route(self, router: web.UrlDispatcher) -> None:
        super()._route(router)
        router.add_get("/.well-known/openid-configuration", self._document)
        router.add_post("/token", self._token)
        router.add_get("/me", self._me)

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return await self._say(
            request,
            {
                "issuer": self.issuer,
                "authorization_endpoint": self.at("/auth"),
                "token_endpoint": self.at("/token"),
                "jwks_uri": self.url,
                "userinfo_endpoint": self.at("/me"),
                **self.document,
            },
        )

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.codes.append({**form, "authorization": request.headers.get("Authorization", "")})
        token = self.id_token if self.id_token is not None else self.signer.sign(self.held())
        own = {"access_token": "for-me", "token_type": "Bearer", "id_token": token}
        return await self._say(request, {**own, **self.tokens}, self.status)

    async def _me(self, request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Authorization") == "Bearer for-me"
        return await self._say(request, self.user_info, 200 if known else 401)

    async def _say(
        self, request: web.Request, held: dict[str, Any], status: int = 200
    ) -> web.StreamResponse:
        if (fault := self.faults.get(request.path)) is not None:
            return await fault(request)
        text = json.dumps({name: value for name, value in held.items() if value is not ...})
        return web.Response(text=text, status=status, content_type="application/json")
