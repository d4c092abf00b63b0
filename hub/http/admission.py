"""What every request goes through before its handler sees it."""

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
"""Where a request that was admitted keeps who makes it."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class Admission:
    """The name it is addressed to, the page it comes from, who makes it, and what it brings."""

    def __init__(self, hosts: Hosts, origins: Origins, bodies: Bodies) -> None:
        self._hosts = hosts
        self._origins = origins
        self._bodies = bodies

    async def expect(self, request: web.Request) -> None:
        """Tell a client that waits with its body to send it, or not (RFC 9110 section 10.1.1).

        Raises:
            RequestError: ``bad_expectation``; else as `admit`, for what the head tells.
        """
        if request.version < HttpVersion11:
            return
        if request.headers["Expect"].strip().lower() != "100-continue":
            raise RequestError("Expect can only be 100-continue", code="bad_expectation")
        self.admit(request)
        if request.method not in SAFE:
            self._bodies.admit(request)
            if request.can_read_body and not request.content.total_bytes:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # that was no answer yet

    def admit(self, request: web.Request) -> Principal:
        """Let a request in by its head, or not; who makes it.

        Raises:
            HubError: see `Hosts.check` and `Origins.check`.
        """
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
        return LOCAL

    async def take(self, request: web.Request) -> int:
        """Take the body of an admitted request; what `over` is to be told, in bytes.

        Raises:
            HubError: see `Bodies.take`.
        """
        return 0 if request.method in SAFE else await self._bodies.take(request)

    def over(self, taken: int) -> None:
        """The request is answered."""
        self._bodies.give_back(taken)
