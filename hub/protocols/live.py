"""`GET /v1/live/{name}`: a stream as a plain HTTP response that lasts as long as the stream.

==========================  =============================================================
``Accept``, ``?format``     how to resume
==========================  =============================================================
text/event-stream, sse      ``Last-Event-ID`` or ``?from``, with the position in ``id:``
application/x-ndjson,       ``?from``, with the position in a ``{"type":"position"}`` line
ndjson
application/json, json      as NDJSON
text/plain, text            not at all: it is for people; begin at ``?from=start``
==========================  =============================================================

Streams that hold no events are read at `/v1/stream`; those of text also here, as text.

With ``?wait=true`` a stream need not exist yet: the response begins at once, beats, and sends
the stream once it begins. If its content does not fit the format, the response is cut, and a
second request is told why.

The response ends when the stream closes. If it ends without ``closed`` (for text: without the last
chunk of the body), it was cut and can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from hub.connections.connection import Pace
from hub.domain.errors import Gone, RequestError, StreamNotFound
from hub.domain.events import Cancelled, Failed, Interrupted
from hub.frames.ndjson import LINES, OBJECTS
from hub.frames.sse import EVENT_STREAM
from hub.frames.text import TEXT
from hub.http.admission import PRINCIPAL
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub, parse_from
from hub.protocols.formats import Format, chosen
from hub.protocols.response_connection import ResponseConnection
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["Live"]


_SSE: Final = Format("text/event-stream", EVENT_STREAM)
_TEXT: Final = Format("text/plain", TEXT)
_FORMATS: Final[Mapping[str, Format]] = {
    "sse": _SSE,
    "ndjson": Format("application/x-ndjson", LINES),
    "json": Format("application/json", OBJECTS),
    "text": _TEXT,
}


class Live:
    def __init__(self, hub: Hub, *, pace: Pace) -> None:
        self._hub = hub
        self._pace = pace

    def routes(self) -> list[web.RouteDef]:
        return [web.get(r"/v1/live/{name:[\s\S]+}", self._handle, allow_head=False)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # One function and not several, as its frame is kept for every reader.
        form = chosen(request, _FORMATS)
        # An EventSource that reconnects repeats its URL, so the header goes first.
        last = request.headers.get("Last-Event-ID")
        start = parse_from(last or request.query.get("from", "start"))
        waits = _waits(request)
        name = request.match_info["name"]
        stand_open(self._hub, request)
        headers = streaming_headers(form.content_type)
        stream: FollowedStream | None = None
        place = Place(0)
        try:
            stream = await self._hub.streams.open(name, by=request[PRINCIPAL])
        except StreamNotFound:
            if not waits:
                raise
            await self._hub.streams.check_wait(name, by=request[PRINCIPAL])
        else:
            if not (form is _TEXT and stream.settings.is_text):
                stream.expect_events()
            place = stream.place(start)
            if form is _TEXT and place.reset is not None:
                raise Gone(
                    "the text at this position is no longer kept: "
                    "read from=start, or in another format"
                )
            if form is _SSE and start != "now" and stream.closed and place == Place(stream.tail):
                # After any other response an EventSource would reconnect.
                return web.Response(status=204)
            headers["Stream-Next-Offset"] = str(stream.position_at(place.offset))
        reading = ResponseConnection(
            self._hub, request, headers, form.plain, self._pace, chunked=form.chunked
        )
        async with reading as connection:
            connection.write(connection.encoder.retry(lost()))
            if stream is None:
                await self._hub.streams.expect(connection, name, start, by=connection.by)
            else:
                connection.choose_encoder(stream)
                connection.subscribe(stream, place)
            await reading.over
            # Lines and server-sent events tell their end, so these may end like any rotation.
            whole = connection.complete or (connection.expired and form is not _TEXT)
            if not whole or (form is _TEXT and _cut_short(connection.last_closed)):
                # The body must not look complete: no last chunk, no clean end.
                connection.abort()
        return reading.response


def _waits(request: web.Request) -> bool:
    wait = request.query.get("wait", "false")
    if wait not in ("true", "false"):
        raise RequestError("wait must be true or false", code="bad_wait")
    return wait == "true"


def _cut_short(stream: FollowedStream | None) -> bool:
    """Whether a stream ends in a generation that did not finish."""
    last = None if stream is None else stream.last
    return last is not None and isinstance(last.event, Failed | Cancelled | Interrupted)
