"""What every request goes through before its handler sees it."""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, web

from hub.domain.errors import RequestError
from hub.http.bodies import Bodies
from hub.http.hosts import Hosts
from hub.http.origins import Origins

__all__ = ["Admission"]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class Admission:
    """The name it is addressed to, the page it comes from, and what it brings."""

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
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
            self._bodies.admit(request)
            if request.can_read_body and not request.content.total_bytes:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # that was no answer yet

    async def admit(self, request: web.Request) -> int:
        """Let a request in, with its body, or not; what `over` is to be told.

        Raises:
            HubError: see `Hosts.check`, `Origins.check` and `Bodies.take`.
        """
        self._hosts.check(request)
        if request.method in SAFE:
            return 0
        self._origins.check(request)
        return await self._bodies.take(request)

    def over(self, taken: int) -> None:
        """The request is answered."""
        self._bodies.give_back(taken)
