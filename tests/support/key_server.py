"""An issuer of tokens on loopback: keys of each kind, their set, and what can go wrong with it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final

import aiohttp
import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

__all__ = ["AUDIENCE", "ISSUER", "Handler", "KeyServer", "Signer", "claims", "signers"]

ISSUER: Final = "https://id.example.org"
AUDIENCE: Final = "streamhub"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a token that holds; a value of ``...`` leaves one out."""
    now = int(time.time())
    held = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 300, "iat": now, **more}
    return {name: value for name, value in held.items() if value is not ...}


class Signer:
    """A private key, its algorithm, and the name that its set has for it."""

    def __init__(self, algorithm: str, key: PrivateKey, kid: str) -> None:
        self.algorithm = algorithm
        self.key = key
        self.kid = kid

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as a key set has it."""
        public = self.key.public_key()
        kind: Any = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}[self.algorithm[0]]
        if isinstance(public, ed25519.Ed25519PublicKey):
            kind = OKPAlgorithm
        jwk: dict[str, Any] = kind.to_jwk(public, as_dict=True)
        return {**jwk, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    @property
    def pem(self) -> bytes:
        """The public key as a file."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, held: dict[str, Any] | None = None, **headers: Any) -> str:
        """A token; a header of ``...`` is left out."""
        given = {"kid": self.kid, **headers}
        return jwt.encode(
            claims() if held is None else held,
            self.key,
            self.algorithm,
            {name: value for name, value in given.items() if value is not ...},
        )


@cache
def signers(*, kid: str = "") -> Mapping[str, Signer]:
    """A key of each kind, by its algorithm; the same at each call, for RSA's take long to make."""
    one = rsa.generate_private_key(65537, 2048)
    keys: dict[str, PrivateKey] = {
        "RS256": one,
        "RS384": one,
        "RS512": one,
        "PS256": one,
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "ES512": ec.generate_private_key(ec.SECP521R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    return {name: Signer(name, key, f"{kid}{name}") for name, key in keys.items()}


class KeyServer:
    """Serves a key set at ``/jwks.json``, and counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.answer: Handler | None = None
        """What it does instead, if anything."""
        self._server: TestServer | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        app = web.Application()
        self._route(app.router)
        self._server = TestServer(app)
        await self._server.start_server()
        self._session = aiohttp.ClientSession()

    def _route(self, router: web.UrlDispatcher) -> None:
        router.add_get("/jwks.json", self._handle)
        router.add_get("/elsewhere", self._keys)

    @property
    def url(self) -> str:
        """Where the key set is."""
        return self.at("/jwks.json")

    def at(self, path: str) -> str:
        """A URL of this server."""
        assert self._server is not None
        return str(self._server.make_url(path))

    def client(self) -> aiohttp.ClientSession:
        """The client that a key set is fetched with."""
        assert self._session is not None
        return self._session

    async def stop(self) -> None:
        """Be unreachable from now on."""
        assert self._server is not None
        await self._server.close()

    async def close(self) -> None:
        await self.stop()
        await self.client().close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return await (self._keys if self.answer is None else self.answer)(request)

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps({"keys": self.keys}), content_type="application/json")

    async def compressed(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(text=json.dumps({"keys": self.keys}))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    # What can go wrong

    async def fail(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="\n[error] a line of its own")

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def no_json(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def huge(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps({"keys": self.keys, "more": "x" * 300_000}))

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    async def bomb(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b" " * 50_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async def hang(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async def break_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"keys"')
        assert request.transport is not None
        request.transport.abort()
        return response
