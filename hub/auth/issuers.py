"""JSON Web Tokens (RFC 7519, RFC 8725): who an issuer says that somebody is.

A token is checked with the keys and the algorithms of *its* issuer alone, found by ``iss``: keys and
algorithms of different issuers are never pooled, and the header's ``jku``, ``x5u``, ``jwk`` and
``alg: none`` lead nowhere. ``iss``, ``aud``, ``exp`` and the user's claim must be there; a token may
not live longer than ``max_seconds`` from now.

The claim ``streams`` says what a token is for::

    "streams": [{"match": "chat/7", "can": ["read"]}]

(or ``authorization_details``, RFC 9396, with ``"type": "streamhub"``). It narrows what its user may
do; only where the issuer ``may_grant`` does it add to that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt
from jwt.types import Options

from hub.domain.grant_rules import Identity, Rules, filled
from hub.domain.errors import Unauthorized
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import Principal

__all__ = ["Issuer", "Issuers", "KeySource", "Secrets"]

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")
"""What keys of a key set may sign with, unless the configuration says less."""

TOKEN_BYTES: Final = 16_384
STREAMS: Final = 100
"""The longest token, and the most streams that one can name."""


class KeySource(Protocol):
    """The keys of one issuer."""

    async def keys(self, kid: str | None, algorithm: str) -> list[Any]:
        """The keys that a token with this header can be signed with; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets shared with an issuer (HMAC), or public keys from a file.

    ``previous`` is a secret that holds until ``previous_until`` (seconds since 1970).
    """

    current: Any
    previous: Any = None
    previous_until: float = 0.0

    async def keys(self, kid: str | None, algorithm: str) -> list[Any]:
        del kid, algorithm  # one key signs everything
        if self.previous is not None and time.time() < self.previous_until:
            return [self.current, self.previous]
        return [self.current]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed.

    ``name`` is what the configuration calls it, ``issuer`` what its tokens say in ``iss``.
    """

    name: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    source: KeySource
    leeway: float = 30.0
    max_seconds: float = 86_400.0
    user_claim: str = "sub"
    tenant: str | None = None
    tenant_claim: str | None = None
    may_grant: bool = False

    async def principal(self, token: str, rules: Rules) -> Principal:
        """Who presents a token that says it is of this issuer.

        Raises:
            Unauthorized: it cannot be believed; see `Issuers.principal`.
        """
        header = _header(token)
        algorithm = header.get("alg")
        if algorithm not in self.algorithms:
            raise _invalid(f"tokens of {self.issuer} are not signed with this algorithm")
        kid = header.get("kid")
        keys = await self.source.keys(kid if isinstance(kid, str) else None, str(algorithm))
        claims = self._verified(token, keys, str(algorithm))
        return self._believed(claims, rules)

    def _verified(self, token: str, keys: list[Any], algorithm: str) -> Mapping[str, Any]:
        options: Options = {
            "require": ["iss", "aud", "exp", self.user_claim],
            "enforce_minimum_key_length": True,
        }
        for key in keys:
            try:
                claims: Mapping[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm],
                    audience=self.audience,
                    issuer=self.issuer,
                    leeway=self.leeway,
                    options=options,
                )
            except jwt.InvalidSignatureError:
                continue  # the next key, if there is one
            except jwt.ExpiredSignatureError:
                raise Unauthorized(
                    "this token has expired: get a new one", code="token_expired"
                ) from None
            except jwt.PyJWTError as error:
                raise _invalid(f"this token is not valid: {error}") from None
            except (ValueError, TypeError):  # a key that is none for this algorithm
                continue
            return claims
        raise _invalid("this token is not signed by its issuer")

    def _believed(self, claims: Mapping[str, Any], rules: Rules) -> Principal:
        expires = float(claims["exp"])
        if expires > time.time() + self.max_seconds + self.leeway:
            raise _invalid(f"this token lives longer than {self.max_seconds:g} s")
        user = claims[self.user_claim]
        if not isinstance(user, str) or not user:
            raise _invalid(f'the claim "{self.user_claim}" of this token is no text')
        tenant = self.tenant
        if self.tenant_claim is not None:
            named = claims.get(self.tenant_claim)
            tenant = named if isinstance(named, str) else tenant
        one = Identity(user, tenant, claims=claims)
        granted, claimed = rules.grants(one), _streams(claims)
        within = None if claimed is None else filled(claimed, one)
        if within is not None and self.may_grant:
            granted = (*granted, *within)
        jti = claims.get("jti")
        return Principal(
            user,
            tenant,
            grants=granted,
            within=within,
            expires=expires,
            credential=f"{self.name}:{jti}" if isinstance(jti, str) else self.name,
        )


class Issuers:
    """All issuers whose tokens are believed, by what their tokens call them."""

    def __init__(self, issuers: tuple[Issuer, ...] = ()) -> None:
        self._issuers = {one.issuer: one for one in issuers}

    async def principal(self, token: str, rules: Rules) -> Principal:
        """Who presents a token.

        Raises:
            Unauthorized: ``invalid_token``: it is none, of nobody here, or does not hold;
                ``token_expired``: it did.
        """
        if len(token) > TOKEN_BYTES:
            raise _invalid(f"a token has at most {TOKEN_BYTES} characters")
        try:
            claimed = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _invalid("this is neither a key nor a token of this hub") from None
        named = claimed.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise _invalid("this hub does not know the issuer of this token")
        return await issuer.principal(token, rules)


def _invalid(said: str) -> Unauthorized:
    return Unauthorized(said, code="invalid_token")


def _header(token: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise _invalid("this is no token") from None


def _streams(claims: Mapping[str, Any]) -> tuple[Grant, ...] | None:
    """What a token says that it is for; ``None`` if it says nothing of it.

    Raises:
        Unauthorized: it says that in a form which is unknown here, so what it is for is unknown.
    """
    claimed = claims.get("streams")
    if claimed is None and (details := claims.get("authorization_details")) is not None:
        if not isinstance(details, list):
            raise _invalid('"authorization_details" of this token is no list')
        claimed = [
            one for one in details if isinstance(one, dict) and one.get("type") == "streamhub"
        ]
    if claimed is None:
        return None
    if not isinstance(claimed, list) or len(claimed) > STREAMS:
        raise _invalid(f'"streams" of this token is no list of at most {STREAMS} streams')
    return tuple(_grant(one) for one in claimed)


def _grant(claimed: Any) -> Grant:
    match, can = (claimed.get("match"), claimed.get("can")) if isinstance(claimed, dict) else (0, 0)
    if not isinstance(match, str) or not isinstance(can, list):
        raise _invalid('"streams" of this token needs "match" and "can" for each stream')
    unknown = [one for one in can if one not in PERMISSIONS]
    if unknown:
        raise _invalid('"streams" of this token has a permission that this hub does not know')
    try:
        return Grant(frozenset(can), StreamPattern.parse(match))
    except ValueError as error:
        raise _invalid(f'"streams" of this token: {error}') from None
