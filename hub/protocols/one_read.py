"""Large reads that are asked for with a few bytes: each caller has one at a time.

Callers are told from each other by their principals, or else by their addresses, so that one with
a thousand requests delays nobody else's. The reads of several callers have turns of the loop, one
after the other (`hub.streams.turns`).
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from hub.auth.gate import address_of
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["one_read"]


def one_read(hub: Hub, request: web.Request) -> asyncio.Lock:
    """What the caller of a request holds while it reads."""
    caller = request[PRINCIPAL].counted_as
    # Without authentication everybody is one principal.
    return hub.callers.reads.of(caller or f"address {address_of(request)}")
