"""Requests that stand open: WebSockets, streaming responses, and answers that are waited for.

Each principal has so many of them at a time (`OpenRequests.open`). One is counted before anything
is awaited, for the principal that is kept on the request, and until its handler ends, in whatever
way it does: `let_go` is called where all handlers are (`hub.app`).
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hub.domain.principal import Principal
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["hand_over", "let_go", "stand_open", "stay_open"]

COUNTED: Final = web.RequestKey("counted", Principal)
"""The key under which a request has the principal that it is counted for while it stands open."""


def stand_open(hub: Hub, request: web.Request) -> None:
    """Let a connection of a request stand open; also a second time.

    Raises:
        Draining, LimitExceeded: as `Hub.admit`.
        RateLimited: as `stay_open`.
    """
    hub.admit()
    stay_open(hub, request)


def stay_open(hub: Hub, request: web.Request) -> None:
    """Let a response stand open that is no connection of the hub's; also a second time.

    Raises:
        RateLimited: as many of its principal do as may.
    """
    if COUNTED not in request:
        by = request[PRINCIPAL]
        hub.callers.open.take(by.counted_as)
        request[COUNTED] = by


def hand_over(hub: Hub, request: web.Request, by: Principal) -> None:
    """Count a request that stands open for another principal from now on.

    Raises:
        RateLimited: as many of that one do as may; nothing changes.
    """
    if (name := by.counted_as) != request[COUNTED].counted_as:
        hub.callers.open.take(name)
        let_go(hub, request)
        request[COUNTED] = by


def let_go(hub: Hub, request: web.Request) -> None:
    """A request stands open no longer; also if it never did."""
    if COUNTED in request:
        hub.callers.open.give(request[COUNTED].counted_as)
        del request[COUNTED]
