"""The checks that every request passes before its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, web

from hub.domain.errors import MISSING, Forbidden, RequestError, Unauthorized
from hub.domain.principal import LOCAL, NOBODY, Principal
from hub.http.bodies import Bodies
from hub.http.forwarded import TrustedProxies
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

    Without ``authenticate`` every principal is `hub.domain.principal.LOCAL`. Who has sent a body is
    charged with its bytes.
    """

    def __init__(
        self,
        proxies: TrustedProxies,
        hosts: Hosts,
        origins: Origins,
        bodies: Bodies,
        authenticate: Authenticate | None = None,
        charge: Callable[[Principal, int], None] | None = None,
    ) -> None:
        self._proxies = proxies
        self._hosts = hosts
        self._origins = origins
        self._bodies = bodies
        self._authenticate = authenticate
        self._charge = charge

    async def expect(
        self, request: web.Request, *, public: bool = False, reading: bool = False
    ) -> None:
        """Tell a client that waits to send its body (RFC 9110 section 10.1.1).

        Raises:
            RequestError: ``bad_expectation``.
            HubError: as `admit` and `Bodies.admit`.
        """
        if request.version < HttpVersion11:
            return
        if request.headers["Expect"].strip().lower() != "100-continue":
            raise RequestError("Expect must be 100-continue", code="bad_expectation")
        await self.admit(request, public=public, reading=reading)
        if request.method not in SAFE:
            self._bodies.admit(request)
            if request.can_read_body and not request.content.total_bytes:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # this is not the response yet

    async def admit(
        self, request: web.Request, *, public: bool = False, reading: bool = False
    ) -> None:
        """Check the head of a request, and give the request its principal, once.

        What is ``public`` needs no credential, and none is looked at. What is for ``reading`` is
        also for those who may only read one stream, whatever its method.

        Raises:
            HubError: see `Hosts.check` and `Origins.check`; the credential does not hold, is used
                too often, or is missing, a ticket or a share link where something is to be changed.
        """
        if PRINCIPAL in request:
            return  # it was waited for with `expect`
        self._proxies.identify(request)
        self._hosts.check(request)
        if request.method not in SAFE:
            self._origins.check(request)
        if self._authenticate is None:
            request[PRINCIPAL] = LOCAL
        elif public:
            request[PRINCIPAL] = NOBODY
        else:
            by = request[PRINCIPAL] = await self._authenticate(request)
            if request.method in SAFE:
                return
            # At once: its body would take up the memory for the bodies of others.
            if by.is_nobody:
                raise Unauthorized(MISSING)
            if not reading and (by.ticket or by.shared is not None):
                raise Forbidden("a ticket or a share link only reads", code="not_permitted")

    async def take(self, request: web.Request, *, public: bool = False) -> None:
        """Read the body of an admitted request, which it holds until `hub.http.bodies.release`.

        What is ``public`` needs no body, and nothing of one is kept.

        Raises:
            HubError: see `Bodies.take`.
        """
        if not public and request.method not in SAFE:
            by = request[PRINCIPAL]
            size = await self._bodies.take(request, by.counted_as)
            if self._charge is not None:
                self._charge(by, size)
