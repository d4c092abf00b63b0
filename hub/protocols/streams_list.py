"""`GET /v1/streams`: which streams there are, a page at a time in the order of their names.

``?prefix=`` takes those whose names begin so, ``?after=`` those after a name, which is how to
ask for the next page while ``more`` is true, and ``?limit=`` so many.

It is off unless ``server.list_streams`` says otherwise: there is no login, and a name that
nobody can guess is what keeps a stream among those who know it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from hub.access.streams import Shown
from hub.domain.errors import Forbidden, RequestError
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["Listing"]

LIMIT: Final = 100
LARGEST: Final = 1000

_PART: Final = re.compile(r"[A-Za-z0-9._~:@+/-]*")
"""What a name may begin with."""


class Listing:
    """The list of one hub's streams; refused unless it is ``allowed``."""

    def __init__(self, hub: Hub, *, allowed: bool) -> None:
        self._hub = hub
        self._allowed = allowed

    def routes(self) -> list[web.RouteDef]:
        """The route, for an application's router."""
        return [web.get("/v1/streams", self._list, allow_head=False)]

    async def _list(self, request: web.Request) -> web.Response:
        if not self._allowed:
            raise Forbidden(
                "this hub does not list its streams: server.list_streams turns that on",
                code="listing_off",
            )
        prefix, after = _part(request, "prefix"), _part(request, "after")
        found, more = await self._hub.streams.listed(
            prefix, after, _limit(request), by=request[PRINCIPAL]
        )
        return web.json_response(
            {"streams": [_shown(one) for one in found], "more": more},
            headers={"Cache-Control": "no-store"},
        )


def _part(request: web.Request, key: str) -> str:
    part = request.query.get(key, "")
    if _PART.fullmatch(part) is None:
        raise RequestError(f"{key} is a stream's name, or the beginning of one", code="bad_name")
    return part


def _limit(request: web.Request) -> int:
    asked = request.query.get("limit", str(LIMIT))
    if not (asked.isascii() and asked.isdigit() and len(asked) < 5 and 0 < int(asked) <= LARGEST):
        raise RequestError(f"limit is a number from 1 to {LARGEST}", code="bad_limit")
    return int(asked)


def _shown(one: Shown) -> dict[str, Any]:
    stream = one.stream
    return {
        "name": stream.name,
        "content_type": stream.content_type,
        "closed": stream.closed,
        "tail": str(stream.tail),
        "running": one.running,
    }
