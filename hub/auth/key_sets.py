"""Key sets of issuers (JWKS, RFC 7517): fetched when they are needed, and kept.

- An unknown ``kid`` asks for the set again, once a minute at most.
- A set is used for ten minutes, then asked for again; if that fails, it goes on holding.
- One request at a time for each set, of bounded size and time, to the configured address alone:
  redirects are not followed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import jwt
import orjson

from hub.domain.errors import Unavailable

__all__ = ["KeySet"]

log = logging.getLogger("hub.auth")

SET_BYTES: Final = 262_144
FETCH_SECONDS: Final = 10.0
FRESH_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 60.0


class KeySet:
    """The keys of an issuer, at an address of its."""

    def __init__(
        self,
        url: str,
        client: Callable[[], aiohttp.ClientSession],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._held: jwt.PyJWKSet | None = None
        self._fetched = -FRESH_SECONDS
        self._asked = -AGAIN_SECONDS
        self._lock = asyncio.Lock()

    async def keys(self, kid: str | None, algorithm: str) -> list[Any]:
        """The keys that a token with this header can be signed with.

        Raises:
            Unavailable: ``key_set_unavailable``: the set could never be had.
        """
        if self._clock() - self._fetched >= FRESH_SECONDS or not self._of(kid, algorithm):
            await self._fetch()
        if self._held is None:
            raise Unavailable(
                "the keys of this token's issuer cannot be had just now: try again",
                code="key_set_unavailable",
            )
        return self._of(kid, algorithm)

    def _of(self, kid: str | None, algorithm: str) -> list[Any]:
        held = [] if self._held is None else self._held.keys
        return [
            one.key
            for one in held
            if (kid is None or one.key_id == kid)
            and one.public_key_use in (None, "sig")
            and _signs(one, algorithm)
        ]

    async def _fetch(self) -> None:
        before = self._fetched
        async with self._lock:
            if self._fetched != before or self._clock() - self._asked < AGAIN_SECONDS:
                return  # somebody else has just asked
            self._asked = self._clock()
            try:
                self._held = await self._read()
            except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
                log.warning("the key set %s cannot be had: %s", self._url, _shown(error))
            else:
                self._fetched = self._clock()

    async def _read(self) -> jwt.PyJWKSet:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with self._client().get(self._url, timeout=timeout, allow_redirects=False) as found:
            if found.status != 200:
                raise ValueError(f"it was answered with {found.status}")
            body = b""
            async for piece in found.content.iter_chunked(65_536):
                body += piece
                if len(body) > SET_BYTES:
                    raise ValueError(f"it has more than {SET_BYTES} bytes")
        held = orjson.loads(body)
        if not isinstance(held, dict):
            raise ValueError("it is no key set")
        return jwt.PyJWKSet.from_dict(held)


def _signs(key: jwt.PyJWK, algorithm: str) -> bool:
    """Whether a key is one for an algorithm: of the named algorithm, or else of its kind."""
    named = key._jwk_data.get("alg")
    if named is not None:
        return bool(named == algorithm)
    kinds = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}
    return algorithm.startswith(kinds.get(key.key_type or "", ("-",)))


def _shown(error: Exception) -> str:
    return str(error) or type(error).__name__
