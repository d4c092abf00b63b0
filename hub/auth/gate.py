"""Finds who makes a request, and bounds how often.

An application around the hub can find its principals itself. Otherwise they are found by their
credential. Requests are counted for each subject, and for each address where there is none; so are
credentials that do not hold, because to check one costs more than most requests.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from aiohttp import web

from hub.auth.credentials import bearer
from hub.domain.addresses import network
from hub.domain.errors import RateLimited, Unauthorized
from hub.domain.principal import Principal
from hub.domain.rate_windows import RateWindows

__all__ = ["Authorize", "Credentials", "Gate", "address_of"]

Authorize = Callable[[web.Request], Awaitable[Principal]]
"""Finds the principal of a request.

Raises:
    HubError: the request is refused.
"""

WAITED: Final = "too many requests: wait {wait:.0f} s (auth.limits.requests_per_minute)"


class Credentials(Protocol):
    """Principals by their credentials; see `hub.auth.authenticator.Authenticator`."""

    @property
    def anyone(self) -> Principal:
        """Who presents no credential."""

    async def principal(self, token: str) -> Principal:
        """Who presents a credential.

        Raises:
            Unauthorized, Unavailable, StoreError: it does not hold, or cannot be checked.
        """


class Gate:
    """The principals of requests, each with ``requests_per_minute`` (0: no limit).

    One of ``authorize`` and ``credentials`` finds them. ``clock`` never goes back, ``now`` counts
    seconds since 1970.
    """

    def __init__(
        self,
        *,
        authorize: Authorize | None = None,
        credentials: Credentials | None = None,
        requests_per_minute: int = 0,
        token_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.token_seconds = token_seconds
        """How long a connection may take to present a credential."""
        self._authorize = authorize
        self._credentials = credentials
        self._clock = clock
        self._now = now
        self._windows = RateWindows(requests_per_minute) if requests_per_minute else None

    @property
    def takes_tokens(self) -> bool:
        """Whether a connection can present a credential later than in its request."""
        return self._credentials is not None

    async def principal(self, request: web.Request) -> Principal:
        """Who makes a request, which is counted.

        Raises:
            Unauthorized: the credential does not hold.
            RateLimited: there were too many requests.
            HubError: as ``authorize`` and `Credentials.principal`.
        """
        if self._authorize is not None:
            by = self._addressed(await self._authorize(request), address_of(request))
        elif (token := bearer(request)) is None:
            by = self.anyone(address_of(request))
        else:
            return await self.present(token, address_of(request))
        self.count(by)
        return by

    async def present(self, token: str, address: str) -> Principal:
        """Who presents a credential, from a network address; this is counted.

        Raises:
            HubError: as `principal`.
        """
        if self._credentials is None:
            raise Unauthorized("this hub takes no tokens here", code="invalid_credential")
        try:
            by = await self._credentials.principal(token)
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
        return self._addressed(self._credentials.anyone, address)

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

    def _hit(self, name: str | None) -> None:
        if self._windows is None or name is None:
            return
        wait = self._windows.hit(name, self._clock())
        if wait:
            raise RateLimited(WAITED.format(wait=max(wait, 1.0)), wait=wait)

    def _addressed(self, by: Principal, address: str) -> Principal:
        return by if by.subject is not None else replace(by, address=address)


def address_of(request: web.Request) -> str:
    """What requests without a subject are counted by; the same for all of a Unix socket."""
    place = None if request.transport is None else request.transport.get_extra_info("peername")
    return network(str(place[0])) if isinstance(place, tuple) else "unix"
