"""One credential to a principal, remembered for a while.

To check a token's signature costs 150 to 270 µs, to read a key from the store about as much. So
the principal is remembered under the credential's SHA-256, never longer than the credential holds:
for a minute if it is a token's, and then asked for again, because its issuer may have withdrawn the
key that signed it; for a second if it is an API key's, a session's or a share link's, so that a
revocation takes no longer. A ticket stands for one of these, and is asked for as often as a key.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from hub.access import shares
from hub.auth import api_keys
from hub.auth.admit import Admit, always
from hub.auth.api_keys import ApiKey
from hub.auth.credentials import is_ticket
from hub.auth.issuers import Issuers
from hub.auth.sessions import Session, is_session, session_id
from hub.auth.tickets import Of, Ticket, Tickets
from hub.domain.errors import Forbidden
from hub.domain.grant_rules import Identity, Rules
from hub.domain.principal import Principal
from hub.stores import Credential

__all__ = ["Authenticator", "FindKey", "FindLink", "FindSession"]

REMEMBERED: Final = 10_000
"""Credentials at one time; the one that was used least recently is forgotten first."""
TOKEN_SECONDS: Final = 60.0
KEY_SECONDS: Final = 1.0

FindKey = Callable[[str], Awaitable[ApiKey | None]]
"""An API key by its id."""

FindSession = Callable[[str], Awaitable[Session]]
"""The session with a token, or with an id; see `hub.auth.sessions.Sessions`."""

FindLink = Callable[[str], Awaitable[Credential | None]]
"""A share link by its id, as the store has it."""

AskForToken = Callable[[str, Admit], Awaitable[Principal]]
"""Who presents a token that is neither a key nor of an issuer; raises what
`Authenticator.principal` does."""


class Authenticator:
    """Keys, sessions, issuers, links and grants of one hub.

    ``ask`` is asked for every other token. Whom ``is_revoked`` names is asked for again.
    ``clock`` counts seconds since 1970.
    """

    def __init__(
        self,
        rules: Rules,
        issuers: Issuers,
        find_key: FindKey,
        *,
        find_session: FindSession | None = None,
        find_session_by_id: FindSession | None = None,
        find_link: FindLink | None = None,
        tickets: Tickets | None = None,
        ask: AskForToken | None = None,
        is_revoked: Callable[[Principal], bool] = lambda _: False,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED,
    ) -> None:
        self._rules = rules
        self._issuers = issuers
        self._find_key = find_key
        self._find_session = find_session
        self._find_session_by_id = find_session_by_id
        self._find_link = find_link
        self._tickets = tickets
        self._ask = ask
        self._is_revoked = is_revoked
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

    async def principal(self, token: str, admit: Admit = always) -> Principal:
        """Who presents a credential; ``admit`` is called before an application is asked about it.

        Raises:
            RateLimited: as ``admit``.
            Unauthorized: it does not hold; see `hub.auth.api_keys.check`,
                `hub.auth.sessions.Sessions.find`, `hub.access.shares.check_link`,
                `hub.auth.tickets.Tickets.open` and `hub.auth.issuers.Issuers.principal`.
            Unavailable: the keys of its issuer cannot be fetched, or ``ask`` gets no answer.
            StoreError: the store cannot be read.
        """
        # Looked up by a hash: how long that takes tells nothing about credentials that hold.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        known = self._known
        if (kept := known.get(name)) is not None:
            principal, since, until = kept
            current = since <= now < until  # a clock may be set back
            if current and not self._is_revoked(principal):
                known.move_to_end(name)
                return principal
            del known[name]
        principal, seconds = await self._find(token, now, admit)
        if not seconds:
            return principal
        until = now + seconds
        if principal.expires is not None:
            until = min(until, principal.expires)
        # If all was forgotten in the meantime, this goes with the rest.
        known[name] = (principal, now, until)
        if len(known) > self._remembered:
            known.popitem(last=False)
        return principal

    async def _find(self, token: str, now: float, admit: Admit) -> tuple[Principal, float]:
        """Who presents a credential, and for how many seconds to remember it."""
        if self._tickets is not None and is_ticket(token):
            ticket = await self._tickets.open(token)
            return await self._behind(ticket, now, admit), KEY_SECONDS
        if self._find_link is not None and shares.is_link(token):
            id_ = shares.link_id(token)
            row = await self._find_link(id_) if id_ is not None else None
            return shares.check_link(token, row, now).principal, KEY_SECONDS
        if self._find_session is not None and is_session(token):
            return (await self._find_session(token)).principal(self._rules), KEY_SECONDS
        if not api_keys.is_key(token):
            if self._ask is not None and not self._issuers.knows(token):
                # It is remembered there, for as long as the application says.
                return await self._ask(token, admit), 0.0
            return await self._issuers.principal(token, self._rules), TOKEN_SECONDS
        name = api_keys.parse(token)
        kept = await self._find_key(name) if name is not None else None
        return api_keys.check(token, kept, now).principal(self._rules), KEY_SECONDS

    async def ticket(self, token: str, stream: str, expires: float) -> str:
        """A ticket for one stream that stands for a credential, which holds.

        Raises:
            Forbidden: ``not_permitted``: the credential is a ticket itself.
            RequestError, StoreError: as `hub.auth.tickets.Tickets.make`.
        """
        if self._tickets is None or is_ticket(token):
            raise Forbidden("a ticket cannot be made of another", code="not_permitted")
        of: Of = "token"
        name: str | None = token
        if api_keys.is_key(token):
            of, name = "key", api_keys.parse(token)
        elif is_session(token):
            of, name = "session", session_id(token)
        elif shares.is_link(token):
            of, name = "share", shares.link_id(token)
        return await self._tickets.make(Ticket(stream, expires, of, name or ""))

    async def _behind(self, ticket: Ticket, now: float, admit: Admit) -> Principal:
        """Whom a ticket stands for, with what it allows."""
        match ticket.of:
            case "key":
                key = api_keys.check_valid(await self._find_key(ticket.name), now)
                by = key.principal(self._rules)
            case "session" if self._find_session_by_id is not None:
                by = (await self._find_session_by_id(ticket.name)).principal(self._rules)
            case "share" if self._find_link is not None:
                by = shares.check_share(await self._find_link(ticket.name), now).principal
            case _:
                by = await self.principal(ticket.name, admit)
        # Not refreshed but asked anew: a refresh would bring all that the principal may do.
        ends = [time for time in (by.expires, by.refresh) if time is not None]
        only = by.only_reading(ticket.stream)
        return replace(only, expires=min([ticket.expires, *ends]), refresh=None)

    def forget(self) -> None:
        """Check every credential anew: one was revoked, or keys have changed."""
        self._known = OrderedDict()
