"""Where a request carries its credential.

``Authorization: Bearer …`` (RFC 6750 section 2.1). A request with a credential that does not hold
is refused; it is never treated as one without.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from hub.domain.errors import Unauthorized

__all__ = ["bearer"]

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE | re.ASCII)


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
