"""Where a request carries its credential.

``Authorization: Bearer …`` (RFC 6750 section 2.1), or, to read a stream, a ticket in the query:
``?ticket=…``, for clients that cannot send headers. A request with a credential that does not hold
is refused; it is never treated as one without.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from hub.domain.errors import Unauthorized

__all__ = ["bearer", "is_ticket", "query_ticket"]

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE | re.ASCII)

TICKETED: Final = ("/v1/live/{name}", "/v1/stream/{name}")
"""The routes that read a stream."""


def bearer(request: web.Request) -> str | None:
    """The credential of a request; ``None`` if it has none.

    Raises:
        Unauthorized: ``invalid_credential``: the header is there twice, or in another form.
    """
    given = request.headers.getall("Authorization", [])
    if not given:
        return None
    found = _BEARER.fullmatch(given[0])
    if len(given) > 1 or found is None:
        raise Unauthorized(
            "send the credential as Authorization: Bearer TOKEN", code="invalid_credential"
        )
    return found[1]


def is_ticket(token: str) -> bool:
    """Whether a credential claims to be a ticket (`hub.auth.tickets`)."""
    return token.startswith("st_")


def query_ticket(request: web.Request) -> str | None:
    """The ticket in the query of a request that reads a stream; ``None`` if it has none.

    Raises:
        Unauthorized: ``invalid_credential``: it is something else, which does not belong into a
            URL, or there are several.
    """
    resource = request.match_info.route.resource
    if "ticket" not in request.query or request.method not in ("GET", "HEAD"):
        return None
    if resource is None or not resource.canonical.endswith(TICKETED):
        return None
    given = request.query.getall("ticket")
    if len(given) > 1 or not is_ticket(given[0]):
        raise Unauthorized(
            "a URL may only have a ticket: get one with POST /v1/tickets", code="invalid_credential"
        )
    return given[0]
