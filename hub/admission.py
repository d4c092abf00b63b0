"""What every request goes through before its handler sees it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hub.bodies import Bodies
from hub.hosts import Hosts
from hub.origins import Origins

__all__ = ["Admission"]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class Admission:
    """The name it is addressed to, the page it comes from, and what it brings."""

    def __init__(self, hosts: Hosts, origins: Origins, bodies: Bodies) -> None:
        self._hosts = hosts
        self._origins = origins
        self._bodies = bodies

    async def admit(self, request: web.Request) -> None:
        """Let a request in, with its body, or not.

        Raises:
            HubError: see `Hosts.check`, `Origins.check` and `Bodies.take`.
        """
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
            await self._bodies.take(request)
