"""`POST /v1/follow`: many streams in one plain HTTP response.

It is for clients without a WebSocket, whose connections are few: browsers open six to a host over
HTTP/1.1. The body lists the streams, each with its place; the response has the messages of the
WebSocket (`hub.v1`) as server-sent events or as lines of NDJSON. To change the set, a client ends
the response and asks again with the positions that it has by then: the hub keeps nothing of it.

Each stream is answered by an ``ok`` with its place, or by an ``error`` of its own while the others
go on. The response ends when all of its streams have, and after `streams.sse_rotate_seconds`. If
it ends and a stream was neither ``closed`` nor refused, the client asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from aiohttp import web
from pydantic import AfterValidator, Field, RootModel
from pydantic_core import PydanticCustomError

from hub.connections.connection import Pace
from hub.domain.errors import HubError
from hub.domain.principal import Principal
from hub.frames.follow import MESSAGE_EVENTS, MESSAGE_LINES
from hub.frames.messages import error_message
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json, release
from hub.http.json_models import FIELDS, Few, fail_fast
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.formats import Format, chosen
from hub.protocols.response_connection import ResponseConnection
from hub.protocols.standing import stand_open
from hub.protocols.subscribing import SubscriptionAsked, subscribe
from hub.streams.turns import next_turn

__all__ = ["Follow", "FollowAsked"]

STREAM_BYTES: Final = 16_384
"""What a stream costs, as bytes of a request's body: it is opened, checked and answered."""

AT_ONCE: Final = 16
"""Streams that are begun in one turn of the loop."""

_FORMATS: Final[Mapping[str, Format]] = {
    "sse": Format("text/event-stream", MESSAGE_EVENTS),
    "ndjson": Format("application/x-ndjson", MESSAGE_LINES),
}


def _each_once(asked: tuple[SubscriptionAsked, ...]) -> tuple[SubscriptionAsked, ...]:
    if len({one.stream for one in asked}) < len(asked):
        raise PydanticCustomError("hub", "should name each stream once")
    return asked


class FollowAsked(
    RootModel[
        Annotated[
            tuple[Annotated[SubscriptionAsked, Few], ...],
            fail_fast,
            Field(min_length=1, max_length=FIELDS),
            AfterValidator(_each_once),
        ]
    ]
):
    """The body: the streams, each once."""


class Follow:
    """``tab`` charges a principal with the streams that it asks for (`hub.auth.gate.Gate.tab`)."""

    def __init__(
        self,
        hub: Hub,
        tab: Callable[[Principal], Callable[[int], None]],
        *,
        pace: Pace,
        rotate_seconds: float,
    ) -> None:
        self._hub = hub
        self._tab = tab
        self._pace = pace
        self._rotate = rotate_seconds

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/follow", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # One function and not several, as its frame is kept for every reader.
        stand_open(self._hub, request)
        form = chosen(request, _FORMATS)
        wanted = list((await read_json(request, FollowAsked)).root)
        # Before it begins: then all of it is refused, and can be asked for later.
        self._tab(request[PRINCIPAL])(STREAM_BYTES * len(wanted))
        release(request)  # the response may last long
        headers = streaming_headers(form.content_type)
        reading = ResponseConnection(
            self._hub, request, headers, form.plain, self._pace, chunked=form.chunked
        )
        async with reading as connection:
            connection.opening = True
            while wanted and not connection.ended:
                if len(wanted) % AT_ONCE == 0:
                    await next_turn()
                asked = wanted.pop(0)
                try:
                    await subscribe(self._hub, connection, asked)
                except HubError as error:
                    await connection.tell(error_message(error, stream=asked.stream))
            connection.opened()
            await asyncio.wait([reading.over], timeout=self._rotate)
            await reading.rotate()
        return reading.response
