"""Key sets of issuers (JWKS, RFC 7517): fetched when they are needed, and kept.

`hub.auth.fetched` says for how long. An unknown ``kid`` fetches the set again, at most once a
minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from hub.auth.fetched import FETCH_SECONDS, Fetched, MakeClient
from hub.domain.errors import Unavailable

__all__ = ["KeySet", "PublicKey", "algorithms_of"]

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

SET_KEYS: Final = 50
"""Keys of a set that are used: a token without ``kid`` is checked with each that fits."""
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


class KeySet:
    """The keys of an issuer, fetched from ``url``; ``seconds`` is how long that may take."""

    def __init__(
        self,
        url: str,
        client: MakeClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        self._set = Fetched("key set", url, _parsed, client, clock=clock, seconds=seconds)

    @property
    def url(self) -> str:
        """Where the set is."""
        return self._set.url

    async def keys(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """The keys that a token with this header can be signed with; empty if there is none.

        Raises:
            Unavailable: ``key_set_unavailable``: the set could never be fetched.
        """
        found = self._of(kid, algorithm)
        if not found or not self._set.fresh:
            await self._set.fetch(HELD_SECONDS if found else None)
            found = self._of(kid, algorithm)
        if self._set.held is None:
            raise Unavailable(
                "the keys of this token's issuer cannot be fetched just now: try again",
                code="key_set_unavailable",
            )
        return found

    async def close(self) -> None:
        """End a request that is still on its way."""
        await self._set.close()

    def _of(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        return [
            one.key
            for one in self._set.held or ()
            if (kid is None or one.id == kid) and algorithm in one.algorithms
        ]


def _parsed(body: bytes) -> tuple[_Key, ...]:
    held = orjson.loads(body)
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
    if not isinstance(named, str | None):
        return None
    signs = signs if named is None else signs & {named}
    return _Key(kid if isinstance(kid, str) else None, signs, key)


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """The algorithms that a key can be used with, as RFC 7518 and RFC 8037 name them."""
    if isinstance(key, RSAPublicKey):
        return _RSA
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset(name for curve, name in _CURVES.items() if curve == key.curve.name)
    return frozenset({"EdDSA"})
