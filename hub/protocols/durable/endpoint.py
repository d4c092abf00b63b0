"""`/v1/stream/{name}`: the Durable Streams Protocol, over the streams of the hub.

A JSON stream is a conversation like any other, and its messages are the events that WebSockets
and `/v1/live` carry. A stream of any other type is bytes, and is read only here.

========  =====================================================================================
``PUT``   create a stream, empty or with its first records, open or closed; or fork one
``POST``  append, close, or both
``GET``   read from an offset: what there is (catch-up); as soon as there is something
          (``live=long-poll``); continuously (``live=sse``)
``HEAD``  its settings and where it ends
========  =====================================================================================

A write is answered once it is committed. So is a duplicate, which may overtake the request that
it repeats.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from hub.access.permissions import Permission
from hub.connections.connection import Pace
from hub.domain.errors import Conflict, RequestError
from hub.domain.events import recorded
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body
from hub.domain.stream_settings import StreamSettings, essence
from hub.frames.chunked import Chunked
from hub.frames.encoder import Batch
from hub.http.admission import PRINCIPAL
from hub.http.bodies import body_of
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.durable import headers, json_messages, responses, sse
from hub.protocols.response_connection import ResponseConnection
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["Durable"]

DEFAULT_TYPE: Final = "application/octet-stream"

_SHARED: Final = {
    encoder.write: (encoder, Chunked(encoder))
    for encoder in (sse.JSON_ARRAYS, sse.TEXT_LINES, sse.BINARY)
}
"""The encoders of clients that know no interval, or one that is over."""


class Durable:
    def __init__(
        self, hub: Hub, *, pace: Pace, long_poll_seconds: float, sse_rotate_seconds: float
    ) -> None:
        self._hub = hub
        self._pace = pace
        self._long_poll = long_poll_seconds
        self._rotate = sse_rotate_seconds

    def routes(self) -> list[web.RouteDef]:
        path = r"/v1/stream/{name:[\s\S]+}"
        return [
            web.put(path, responses.sandboxed(self._create)),
            web.post(path, responses.sandboxed(self._append)),
            web.get(path, responses.sandboxed(self._read), allow_head=False),
            web.head(path, responses.sandboxed(self._describe)),
            web.delete(path, responses.sandboxed(self._delete)),
        ]

    # Writing

    async def _create(self, request: web.Request) -> web.Response:
        streams, name, by = self._hub.streams, request.match_info["name"], request[PRINCIPAL]
        fork = headers.fork(request)
        settings = headers.settings(request, DEFAULT_TYPE if fork is None else "")
        close = headers.closes(request)
        body = await body_of(request)
        if fork is None:
            bodies = _records(settings, body)
            outcome = await streams.make(name, settings, bodies, close=close, by=by)
        else:
            if body:
                # Records are made for one type: the source must still have it when they are
                # written.
                source = await streams.open(fork.source, by=by)
                settings = settings.of_type_of(source.settings)
            outcome = await streams.fork(
                name,
                fork.source,
                fork.position,
                settings=settings,
                further=fork.further,
                bodies=_records(settings, body),
                close=close,
                by=by,
            )
        await streams.committed(name)
        shown = {"Content-Type": outcome.content_type, **_end(outcome)}
        if outcome.duplicate:
            return web.Response(headers=shown)
        return web.Response(status=201, headers={**shown, "Location": headers.address(request)})

    async def _append(self, request: web.Request) -> web.Response:
        stamp = headers.stamp(request)
        close = headers.closes(request)
        sequence = headers.named(request, "Stream-Seq")
        body = await body_of(request)
        by = request[PRINCIPAL]
        to: Permission = "append" if body else "close"
        stream = await self._hub.streams.open_to(to, request.match_info["name"], by=by)
        if not body and not close:
            raise RequestError("the body is empty: there is nothing to append", code="empty_body")
        if body and not stream.sealed:
            _check_type(request, stream)
        # The response for a closed stream or a duplicate does not depend on the body.
        outcome = self._hub.streams.judge(stream, stamp, only_close=not body, by=by)
        if outcome is None:
            bodies = _records(stream.settings, body)
            if body and not bodies:
                raise RequestError(
                    "the array is empty: there is nothing to append", code="bad_json"
                )
            outcome = await self._hub.streams.write(
                stream.name,
                bodies,
                stamp=stamp,
                sequence=sequence,
                close=close,
                epoch=stream.epoch,
                by=by,
            )
        await self._hub.streams.committed(stream.name)
        new = body and stamp is not None and not outcome.duplicate
        return web.Response(status=200 if new else 204, headers=_end(outcome, stamp))

    async def _delete(self, request: web.Request) -> web.Response:
        await self._hub.streams.delete(request.match_info["name"], by=request[PRINCIPAL])
        await self._hub.streams.committed()
        return web.Response(status=204)

    # Reading

    async def _describe(self, request: web.Request) -> web.Response:
        stream = await self._hub.streams.open(request.match_info["name"], by=request[PRINCIPAL])
        shown = {"Content-Type": stream.content_type, "Cache-Control": "no-store"}
        shown |= responses.end_headers(stream.position, closed=stream.closed)
        if stream.settings.ttl is not None:
            shown["Stream-TTL"] = str(stream.settings.ttl)
        if stream.settings.expires_at is not None:
            shown["Stream-Expires-At"] = stream.settings.expires_at
        return web.Response(headers=shown)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        start, live = headers.reading(request)
        stream = await self._hub.streams.open(request.match_info["name"], by=request[PRINCIPAL])
        place = responses.check_kept(stream.place(start or "start"))
        await self._hub.streams.touch(stream.name)
        if live == "sse":
            return await self._follow(request, stream, place)
        if live == "long-poll":
            return await self._poll(request, stream, place.offset)
        part = await responses.read_part(stream, place.offset)
        if start == "now":
            empty = part._replace(bodies=[])
            return empty.response(stream.settings, {"Cache-Control": "no-store"})
        tag = f"{part.start}:{part.end}{':c' if part.closed else ''}"
        # Asked again each time, because it depends on who asks; a URL with a ticket is never kept.
        kept = "no-store" if "ticket" in request.query else "private, no-cache"
        shown = {"ETag": f'"{tag}"', "Cache-Control": kept, "Vary": "Authorization, Cookie"}
        if any(known.value in (tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers={**shown, **part.headers})
        return part.response(stream.settings, shown)

    async def _poll(
        self, request: web.Request, stream: FollowedStream, offset: int
    ) -> web.Response:
        position = stream.position_at(offset)
        stand_open(self._hub, request)
        by = request[PRINCIPAL]
        await self._hub.callers.until(
            stream, lambda: stream.tail > offset or stream.closed, within=self._long_poll, by=by
        )
        self._hub.check_current(by)
        # By now it may have been deleted, or even created again.
        stream = await self._hub.streams.open(stream.name, by=by)
        place = responses.check_kept(stream.place(position))
        part = await responses.read_part(stream, place.offset)
        empty = not part.bodies and part.end.offset == part.start.offset
        return responses.polled(request, part, stream.settings, empty=empty)

    async def _follow(
        self, request: web.Request, stream: FollowedStream, place: Place
    ) -> web.StreamResponse:
        # One function and not several, as its frame is kept for every reader.
        stand_open(self._hub, request)
        write = sse.data_writer(stream.settings)
        encoder, chunked = _SHARED[write]
        known = headers.known_interval(request)
        if known is not None and known >= sse.interval():
            encoder = sse.DurableEvents(write, known=known)
            chunked = Chunked(encoder)
        reading = ResponseConnection(
            self._hub, request, _sse_headers(stream, place), encoder, self._pace, chunked=chunked
        )
        async with reading as connection:
            connection.write(connection.encoder.retry(lost()))
            if place.offset == stream.tail and not stream.closed:
                here = Batch(stream.name, [], stream.position, latest=True)
                connection.write(connection.encoder.events(here))
            connection.subscribe(stream, place)
            await asyncio.wait([reading.over], timeout=self._rotate)
            await reading.rotate()
        return reading.response


def _records(settings: StreamSettings, body: bytes) -> list[Body]:
    """The records that a body becomes."""
    if not body:
        return []
    if not settings.is_json:
        return [(body, None)]
    return [(message, recorded(message)) for message in json_messages.split(body)]


def _check_type(request: web.Request, stream: FollowedStream) -> None:
    given = headers.content_type(request)
    if given is None:
        raise RequestError("Content-Type is missing", code="bad_content_type")
    if essence(given) != essence(stream.content_type):
        raise Conflict(
            f"the content type of this stream is {stream.content_type}", code="content_type"
        )


def _end(outcome: Outcome, stamp: Stamp | None = None) -> dict[str, str]:
    """Where a stream ends after a write, and what has been accepted from the producer."""
    shown = responses.end_headers(outcome.position, closed=outcome.closed)
    if stamp is not None:
        shown |= {"Producer-Epoch": str(stamp.epoch), "Producer-Seq": str(outcome.number)}
    return shown


def _sse_headers(stream: FollowedStream, place: Place) -> dict[str, str]:
    shown = streaming_headers("text/event-stream", charset=False)
    shown["Cache-Control"] = "no-cache, no-store, no-transform"
    shown["Stream-Next-Offset"] = str(stream.position_at(place.offset))
    if not (stream.settings.is_json or stream.settings.is_text):
        shown["Stream-SSE-Data-Encoding"] = "base64"
    return {**shown, **responses.SANDBOXED}
