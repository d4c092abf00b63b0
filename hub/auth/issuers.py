"""JSON Web Tokens (RFC 7519, RFC 8725): who an issuer says that somebody is.

A token is checked with the keys and the algorithms of *its* issuer alone, found by ``iss``: keys
and algorithms of different issuers are never pooled, and the header's ``jku``, ``x5u``, ``jwk``
and ``alg: none`` lead nowhere. ``iss``, ``aud``, ``exp`` and the user's claim must be there; a
token may not live longer than ``max_seconds`` from now.

The claim ``streams`` says what a token is for::

    "streams": [{"match": "chat/7", "can": ["read"]}]

(or ``authorization_details``, RFC 9396, with ``"type": "streamhub"``). It narrows what its user may
do; only where the issuer ``may_grant`` does it add to that. ``upstreams``, ``models`` and
``max_tokens`` are as in the configuration's grants. What is not known here may be meant to narrow
a token further, so a token that has it is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

from hub.auth.key_sets import PublicKey, algorithms_of
from hub.domain.errors import ConfigError, Unauthorized
from hub.domain.grant_rules import Identity, Rules, filled
from hub.domain.integers import as_integer
from hub.domain.one_line import USER_LENGTH, is_user
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import Principal

__all__ = [
    "ALGORITHMS",
    "HMAC",
    "Issuer",
    "Issuers",
    "KeySource",
    "Secrets",
    "public_key",
    "text_claim",
]

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""What public keys may be used with, unless the configuration says less."""
HMAC: Final = ("HS256", "HS384", "HS512")
"""What shared secrets may be used with, unless the configuration says less."""

TOKEN_BYTES: Final = 16_384
STREAMS: Final = 100
"""The longest token, and the most streams, models and upstreams that one can name."""

_FIELDS: Final = frozenset({"match", "can", "upstreams", "models", "max_tokens"})


class KeySource(Protocol):
    """The keys of one issuer."""

    async def keys(self, kid: str | None, algorithm: str) -> Sequence[bytes | PublicKey]:
        """The keys that a token with this header can be signed with; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """A secret shared with an issuer (HMAC), or its public key; the one key for all its tokens.

    ``previous`` is a secret that holds until ``previous_until`` (seconds since 1970).
    """

    current: bytes | PublicKey
    previous: bytes | None = None
    previous_until: float = 0.0

    async def keys(self, kid: str | None, algorithm: str) -> Sequence[bytes | PublicKey]:
        """The key, if it is one for this algorithm; ``kid`` chooses nothing."""
        del kid
        if not isinstance(self.current, bytes):
            return [self.current] if algorithm in algorithms_of(self.current) else []
        if algorithm not in HMAC:
            return []
        if self.previous is not None and time.time() < self.previous_until:
            return [self.current, self.previous]
        return [self.current]


def public_key(pem: bytes, algorithms: Sequence[str], where: str) -> PublicKey:
    """The public key in a PEM file called ``where``.

    Raises:
        ConfigError: it is not one, or not one for any of these algorithms.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, PublicKey):
        raise ConfigError(
            f"{where} must hold an RSA, EC or Ed25519 public key that begins with "
            "-----BEGIN PUBLIC KEY-----"
        )
    if algorithms_of(key).isdisjoint(algorithms):
        raise ConfigError(
            f"the key in {where} cannot be used with {', '.join(algorithms)}; "
            f"set algorithms to some of {', '.join(sorted(algorithms_of(key)))}"
        )
    return key


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed.

    ``name`` is what the configuration calls it, ``issuer`` what its tokens say in ``iss``.
    ``leeway`` and ``max_seconds`` are in seconds. ``tenant`` is the tenant of users whose token
    does not name one in ``tenant_claim``.
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
            Unauthorized, Unavailable: see `Issuers.principal`.
        """
        return self._believed(token, await self.claims(token), rules)

    async def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that this issuer signed, that is for ``audience``, and holds now.

        Raises:
            Unauthorized, Unavailable: see `Issuers.principal`.
        """
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise _invalid(f"tokens of {self.issuer} are not signed with this algorithm")
        return self._verified(token, await self.source.keys(kid, algorithm), algorithm)

    def _verified(
        self, token: str, keys: Sequence[bytes | PublicKey], algorithm: str
    ) -> Mapping[str, Any]:
        """The claims of a token, if one of the keys signed it and it holds now."""
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
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                continue  # the next key, if there is one
            except jwt.ExpiredSignatureError:
                raise Unauthorized(
                    "this token has expired: get a new one", code="token_expired"
                ) from None
            except jwt.PyJWTError as error:
                raise _invalid(_explained(error)) from None
            return claims
        raise _invalid("this token is not signed by its issuer")

    def _believed(self, token: str, claims: Mapping[str, Any], rules: Rules) -> Principal:
        """The principal that verified claims describe."""
        expires = claims["exp"]
        # PyJWT takes numbers as text, too, and those that are too large for a float.
        if isinstance(expires, bool) or not isinstance(expires, int | float):
            raise _invalid('the claim "exp" of this token is not a number')
        if expires > time.time() + self.max_seconds + self.leeway:
            raise _invalid(
                f"this token expires too late: it may live {self.max_seconds:g} s at most"
            )
        user, tenant = text_claim(claims, self.user_claim), self.tenant
        if self.tenant_claim is not None and (tenant is None or self.tenant_claim in claims):
            # Without its tenant, a user could be taken for one of the same name elsewhere.
            tenant = text_claim(claims, self.tenant_claim)
        one = Identity(user, tenant, claims=claims)
        claimed = _streams(claims)
        granted, within = rules.grants(one), None if claimed is None else filled(claimed, one)
        if within is not None and self.may_grant:
            granted = (*granted, *within)
        return Principal(
            user,
            tenant,
            grants=granted,
            within=within,
            expires=float(expires),
            credential=f"{self.name}:{_token_id(token, claims)}",
        )


