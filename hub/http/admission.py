"""The checks that every request passes before its handler."""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, web

from hub.domain.errors import RequestError
from hub.domain.principal import LOCAL, Principal
from hub.http.bodies import Bodies
from hub.http.hosts import Hosts
from hub.http.origins import Origins

__all__ = ["PRINCIPAL", "Admission"]

PRINCIPAL: Final = web.RequestKey("principal", Principal)
"""The key under which an admitted request has its principal."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class Admission:
    """Checks a request's host, origin, principal and body."""

    def __init__(self, hosts: Hosts, origins: Origins, bodies: Bodies) -> None:
        self._hosts = hosts
        self._origins = origins
        self._bodies = bodies

    async def expect(self, request: web.Request) -> None:
        """Tell a client that waits to send its body (RFC 9110 section 10.1.1).

        Raises:
            RequestError: ``bad_expectation``.
            HubError: as `admit` and `Bodies.admit`.
        """
        if request.version < HttpVersion11:
            return
        if request.headers["Expect"].strip().lower() != "100-continue":
            raise RequestError("Expect must be 100-continue", code="bad_expectation")
        self.admit(request)
        if request.method not in SAFE:
            self._bodies.admit(request)
            if request.can_read_body and not request.content.total_bytes:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # this is not the response yet

    def admit(self, request: web.Request) -> Principal:
        """Check the head of a request, and return its principal.

        Raises:
            HubError: see `Hosts.check` and `Origins.check`.
        """
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
        return LOCAL

    async def take(self, request: web.Request) -> int:
        """Read the body of an admitted request; returns the bytes to give to `over`.

        Raises:
            HubError: see `Bodies.take`.
        """
        return 0 if request.method in SAFE else await self._bodies.take(request)

    def over(self, taken: int) -> None:
        """Release what `take` took, once the request has its response."""
        self._bodies.give_back(taken)
