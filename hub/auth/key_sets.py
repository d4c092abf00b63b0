"""Key sets of issuers (JWKS, RFC 7517): fetched when they are needed, and kept.

- A set is used for ten minutes, then fetched again; if that fails, it goes on holding.
- An unknown ``kid`` fetches the set again, at most once a minute.
- There is one request at a time for each set, of bounded size and time, to the configured address
  alone: redirects are not followed. It belongs to no request of a client, so that nobody who
  leaves ends it for the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from hub.domain.errors import Unavailable

__all__ = ["KeySet", "KeySetClient", "PublicKey", "algorithms_of"]

log = logging.getLogger("hub.auth")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

SET_BYTES: Final = 262_144
SET_KEYS: Final = 50
"""Keys of a set that are used: a token without ``kid`` is checked with each that fits."""
FETCH_SECONDS: Final = 10.0
FRESH_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 5.0
"""Between two attempts to fetch a set: if there is one already, and if there is none yet."""
HELD_SECONDS: Final = 2.0
"""How long a token waits for a newer set if the one at hand has its key."""

_CURVES: Final[Mapping[str, str]] = {
    "secp256r1": "ES256",
    "secp384r1": "ES384",
    "secp521r1": "ES512",
}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


@dataclass(frozen=True, slots=True)
class _Key:
    id: str | None
    algorithms: frozenset[str]
    key: PublicKey


class KeySetClient:
    """The HTTP client of all key sets, made when it is first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def __call__(self) -> aiohttp.ClientSession:
        """The client.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the hub is shutting down")
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()


class KeySet:
    """The keys of an issuer, fetched from ``url``; ``seconds`` is how long that may take."""

    def __init__(
        self,
        url: str,
        client: Callable[[], aiohttp.ClientSession],
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._held: tuple[_Key, ...] | None = None
        self._fetched = float("-inf")
        self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def keys(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """The keys that a token with this header can be signed with; empty if there is none.

        Raises:
            Unavailable: ``key_set_unavailable``: the set could never be fetched.
        """
        found = self._of(kid, algorithm)
        if not found or self._clock() - self._fetched >= FRESH_SECONDS:
            await self._fetch(HELD_SECONDS if found else None)
            found = self._of(kid, algorithm)
        if self._held is None:
            raise Unavailable(
                "the keys of this token's issuer cannot be fetched just now: try again",
                code="key_set_unavailable",
            )
        return found

    async def close(self) -> None:
        """End a request that is still on its way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))

    def _of(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        return [
            one.key
            for one in self._held or ()
            if (kid is None or one.id == kid) and algorithm in one.algorithms
        ]

    async def _fetch(self, patience: float | None) -> None:
        """Wait for a newer set, if it is time to fetch one, for ``patience`` seconds at most."""
        if self._fetching is None:
            pause = FIRST_SECONDS if self._held is None else AGAIN_SECONDS
            if self._clock() - self._asked < pause:
                return
            self._asked = self._clock()
            self._fetching = asyncio.create_task(self._replace(), name="key set")
        await asyncio.wait((self._fetching,), timeout=patience)

    async def _replace(self) -> None:
        try:
            self._held = await self._read()
            self._fetched = self._clock()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            # A RuntimeError comes of a client that is closed: the hub is shutting down.
            log.warning("the key set %s cannot be fetched: %s", self._url, _shown(error))
        finally:
            self._fetching = None

    async def _read(self) -> tuple[_Key, ...]:
        async with self._client().get(
            self._url,
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            allow_redirects=False,
            headers={"Accept": "application/json"},
        ) as found:
            if found.status != 200:
                raise ValueError(f"the answer has the status {found.status}")
            body = bytearray()  # aiohttp unpacks what is compressed piece by piece
            async for piece in found.content.iter_chunked(65_536):
                body += piece
                if len(body) > SET_BYTES:
                    raise ValueError(f"the answer has more than {SET_BYTES} bytes")
        held = orjson.loads(bytes(body))
        keys = held.get("keys") if isinstance(held, dict) else None
        if not isinstance(keys, list):
            raise ValueError("the answer is not a key set")
        usable = [key for one in keys[:SET_KEYS] if (key := _key(one)) is not None]
        if not usable:
            raise ValueError("the answer has no key that tokens can be checked with")
        return tuple(usable)


def _key(jwk: Any) -> _Key | None:
    """A key of a set; ``None`` for one that is not for signatures, or not known here."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    uses = jwk.get("key_ops")
    if isinstance(uses, list) and "verify" not in uses:
        return None
    try:
        key = jwt.PyJWK(jwk).key
    except Exception:  # whatever is wrong with one key: the others hold
        return None
    # Neither a secret (RFC 7518 section 6.4) nor a private key belongs where all can read it.
    if not isinstance(key, PublicKey):
        return None
    signs, named, kid = algorithms_of(key), jwk.get("alg"), jwk.get("kid")
    signs = signs if named is None else signs & {named}
    return _Key(kid if isinstance(kid, str) else None, signs, key)


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """The algorithms that a key can be used with, as RFC 7518 and RFC 8037 name them."""
    if isinstance(key, RSAPublicKey):
        return _RSA
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset(name for curve, name in _CURVES.items() if curve == key.curve.name)
    return frozenset({"EdDSA"})


def _shown(error: Exception) -> str:
    """What went wrong, for the log, in one line."""
    said = str(error)
    return said if said and said.isprintable() else type(error).__name__
