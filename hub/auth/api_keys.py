"""API keys: ``sh_ID_SECRET``, made once, shown once, and kept as a hash.

The secret is 32 random bytes (43 characters of base64url, RFC 4648 section 5), so a fast hash is
enough: there is nothing to guess. A key is found by its id and then compared in constant time.
Its form is fixed, so that scanners for leaked secrets find it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from hub.domain.errors import Unauthorized
from hub.domain.grant_rules import Identity, Rules, filled
from hub.domain.permissions import Grant
from hub.domain.principal import Principal

__all__ = [
    "ApiKey",
    "check",
    "check_valid",
    "digest",
    "is_id",
    "is_key",
    "new_id",
    "new_key",
    "parse",
]

_KEY: Final = re.compile(r"sh_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: everything but its secret.

    ``grants`` are exactly what it may do, also with its user's own streams; ``None``: what the
    configuration grants to its user, or to it by ``id`` or ``name``. Times are in seconds since
    1970.
    """

    id: str
    hash: bytes
    name: str | None = None
    user: str | None = None
    tenant: str | None = None
    grants: tuple[Grant, ...] | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def principal(self, rules: Rules) -> Principal:
        """Who presents this key."""
        one = Identity(self.user, self.tenant, self.id, self.name)
        exactly = None if self.grants is None else filled(self.grants, one)
        return Principal(
            self.user,
            self.tenant,
            self.id,
            grants=rules.grants(one) if exactly is None else exactly,
            within=exactly,
            expires=self.expires,
            credential=self.id,
        )


def new_id() -> str:
    """The id of a new credential."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))


def new_key() -> tuple[str, str, bytes]:
    """A new key to be shown once, its id, and what to keep of it."""
    name = new_id()
    key = f"sh_{name}_{secrets.token_urlsafe(32)}"
    return key, name, digest(key)


def is_key(token: str) -> bool:
    """Whether a credential claims to be a key of this hub, rather than a token."""
    return token.startswith("sh_")


def is_id(text: str) -> bool:
    """Whether this can be the id of a key."""
    return len(text) == ID_LENGTH and set(text) <= set(_ALPHABET)


def parse(key: str) -> str | None:
    """The id of a key; ``None`` if it does not have a key's form."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def digest(key: str) -> bytes:
    """What is kept of a key: its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def check(key: str, kept: ApiKey | None, now: float) -> ApiKey:
    """The kept key, if it is the one presented and still holds.

    Raises:
        Unauthorized: ``invalid_api_key``: there is no such key, it was revoked, or it has expired.
    """
    # Compared in any case: the time tells nothing about which ids there are.
    same = hmac.compare_digest(digest(key), kept.hash if kept is not None else bytes(32))
    return check_valid(kept if same else None, now)


def check_valid(kept: ApiKey | None, now: float) -> ApiKey:
    """The kept key, if there is one and it still holds.

    Raises:
        Unauthorized: as `check`.
    """
    if kept is None or kept.revoked is not None:
        raise Unauthorized("this API key is not valid, or was revoked", code="invalid_api_key")
    if kept.expires is not None and kept.expires <= now:
        raise Unauthorized("this API key has expired: ask for a new one", code="invalid_api_key")
    return kept