class Issuers:
    """All issuers whose tokens are believed, by what their tokens call them."""

    def __init__(self, issuers: Sequence[Issuer] = ()) -> None:
        self._issuers = {one.issuer: one for one in issuers}

    async def principal(self, token: str, rules: Rules) -> Principal:
        """Who presents a token.

        Raises:
            Unauthorized: ``invalid_token``: it is not a token, of an unknown issuer, or does not
                hold; ``token_expired``: it did.
            Unavailable: ``key_set_unavailable``: the keys of its issuer cannot be fetched.
        """
        if len(token) > TOKEN_BYTES:
            raise _invalid(f"a token has at most {TOKEN_BYTES} characters")
        try:
            issuer = self.find(token)
        except ValueError:
            raise _invalid("this is neither a key nor a token of this hub") from None
        if issuer is None:
            raise _invalid("this hub does not know the issuer of this token")
        return await issuer.principal(token, rules)

    def find(self, token: str) -> Issuer | None:
        """Whose token this claims to be; ``None`` for one of nobody that is known.

        Raises:
            ValueError: it is no JSON Web Token.
        """
        try:
            claimed = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, UnicodeError) as error:
            raise ValueError("not a JSON Web Token") from error
        named = claimed.get("iss")
        return self._issuers.get(named) if isinstance(named, str) else None

    def knows(self, token: str) -> bool:
        """Whether this claims to be a token of an issuer that is known."""
        try:
            return len(token) <= TOKEN_BYTES and self.find(token) is not None
        except ValueError:
            return False


def _invalid(said: str) -> Unauthorized:
    return Unauthorized(said, code="invalid_token")


def _explained(error: jwt.PyJWTError) -> str:
    """What is wrong with a token, without any of its own words: they may go into a header."""
    match error:
        case jwt.MissingRequiredClaimError():
            return f'this token lacks the claim "{error.claim}"'
        case jwt.InvalidAudienceError():
            return "this token is for another audience"
        case jwt.ImmatureSignatureError():
            return "this token is not valid yet: compare the clocks of its issuer and the hub"
    return "this token is malformed"


def _header(token: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _invalid("this token is malformed") from None


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """A claim that names somebody; it is stored, logged and shown to others.

    Raises:
        Unauthorized: ``invalid_token``: it is missing, or not such a text.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not is_user(value):
        raise _invalid(
            f'the claim "{name}" of this token is not one line of 1 to {USER_LENGTH} characters'
        )
    return value


def _token_id(token: str, claims: Mapping[str, Any]) -> str:
    """What a token is revoked by: its ``jti``, or else a hash of what is signed.

    A hash of the whole would not do: some signatures can be written in several ways.
    """
    if "jti" in claims:
        return text_claim(claims, "jti")
    return "~" + hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]


def _streams(claims: Mapping[str, Any]) -> tuple[Grant, ...] | None:
    """What a token says that it is for; ``None`` if it says nothing of it.

    Raises:
        Unauthorized: it says so in a way that is not understood here.
    """
    if "authorization_details" in claims:
        if "streams" in claims:
            raise _invalid('this token has both "streams" and "authorization_details"')
        details = claims["authorization_details"]
        if not isinstance(details, list) or len(details) > STREAMS:
            raise _invalid(f'"authorization_details" of this token is not a list of {STREAMS}')
        own = [one for one in details if isinstance(one, dict) and one.get("type") == "streamhub"]
        claimed = [{name: held for name, held in one.items() if name != "type"} for one in own]
    elif "streams" in claims:
        claimed = claims["streams"]
        if not isinstance(claimed, list) or len(claimed) > STREAMS:
            raise _invalid(f'"streams" of this token is not a list of at most {STREAMS} streams')
    else:
        return None
    return tuple(_grant(one) for one in claimed)


def _grant(claimed: Any) -> Grant:
    if not isinstance(claimed, dict) or not _FIELDS.issuperset(claimed):
        raise _invalid(f"a stream of this token has other fields than {', '.join(sorted(_FIELDS))}")
    match, can = claimed.get("match"), _names(claimed, "can")
    if not isinstance(match, str) or can is None:
        raise _invalid('each stream of this token needs "match" and "can"')
    permissions = frozenset(one for one in PERMISSIONS if one in can)
    if len(permissions) < len(can):
        raise _invalid("a stream of this token has a permission that this hub does not know")
    most = as_integer(claimed.get("max_tokens"))
    if "max_tokens" in claimed and (most is None or most < 1):
        raise _invalid('"max_tokens" of a stream of this token is not a whole number above 0')
    try:
        pattern = StreamPattern.parse(match)
    except ValueError:
        raise _invalid('"match" of a stream of this token is not a pattern') from None
    upstreams, models = _names(claimed, "upstreams"), _names(claimed, "models")
    return Grant(permissions, pattern, upstreams, models, most)


def _names(claimed: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """A list of names in a token; ``None`` if it is not there."""
    if name not in claimed:
        return None
    held = claimed[name]
    if (
        not isinstance(held, list)
        or len(held) > STREAMS
        or not all(isinstance(one, str) for one in held)
    ):
        raise _invalid(f'"{name}" of a stream of this token is not a list of texts')
    return frozenset(held)
