"""One credential to a principal, remembered for a while.

To check a token's signature costs 150 to 270 µs, to read a key from the store about as much. So
the principal is remembered under the credential's SHA-256, never longer than the credential holds:
for a minute if it is a token's, and then asked for again, because its issuer may have withdrawn the
key that signed it; for a second if it is an API key's, which is how long a revocation may take.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from hub.auth import api_keys
from hub.auth.api_keys import ApiKey
from hub.auth.issuers import Issuers
from hub.domain.grant_rules import Identity, Rules
from hub.domain.principal import Principal

__all__ = ["Authenticator", "FindKey"]

REMEMBERED: Final = 10_000
"""Credentials at one time; the one that was used least recently is forgotten first."""
TOKEN_SECONDS: Final = 60.0
KEY_SECONDS: Final = 1.0

FindKey = Callable[[str], Awaitable[ApiKey | None]]
"""An API key by its id."""


class Authenticator:
    """Keys, issuers and grants of one hub; ``clock`` counts seconds since 1970."""

    def __init__(
        self,
        rules: Rules,
        issuers: Issuers,
        find_key: FindKey,
        *,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED,
    ) -> None:
        self._rules = rules
        self._issuers = issuers
        self._find_key = find_key
        self._clock = clock
        self._remembered = remembered
        self._known: OrderedDict[bytes, tuple[Principal, float, float]] = OrderedDict()
        """Principals, each with the times from and until which it may be used."""
        self._anyone = Principal(grants=rules.grants(Identity()))

    def __len__(self) -> int:
        """Credentials that are remembered now."""
        return len(self._known)

    @property
    def anyone(self) -> Principal:
        """Who presents no credential."""
        return self._anyone

    async def principal(self, token: str) -> Principal:
        """Who presents a credential.

        Raises:
            Unauthorized: it does not hold; see `hub.auth.api_keys.check` and
                `hub.auth.issuers.Issuers.principal`.
            Unavailable: the keys of its issuer cannot be fetched.
            StoreError: the store cannot be read.
        """
        # Looked up by a hash: how long that takes tells nothing about credentials that hold.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        known = self._known
        if (kept := known.get(name)) is not None:
            principal, since, until = kept
            if since <= now < until:  # a clock may be set back
                known.move_to_end(name)
                return principal
            del known[name]
        principal, seconds = await self._find(token, now)
        until = now + seconds
        if principal.expires is not None:
            until = min(until, principal.expires)
        # If all was forgotten in the meantime, this goes with the rest.
        known[name] = (principal, now, until)
        if len(known) > self._remembered:
            known.popitem(last=False)
        return principal

    async def _find(self, token: str, now: float) -> tuple[Principal, float]:
        """Who presents a credential, and for how many seconds to remember it."""
        if not api_keys.is_key(token):
            return await self._issuers.principal(token, self._rules), TOKEN_SECONDS
        name = api_keys.parse(token)
        kept = await self._find_key(name) if name is not None else None
        return api_keys.check(token, kept, now).principal(self._rules), KEY_SECONDS

    def forget(self) -> None:
        """Check every credential anew: one was revoked, or keys have changed."""
        self._known = OrderedDict()
