"""One credential to a principal, remembered for a while.

To check a token's signature costs 150 to 270 µs, to read a key from the store about as much. So what
was found is remembered under the credential's SHA-256: a token until it expires, a key for a second,
which is how long a revocation may take.
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
from hub.domain.errors import Unauthorized
from hub.domain.principal import Principal

__all__ = ["Authenticator"]

REMEMBERED: Final = 10_000
KEY_SECONDS: Final = 1.0

FindKey = Callable[[str], Awaitable[ApiKey | None]]
"""An API key by its id."""


class Authenticator:
    """Keys, issuers and grants of one hub."""

    def __init__(
        self,
        rules: Rules,
        issuers: Issuers,
        find_key: FindKey,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._issuers = issuers
        self._find_key = find_key
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._anyone = Principal(grants=rules.grants(Identity()))

    @property
    def anyone(self) -> Principal:
        """Who presents no credential."""
        return self._anyone

    async def principal(self, token: str) -> Principal:
        """Who presents a credential.

        Raises:
            Unauthorized: it does not hold; see `hub.auth.api_keys.check` and
                `hub.auth.issuers.Issuers.principal`.
            Unavailable: the keys of its issuer cannot be had.
            StoreError: the store cannot be read.
        """
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        known = self._known.get(name)
        if known is not None and now < known[1]:
            self._known.move_to_end(name)
            return known[0]
        self._known.pop(name, None)
        found, until = await self._find(token, now)
        self._known[name] = (found, until)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _find(self, token: str, now: float) -> tuple[Principal, float]:
        if not api_keys.is_key(token):
            found = await self._issuers.principal(token, self._rules)
            return found, found.expires or now
        id = api_keys.parse(token)
        kept = api_keys.check(token, await self._find_key(id) if id else None, now)
        until = now + KEY_SECONDS
        return kept.principal(self._rules), until if kept.expires is None else min(
            until, kept.expires
        )

    def forget(self) -> None:
        """Ask everybody anew: something was revoked, or the grants have changed."""
        self._known.clear()

    def check_current(self, by: Principal) -> None:
        """Refuse a principal whose credential has expired since.

        Raises:
            Unauthorized: ``token_expired``.
        """
        if by.expires is not None and by.expires <= self._clock():
            raise Unauthorized("this token has expired: get a new one", code="token_expired")
