"""`GET /v1/streams`: the streams of a hub in the order of their names, page by page.

``?prefix=`` selects names that begin with it, ``?after=`` names after one, and ``?limit=`` is the
size of a page. While ``more`` is true, ``?after=`` with ``next`` gives the next page; a page may be
short, or even empty, before the last one.

It is off unless ``server.list_streams`` is set: without authentication a stream is protected only
by a name that nobody can guess. With it, the list has what the principal may ``list``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from hub.access.streams import Shown
from hub.access.visible_streams import CURSOR
from hub.domain.errors import Forbidden, RequestError
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["Listing"]

LIMIT: Final = 100
LARGEST: Final = 1000

_PART: Final = re.compile(r"[A-Za-z0-9._~:@+/-]*")
"""The beginning of a name."""
_CURSOR: Final = re.compile(re.escape(CURSOR) + "[A-Za-z0-9_-]{22}")


class Listing:
    """The list of one hub's streams; refused unless it is ``allowed``."""

    def __init__(self, hub: Hub, *, allowed: bool) -> None:
        self._hub = hub
        self._allowed = allowed

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/streams", self._list, allow_head=False)]

    async def _list(self, request: web.Request) -> web.Response:
        if not self._allowed:
            raise Forbidden(
                "this hub does not list its streams: set server.list_streams to turn that on",
                code="listing_off",
            )
        prefix, after = _part(request, "prefix"), request.query.get("after", "")
        if _CURSOR.fullmatch(after) is None:
            after = _part(request, "after")
        streams, following = await self._hub.streams.listed(
            prefix, after, _limit(request), by=request[PRINCIPAL]
        )
        return web.json_response(
            {
                "streams": [_to_json(one) for one in streams],
                "more": following is not None,
                **({} if following is None else {"next": following}),
            },
            headers={"Cache-Control": "no-store"},
        )


def _part(request: web.Request, key: str) -> str:
    part = request.query.get(key, "")
    if _PART.fullmatch(part) is None:
        raise RequestError(f"{key} must be the beginning of a stream's name", code="bad_name")
    return part


def _limit(request: web.Request) -> int:
    limit = request.query.get("limit", str(LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 0 < int(limit) <= LARGEST):
        raise RequestError(f"limit must be a number from 1 to {LARGEST}", code="bad_limit")
    return int(limit)


def _to_json(one: Shown) -> dict[str, Any]:
    stream = one.stream
    return {
        "name": stream.name,
        "content_type": stream.content_type,
        "closed": stream.closed,
        "tail": str(stream.tail),
        "running": one.running,
    }
