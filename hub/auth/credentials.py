"""Where a request carries its credential.

``Authorization: Bearer …`` (RFC 6750 section 2.1). A request with a credential that does not hold is
refused; it is never taken for one without.
"""

from __future__ import annotations

from aiohttp import web

from hub.domain.errors import Unauthorized

__all__ = ["bearer"]


def bearer(request: web.Request) -> str | None:
    """The credential of a request; ``None`` if it has none.

    Raises:
        Unauthorized: ``invalid_credential``: the header is there twice, or in another form.
    """
    given = request.headers.getall("Authorization", [])
    if not given:
        return None
    scheme, _, token = given[0].strip().partition(" ")
    token = token.strip()
    if len(given) > 1 or scheme.lower() != "bearer" or not token or not token.isascii():
        raise Unauthorized(
            "send the credential as Authorization: Bearer TOKEN", code="invalid_credential"
        )
    return token
