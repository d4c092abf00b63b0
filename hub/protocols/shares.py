"""`/v1/shares` and `/v1/tickets`: let somebody, or something, read one stream.

A share link is for people, and lives until it is revoked. A ticket is for a program that cannot
send headers, such as an ``EventSource``: it stands for the credential that it was made with.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, Strict

from hub.access.shares import Share
from hub.auth.gate import Gate, auth_off
from hub.domain.errors import RequestError, StreamNotFound
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.json_models import Integer, integral
from hub.hub import Hub, parse_from

__all__ = ["LARGEST", "LONGEST_TICKET", "ShareAsked", "Shares", "TicketAsked"]

LIMIT: Final = 100
LARGEST: Final = 1000
"""Links in a page."""

TICKET_SECONDS: Final = 3600
LONGEST_TICKET: Final = 86_400

LIVE: Final = "live"

_NOT_STORED: Final = {"Cache-Control": "no-store"}


class ShareAsked(BaseModel):
    """The body of a POST; what is left out is a live link that does not expire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    until: str | None = None
    """``live``, ``now`` or a position: how much the link shows."""
    expires_in: Integer | None = None
    """Seconds."""
    title: str | None = None


class TicketAsked(BaseModel):
    """The body of a POST."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    expires_in: Annotated[int, Strict(), Field(ge=1, le=LONGEST_TICKET), integral] = TICKET_SECONDS
    """Seconds."""


class Shares:
    """The share links and the tickets of one hub; refused unless ``gate`` checks them."""

    def __init__(self, hub: Hub, gate: Gate | None) -> None:
        self._hub = hub
        self._gate = gate if gate is not None and gate.takes_tokens else None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/shares", self._create),
            web.get("/v1/shares", self._list, allow_head=False),
            web.delete("/v1/shares/{id:[^/]+}", self._revoke),
            web.post("/v1/tickets", self._ticket),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        asked = await read_json(request, ShareAsked)
        self._check_auth()
        share, secret = await self._hub.shares.create(
            asked.stream,
            until=None if asked.until in (None, LIVE) else parse_from(asked.until),
            expires_in=asked.expires_in,
            title=asked.title,
            by=request[PRINCIPAL],
        )
        url = f"{_prefix(request, '/v1/shares')}/s/{secret}"
        body = {**_to_json(share), "url": url}
        return web.json_response(body, status=201, headers=_NOT_STORED)

    async def _list(self, request: web.Request) -> web.Response:
        self._check_auth()
        found, more = await self._hub.shares.listed(
            request.query.get("stream"),
            request.query.get("after", ""),
            _limit(request),
            by=request[PRINCIPAL],
        )
        body = {"shares": [_to_json(share) for share in found], "more": more}
        return web.json_response(body, headers=_NOT_STORED)

    async def _revoke(self, request: web.Request) -> web.Response:
        self._check_auth()
        await self._hub.shares.revoke(request.match_info["id"], by=request[PRINCIPAL])
        return web.Response(status=204)

    async def _ticket(self, request: web.Request) -> web.Response:
        asked, by = await read_json(request, TicketAsked), request[PRINCIPAL]
        if self._gate is None:
            raise auth_off()
        self._hub.permissions.check_credential(by)
        try:
            await self._hub.streams.open(asked.stream, by=by)
        except StreamNotFound:
            await self._hub.streams.check_wait(asked.stream, by=by)
        text, expires = await self._gate.ticket(request, by, asked.stream, asked.expires_in)
        prefix = _prefix(request, "/v1/tickets")
        body = {
            "ticket": text,
            "expires_at": _time(expires),
            "url": f"{prefix}/v1/live/{quote(asked.stream)}?ticket={text}",
        }
        return web.json_response(body, status=201, headers=_NOT_STORED)

    def _check_auth(self) -> None:
        if self._gate is None:
            raise auth_off()


def _prefix(request: web.Request, route: str) -> str:
    """What comes before the hub's routes: maybe that of an application around it."""
    return request.rel_url.raw_path.removesuffix(route)


def _limit(request: web.Request) -> int:
    limit = request.query.get("limit", str(LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 0 < int(limit) <= LARGEST):
        raise RequestError(f"limit must be a number from 1 to {LARGEST}", code="bad_limit")
    return int(limit)


def _to_json(share: Share) -> dict[str, Any]:
    return {
        "id": share.id,
        "stream": share.stream,
        "title": share.title,
        "until": LIVE if share.until is None else str(share.until),
        "created_by": share.by,
        "created_at": _time(share.created),
        "expires_at": None if share.expires is None else _time(share.expires),
    }


def _time(seconds: float) -> str:
    """A time as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
