"""Finds who makes a request, and bounds how often.

Frames of WebSockets are counted, too, by their number and size and before anybody looks at them:
also those that are no requests, such as pings, and those that are no commands at all. Who sends too
many is read more slowly, and refused nothing.

An application around the hub can find its principals itself. Otherwise they are found by their
credential. Requests are counted for each subject, and for each address where there is none; so are
credentials that do not hold, because to check one costs more than most requests.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final, Protocol

from aiohttp import web

from hub.access.hooks import Hooks
from hub.auth.admit import Admit, Turns
from hub.auth.cookies import SessionCookie
from hub.auth.credentials import bearer, query_ticket
from hub.auth.trusted_header import TrustedHeader
from hub.domain.addresses import network
from hub.domain.errors import Conflict, Forbidden, RateLimited, Unauthorized
from hub.domain.principal import NOBODY, Principal
from hub.domain.rate_windows import NAMES, RateWindows
from hub.domain.token_bucket import TokenBucket
from hub.http.forwarded import client_address

__all__ = ["Authorize", "Authorizer", "Credentials", "Gate", "address_of", "auth_off", "free"]

Authorize = Callable[[web.Request], Awaitable[Principal]]
"""Finds the principal of a request.

Raises:
    HubError: the request is refused.
"""


class Authorizer(Hooks, ABC):
    """An `Authorize` that an application is asked through about more than requests, too."""

    @abstractmethod
    async def __call__(self, request: web.Request) -> Principal:
        """The principal of a request; raises what `Authorize` does."""


CHARGED_BYTES: Final = 131_072

FRAMES: Final = 100.0
"""Frames a second of one principal that are read at once, at least …"""
OF_REQUESTS: Final = 2.0
"""… or so many for each request that it may make; more are read later."""
SAVED_SECONDS: Final = 10.0
"""For how many seconds a principal saves frames that it has not sent."""
FRAME_BYTES: Final = 16_384
"""A frame counts once more for each of these."""

WAITED: Final = "too many requests: wait {wait:.0f} s (auth.limits.requests_per_minute)"


class Credentials(Protocol):
    """Principals by their credentials; see `hub.auth.authenticator.Authenticator`."""

    @property
    def anyone(self) -> Principal:
        """Who presents no credential."""

    async def principal(self, token: str, admit: Admit) -> Principal:
        """Who presents a credential.

        Raises:
            Unauthorized, Unavailable, StoreError: it does not hold, or cannot be checked.
            RateLimited: as ``admit``.
        """

    async def ticket(self, token: str, stream: str, expires: float) -> str:
        """A ticket for one stream; see `hub.auth.authenticator.Authenticator.ticket`."""


class Gate:
    """The principals of requests, each with ``requests_per_minute`` (0: no limit).

    One of ``authorize`` and ``credentials`` finds them; a proxy may name them in a ``header``, and
    a credential may be in a ``cookie``. ``clock`` never goes back, ``now`` counts seconds since
    1970.
    """

    def __init__(
        self,
        *,
        authorize: Authorize | None = None,
        credentials: Credentials | None = None,
        header: TrustedHeader | None = None,
        cookie: SessionCookie | None = None,
        requests_per_minute: int = 0,
        token_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.token_seconds = token_seconds
        """How long a connection may take to present a credential."""
        self._authorize = authorize
        self._credentials = credentials
        self._header = header
        self._cookie = cookie
        self._clock = clock
        self._now = now
        self.windows = RateWindows(requests_per_minute) if requests_per_minute else None
        """Where requests are counted, if they are limited."""
        self._turns = Turns()
        self._frames = max(FRAMES, OF_REQUESTS * requests_per_minute / 60)
        self._paces: OrderedDict[str, TokenBucket] = OrderedDict()
        """Of the principals that have sent frames, the one that was quiet for longest first."""

    @property
    def takes_tokens(self) -> bool:
        """Whether a connection can present a credential later than in its request."""
        return self._credentials is not None

    async def principal(self, request: web.Request) -> Principal:
        """Who makes a request, which is counted.

        Raises:
            Unauthorized: the credential does not hold.
            RequestError: ``bad_header``; see `hub.auth.trusted_header.TrustedHeader`.
            RateLimited: there were too many requests.
            HubError: as ``authorize`` and `Credentials.principal`.
        """
        address = address_of(request)
        if self._authorize is not None:
            by = self._addressed(await self._authorize(request), address)
        else:
            found = self._found(request, address)
            if isinstance(found, str):
                return await self.present(found, address)
            by = self.anyone(address) if found is None else found
        self.count(by)
        return by

    def _found(self, request: web.Request, address: str) -> str | Principal | None:
        """The credential of a request, or whom its proxy names; ``None`` if it has neither.

        One that has no credential's form is counted like one that does not hold.
        """
        try:
            return self._shown(request) or self._named(request) or self._kept(request)
        except Unauthorized:
            self._hit(f"address {address}")
            raise

    def _shown(self, request: web.Request) -> str | None:
        """The credential that a client shows with this request."""
        return bearer(request) or query_ticket(request)

    def _named(self, request: web.Request) -> Principal | None:
        return None if self._header is None else self._header.principal(request)

    def _kept(self, request: web.Request) -> str | None:
        """The credential in the cookie of a request."""
        return None if self._cookie is None else self._cookie.token(request)

    async def ticket(
        self, request: web.Request, by: Principal, stream: str, seconds: float
    ) -> tuple[str, float]:
        """A ticket for one stream that stands for the credential of a request, which is ``by``.

        Returns it and when it expires in seconds since 1970: after ``seconds``, or with the
        credential.

        Raises:
            Conflict: ``auth_off``: this hub checks no credentials.
            Forbidden: ``not_permitted``: the request has none, but was signed in by a proxy.
            Forbidden, RequestError, StoreError: as `Credentials.ticket`.
        """
        if self._credentials is None:
            raise auth_off()
        token = self._shown(request)
        if token is None and self._named(request) is None:
            token = self._kept(request)
        if token is None:
            raise Forbidden(
                "a ticket stands for a key, a token or a session, and this request has none",
                code="not_permitted",
            )
        expires = self._now() + seconds
        if by.expires is not None:
            expires = min(expires, by.expires)
        return await self._credentials.ticket(token, stream, expires), expires

    async def present(self, token: str, address: str) -> Principal:
        """Who presents a credential, from a network address; this is counted.

        Raises:
            HubError: as `principal`.
        """
        if self._credentials is None:
            raise Unauthorized("this hub takes no tokens here", code="invalid_credential")
        try:
            by = await self._credentials.principal(token, partial(self._admit, address))
        except Unauthorized:
            self._hit(f"address {address}")
            raise
        by = self._addressed(by, address)
        self.count(by)
        return by

    def anyone(self, address: str) -> Principal:
        """Who presents no credential, from a network address."""
        if self._credentials is None:
            raise Unauthorized("this needs a credential")
        return self.nobody(address)

    def nobody(self, address: str) -> Principal:
        """Who presents no credential, from a network address, also where one is needed."""
        return self._addressed(
            NOBODY if self._credentials is None else self._credentials.anyone, address
        )

    def check_current(self, by: Principal) -> None:
        """Refuse a principal whose credential has expired since it was presented.

        There is no leeway here: who was let in within it is to come back with a new token soon.

        Raises:
            Unauthorized: ``token_expired``.
        """
        if by.expires is not None and by.expires <= self._now():
            raise Unauthorized("this token has expired: get a new one", code="token_expired")

    def count(self, by: Principal) -> None:
        """Count a request of a principal.

        Raises:
            RateLimited: there were too many.
        """
        self._hit(by.counted_as)

    def charge(self, by: Principal, size: int) -> None:
        """Count a request once more for each `CHARGED_BYTES` of its body, after it was read."""
        if self.windows is not None and by.counted_as is not None and size >= CHARGED_BYTES:
            self.windows.spend(by.counted_as, size // CHARGED_BYTES, self._clock())

    def tab(self, by: Principal) -> Callable[[int], None]:
        """Charges a request, which was counted, with more and more bytes that are read for it.

        What it gives raises `RateLimited` once the principal's other requests leave no room. So
        one request may cost more than a minute's, but many at once do not.
        """
        windows, name = self.windows, by.counted_as
        if windows is None or name is None:
            return free
        read, counted = 0, 1

        def charge(size: int) -> None:
            nonlocal read, counted
            now = self._clock()
            if wait := windows.wait(name, now, own=counted):
                raise _too_many(wait)
            read += size
            more = 1 + read // CHARGED_BYTES - counted
            if more:
                windows.spend(name, more, now)
                counted += more

        return charge

    def pace(self, by: Principal, size: int) -> float:
        """Count a frame of ``size`` bytes; returns how many seconds to wait before it is read."""
        name = by.counted_as
        if self.windows is None or name is None:
            return 0.0
        now, paces = self._clock(), self._paces
        pace = paces.get(name)
        if pace is None:
            pace = paces[name] = TokenBucket(SAVED_SECONDS * self._frames, self._frames, now)
            if len(paces) > NAMES:
                paces.popitem(last=False)
        else:
            paces.move_to_end(name)
        return pace.take(1 + size / FRAME_BYTES, now)

    def _hit(self, name: str | None) -> None:
        if self.windows is None or name is None:
            return
        wait = self.windows.hit(name, self._clock())
        if wait:
            raise _too_many(wait)

    def _admit(self, address: str) -> Callable[[], None]:
        """Admit a credential that an application is to be asked about; see `hub.auth.admit`.

        One client alone must not keep the application from being asked about all others. Only
        answers count in `_hit`, and these may take their time.
        """
        name = f"address {address}"
        wait = 0.0 if self.windows is None else self.windows.wait(name, self._clock())
        if wait:
            wait = max(wait, 1.0)
            raise RateLimited(WAITED.format(wait=wait), wait=wait)
        return self._turns.take(name)

    def _addressed(self, by: Principal, address: str) -> Principal:
        return by if by.subject is not None else replace(by, address=address)


def free(size: int) -> None:
    """A `Gate.tab` that charges nothing."""


def _too_many(wait: float) -> RateLimited:
    return RateLimited(WAITED.format(wait=max(wait, 1.0)), wait=wait)


def auth_off() -> Conflict:
    """What is said of tickets and links by a hub that could not check them."""
    return Conflict(
        "this hub checks no credentials of its own (see [auth] in its configuration), so there are "
        "neither tickets nor share links",
        code="auth_off",
    )


def address_of(request: web.Request) -> str:
    """What requests without a subject are counted by; the same for all of a Unix socket."""
    return _network(client_address(request))


_network = lru_cache(10_000)(network)
