"""Users that a trusted proxy names in a header, after it has signed them in itself.

Whoever sends the header without being a trusted proxy says nothing by it. The proxy adds it to
whatever request is made with its own cookies; so it only counts in requests of the hub's own pages,
like the hub's cookie.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from hub.domain.errors import RequestError
from hub.domain.grant_rules import Identity, Rules
from hub.domain.one_line import USER_LENGTH, is_user
from hub.domain.principal import Principal
from hub.http.forwarded import is_trusted
from hub.http.origins import from_own_page

__all__ = ["HEADER", "TrustedHeader"]

HEADER: Final = "header"
"""The credential of whoever a header names."""


class TrustedHeader:
    """The header with this ``name``. A connection lasts ``seconds`` and is then authenticated anew.

    ``clock`` counts seconds since 1970.
    """

    def __init__(
        self, name: str, rules: Rules, *, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._rules = rules
        self._seconds = seconds
        self._clock = clock

    def principal(self, request: web.Request) -> Principal | None:
        """Whom a trusted proxy says that a request comes from; ``None`` if it says nothing.

        Raises:
            RequestError: ``bad_header``: the header is there twice, or names nobody that a user
                can be.
        """
        if not is_trusted(request) or not from_own_page(request):
            return None
        given = request.headers.getall(self._name, [])
        if not given:
            return None
        user = given[0].strip()
        if len(given) > 1 or not is_user(user):
            raise RequestError(
                f"the proxy must send one {self._name} of 1 to {USER_LENGTH} characters, or none",
                code="bad_header",
            )
        return Principal(
            user,
            grants=self._rules.grants(Identity(user)),
            expires=self._clock() + self._seconds,
            credential=HEADER,
        )
