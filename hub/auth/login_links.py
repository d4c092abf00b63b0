"""One-time links to sign in with: ``/login/si_ID_SECRET``, made by the command line.

A link is kept as a hash, like a key. It begins one session, which takes the link's id: of two
requests that use it at the same time only one can add that session. To look at a link, as previews
of it do, does not use it up.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from hub.auth.api_keys import digest, new_id
from hub.auth.sessions import Sessions
from hub.domain.errors import Conflict, NotFound
from hub.stores import Credential, Credentials

__all__ = ["KIND", "LoginLinks", "new_link"]

KIND: Final = "login"
"""The kind of credential that a login link is."""

BY: Final = "link"
"""How somebody has signed in who used a link."""

_LINK: Final = re.compile(r"si_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")


def new_link(
    user: str, tenant: str | None, *, now: float, expires: float
) -> tuple[str, Credential]:
    """The last segment of a new link, and what to keep of it; times in seconds since 1970."""
    id_ = new_id()
    secret = f"si_{id_}_{secrets.token_urlsafe(32)}"
    row = Credential(
        KIND, id_, digest(secret), user=user, tenant=tenant, created=now, expires=expires
    )
    return secret, row


class LoginLinks:
    """The login links of a hub; ``clock`` counts seconds since 1970."""

    def __init__(
        self,
        credentials: Credentials,
        sessions: Sessions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._clock = clock

    async def user(self, secret: str) -> str:
        """Whom a link is for; it stays as it is.

        Raises:
            NotFound: ``login_link_invalid``: there is none, it was used, or it has expired.
            StoreError: the store cannot be read.
        """
        return (await self._find(secret)).user or ""

    async def use(self, secret: str) -> tuple[str, float]:
        """Begin the session of a link, once; returns its token, and when it expires.

        Raises:
            NotFound: as `user`.
            LimitExceeded: there are too many sessions.
            StoreError: the store cannot be read, or nothing can be stored at the moment.
        """
        link = await self._find(secret)
        try:
            begun = await self._sessions.begin(link.user or "", link.tenant, by=BY, id_=link.id)
        except Conflict:
            raise _invalid() from None
        await self._credentials.revoke(KIND, link.id, self._clock())
        return begun

    async def _find(self, secret: str) -> Credential:
        found = _LINK.fullmatch(secret)
        row = None if found is None else await self._credentials.find(KIND, found[1])
        # Compared in any case: the time tells nothing about which ids there are.
        same = hmac.compare_digest(digest(secret), bytes(32) if row is None else row.hash)
        if row is None or not same or not row.user or row.ended <= self._clock():
            raise _invalid()
        return row


def _invalid() -> NotFound:
    return NotFound(
        "this sign-in link was used or has expired: ask for a new one", code="login_link_invalid"
    )
