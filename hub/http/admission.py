"""The checks that every request passes before its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, web

from hub.domain.errors import RequestError
from hub.domain.principal import LOCAL, NOBODY, Principal
from hub.http.bodies import Bodies
from hub.http.hosts import Hosts
from hub.http.origins import Origins

__all__ = ["PRINCIPAL", "Admission"]

PRINCIPAL: Final = web.RequestKey("principal", Principal)
"""The key under which an admitted request has its principal."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


Authenticate = Callable[[web.Request], Awaitable[Principal]]
"""Finds the principal of a request, or refuses it with a `hub.domain.errors.HubError`."""


class Admission:
    """Checks a request's host, origin, principal and body.

    Without ``authenticate`` every principal is `hub.domain.principal.LOCAL`.
    """

    def __init__(
        self,
        hosts: Hosts,
        origins: Origins,
        bodies: Bodies,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._hosts = hosts
        self._origins = origins
        self._bodies = bodies
        self._authenticate = authenticate

    async def expect(self, request: web.Request, *, public: bool = False) -> None:
        """Tell a client that waits to send its body (RFC 9110 section 10.1.1).

        Raises:
            RequestError: ``bad_expectation``.
            HubError: as `admit` and `Bodies.admit`.
        """
        if request.version < HttpVersion11:
            return
        if request.headers["Expect"].strip().lower() != "100-continue":
            raise RequestError("Expect must be 100-continue", code="bad_expectation")
        await self.admit(request, public=public)
        if request.method not in SAFE:
            self._bodies.admit(request)
            if request.can_read_body and not request.content.total_bytes:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # this is not the response yet

    async def admit(self, request: web.Request, *, public: bool = False) -> None:
        """Check the head of a request, and give the request its principal, once.

        What is ``public`` needs no credential, and none is looked at.

        Raises:
            HubError: see `Hosts.check` and `Origins.check`; the credential does not hold, or is
                used too often.
        """
        if PRINCIPAL in request:
            return  # it was waited for with `expect`
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
        if self._authenticate is None:
            request[PRINCIPAL] = LOCAL
        elif public:
            request[PRINCIPAL] = NOBODY
        else:
            request[PRINCIPAL] = await self._authenticate(request)

    async def take(self, request: web.Request) -> int:
        """Read the body of an admitted request; returns the bytes to give to `over`.

        Raises:
            HubError: see `Bodies.take`.
        """
        return 0 if request.method in SAFE else await self._bodies.take(request)

    def over(self, taken: int) -> None:
        """Release what `take` took, once the request has its response."""
        self._bodies.give_back(taken)
