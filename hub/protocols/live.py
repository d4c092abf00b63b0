"""`GET /v1/live/{name}`: a stream as a plain HTTP response that goes on.

=========================  ========  ==========================================================
``Accept`` or ``?format``  is        how it resumes
=========================  ========  ==========================================================
text/event-stream          sse       ``id:`` is the position, ``Last-Event-ID`` or ``?from``
application/x-ndjson       ndjson    ``{"type":"position"}`` lines, ``?from``
application/json           json      as ndjson
text/plain                 text      not at all: it is for people; begin at ``?from=start``
=========================  ========  ==========================================================

A stream whose records are not events is read at `/v1/stream`; one of text, also here as text.

With ``?wait=true`` a stream that is not there yet is waited for: the response begins at once,
beats, and tells the stream from its start. If what begins cannot be told in this format, the
response is cut, and whoever asks again is answered with the reason.

The response ends when the stream closes. What ends without having been told of the end
(``closed``, or for text the last chunk of the body) was cut and may be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from hub.connections.connection import Pace
from hub.domain.errors import Gone, RequestError, StreamNotFound
from hub.domain.events import Cancelled, Failed, Interrupted
from hub.frames.chunked import Chunked
from hub.frames.encoder import Encoder
from hub.frames.ndjson import LINES, OBJECTS
from hub.frames.sse import EVENT_STREAM
from hub.frames.text import TEXT
from hub.http.admission import PRINCIPAL
from hub.http.response_formats import endless
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub, parse_from
from hub.protocols.response_connection import ResponseConnection
from hub.streams.followed import FollowedStream
from hub.streams.history import From, Place

__all__ = ["Live"]


class _Format:
    """One form of the response: its content type, and its encoder with and without chunks."""

    def __init__(self, content_type: str, encoder: Encoder, *, untold: bool = False) -> None:
        self.content_type = content_type
        self.untold = untold
        """It has no words for a reset, or for how it ends."""
        self.plain = encoder
        self.chunked: Encoder = Chunked(encoder)


_SSE: Final = _Format("text/event-stream", EVENT_STREAM)
_TEXT: Final = _Format("text/plain", TEXT, untold=True)
_FORMATS: Final[Mapping[str, _Format]] = {
    "sse": _SSE,
    "ndjson": _Format("application/x-ndjson", LINES),
    "json": _Format("application/json", OBJECTS),
    "text": _TEXT,
}


class Live:
    """The live endpoint of one hub."""

    def __init__(self, hub: Hub, *, pace: Pace) -> None:
        self._hub = hub
        self._pace = pace

    def routes(self) -> list[web.RouteDef]:
        """The route, for an application's router."""
        return [web.get(r"/v1/live/{name:[\s\S]+}", self._handle, allow_head=False)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # One function, not several: every reader that stays keeps its frame.
        form = _format(request)
        start = _start(request)
        waits = _waits(request)
        name = request.match_info["name"]
        self._hub.admit()
        headers = streaming_headers(form.content_type)
        stream: FollowedStream | None = None
        place = Place(0)
        try:
            stream = await self._hub.streams.open(name, by=request[PRINCIPAL])
        except StreamNotFound:
            if not waits:
                raise
        else:
            if not (form is _TEXT and stream.settings.is_text):
                stream.expect_events()
            place = stream.place(start)
            if form.untold and place.reset is not None:
                raise Gone(
                    "the text from there on is no longer kept, and plain text cannot say so: "
                    "read from=start, or another format"
                )
            if form is _SSE and start != "now" and stream.closed and place == Place(stream.tail):
                # 204 is the one answer after which an EventSource does not come back.
                return web.Response(status=204)
            headers["Stream-Next-Offset"] = str(stream.position_at(place.offset))
        response = endless(request, headers)
        encoder = form.chunked if response.chunked else form.plain
        reading = ResponseConnection(self._hub, request, response, encoder, self._pace)
        async with reading as connection:
            connection.write(connection.encoder.retry(lost()))
            if stream is None:
                await self._hub.streams.expect(connection, name, start, by=connection.by)
            else:
                connection.choose_encoder(stream)
                connection.subscribe(stream, place)
            await reading.over
            if not connection.complete or (form.untold and _cut_short(connection.last_closed)):
                # The body must not look whole: no last chunk, no clean end.
                connection.abort()
        return response


def _format(request: web.Request) -> _Format:
    asked = request.query.get("format")
    if asked is not None:
        form = _FORMATS.get(asked)
        if form is None:
            raise RequestError(f"format is one of {', '.join(_FORMATS)}", code="bad_format")
        return form
    accepted = request.headers.get("Accept", "").lower()
    ranked = sorted(
        ((_quality(part), part.split(";")[0].strip()) for part in accepted.split(",")),
        key=lambda ranking: -ranking[0],
    )
    by_type = {form.content_type: form for form in _FORMATS.values()}
    return next((by_type[kind] for _, kind in ranked if kind in by_type), _SSE)


def _quality(part: str) -> float:
    """The weight of one member of ``Accept`` (RFC 9110 section 12.4.2)."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _start(request: web.Request) -> From:
    # A reconnecting EventSource repeats its URL, so what it has read last counts more.
    asked = request.headers.get("Last-Event-ID") or request.query.get("from", "start")
    return parse_from(asked)


def _waits(request: web.Request) -> bool:
    asked = request.query.get("wait", "false")
    if asked not in ("true", "false"):
        raise RequestError("wait is true or false", code="bad_wait")
    return asked == "true"


def _cut_short(stream: FollowedStream | None) -> bool:
    last = None if stream is None else stream.last
    return last is not None and isinstance(last.event, Failed | Cancelled | Interrupted)
