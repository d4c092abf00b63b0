"""Sessions of browsers: ``ss_ID_SECRET``, kept like API keys, with whom they are for.

A session holds for a fixed time from its login, however much it is used: nothing is written for a
request, a connection knows when it must end, and a stolen one cannot be kept alive. It brings what
the configuration grants to its user. The claims of the login are kept with it, as JSON, but only
those values that a grant asks for::

    {"group": ["staff"]}

A grant that asks for another claim therefore takes effect with the next login.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hub.auth.api_keys import digest, new_id
from hub.domain.errors import Unauthorized
from hub.domain.events import NOTHING
from hub.domain.grant_rules import Identity, Rules
from hub.domain.principal import Principal
from hub.stores import CREDENTIALS, Credential, Credentials, Label

__all__ = ["KIND", "Session", "Sessions", "is_session", "session_ended", "session_id"]

KIND: Final = "session"
"""The kind of credential that a session is."""

OF_ONE_USER: Final = 20
"""Sessions of one user at a time; a new one ends the oldest."""

_SESSION: Final = re.compile(r"ss_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Session:
    """What is kept of a session: everything but its secret.

    ``by`` is how its user logged in, such as ``link``. Times are in seconds since 1970.
    """

    id: str
    hash: bytes
    user: str
    by: str
    created: float
    expires: float
    tenant: str | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    revoked: float | None = None

    def principal(self, rules: Rules) -> Principal:
        """Who presents this session."""
        one = Identity(self.user, self.tenant, claims=self.claims)
        return Principal(
            self.user,
            self.tenant,
            grants=rules.grants(one),
            expires=self.expires,
            credential=self.id,
        )


class Sessions:
    """Begins, finds and ends the sessions of a hub.

    Each holds for ``seconds``. ``revoked`` is called with the id of each that ends early, to end
    its connections (`hub.hub.Hub.revoke`). ``clock`` counts seconds since 1970.
    """

    def __init__(
        self,
        credentials: Credentials,
        rules: Rules,
        *,
        seconds: float,
        revoked: Callable[[str], Awaitable[None] | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._rules = rules
        self._seconds = seconds
        self._revoked = revoked
        self._clock = clock

    async def begin(
        self,
        user: str,
        tenant: str | None = None,
        claims: Mapping[str, Any] = NOTHING,
        *,
        by: str,
        id_: str | None = None,
    ) -> tuple[str, float]:
        """Begin a session of a user, who has proved to be that one.

        Returns its token, and when it expires in seconds since 1970. ``id_`` is for a login that
        must not begin two.

        Raises:
            Conflict: there was a session with this ``id_`` (``credential_exists``).
            LimitExceeded: there are too many sessions of all users.
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """
        id_ = id_ or new_id()
        token = f"ss_{id_}_{secrets.token_urlsafe(32)}"
        now = self._clock()
        session = Session(
            id_,
            digest(token),
            user,
            by,
            now,
            now + self._seconds,
            tenant,
            self._rules.asked(claims),
        )
        await self._credentials.add(_row_of(session))
        await self._end_oldest(session, now)
        return token, session.expires

    async def find(self, token: str) -> Session:
        """The session with a token, if it holds.

        Raises:
            Unauthorized: ``session_ended``: there is none, it was ended, or it has expired.
            StoreError: the store cannot be read.
        """
        found = _SESSION.fullmatch(token)
        row = None if found is None else await self._credentials.find(KIND, found[1])
        # Compared in any case: the time tells nothing about which ids there are.
        same = hmac.compare_digest(digest(token), bytes(32) if row is None else row.hash)
        return self._valid(row if same else None)

    async def find_by_id(self, id_: str) -> Session:
        """The session with an id, if it holds; for what stands for it, such as a ticket.

        Raises:
            Unauthorized, StoreError: as `find`.
        """
        return self._valid(await self._credentials.find(KIND, id_))

    async def was_ended(self, id_: str) -> bool:
        """Whether the session with an id was ended before its time, or is no longer kept.

        Raises:
            StoreError: the store cannot be read.
        """
        row = await self._credentials.find(KIND, id_)
        return row is None or row.revoked is not None

    def _valid(self, row: Credential | None) -> Session:
        session = None if row is None else _session_of(row)
        if session is None or session.revoked is not None or session.expires <= self._clock():
            raise session_ended()
        return session

    async def end(self, token: str) -> None:
        """End the session with this token, and its connections; does nothing if none holds.

        Raises:
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """
        try:
            session = await self.find(token)
        except Unauthorized:
            return
        await self._end(session.id)

    async def _end(self, id_: str) -> None:
        await self._credentials.revoke(KIND, id_, self._clock())
        if (told := self._revoked(id_)) is not None:
            await told

    async def _end_oldest(self, of: Session, now: float) -> None:
        """End the oldest sessions of a user who has too many, but not the newest one."""
        rows = await self._credentials.held(KIND, Label("user", of.user), "", CREDENTIALS, now)
        held = [row for row in rows if row.tenant == of.tenant and row.id != of.id]
        older = sorted(held, key=lambda row: row.created)
        for row in older[: max(0, len(older) - OF_ONE_USER + 1)]:
            await self._end(row.id)


def session_ended() -> Unauthorized:
    """What refuses a session that has ended, or never was."""
    return Unauthorized("sign in again: this session has ended", code="session_ended")


def is_session(token: str) -> bool:
    """Whether a credential claims to be a session, rather than a key or a token."""
    return token.startswith("ss_")


def session_id(token: str) -> str | None:
    """The id of a session; ``None`` if the token does not have a session's form."""
    found = _SESSION.fullmatch(token)
    return found[1] if found else None


def _row_of(session: Session) -> Credential:
    return Credential(
        KIND,
        session.id,
        session.hash,
        name=session.by,
        user=session.user,
        tenant=session.tenant,
        grants=orjson.dumps(dict(session.claims)).decode() if session.claims else None,
        created=session.created,
        expires=session.expires,
    )


def _session_of(row: Credential) -> Session | None:
    """The session in a row of the store; ``None`` if this program does not understand the row."""
    try:
        claims = NOTHING if row.grants is None else orjson.loads(row.grants)
    except orjson.JSONDecodeError:
        return None
    if row.user is None or row.expires is None or not isinstance(claims, Mapping):
        return None
    return Session(
        row.id,
        row.hash,
        row.user,
        row.name or "",
        row.created,
        row.expires,
        row.tenant,
        claims,
        row.revoked,
    )
