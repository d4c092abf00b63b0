"""`/v1/stream/{name}`: the Durable Streams Protocol, over the streams of the hub.

A JSON stream is a conversation like any other, and its messages are the events that
WebSockets and `/v1/live` speak of. A stream of any other type is bytes, and is read here.

========  =====================================================================================
``PUT``   make a stream, empty or with its first records, open or closed; or fork one
``POST``  append, close, or both
``GET``   read from an offset: what there is (catch-up); as soon as there is something
          (``live=long-poll``); as it comes (``live=sse``)
``HEAD``  what it is and where it ends
========  =====================================================================================

Whatever changes a stream is answered when the store has it, duplicates too: a duplicate may
overtake what it repeats.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from aiohttp import web

from hub.access.permissions import Permission
from hub.connections.connection import Pace
from hub.domain.errors import Conflict, RequestError
from hub.domain.events import recorded
from hub.domain.outcome import Outcome
from hub.domain.principal import Principal
from hub.domain.records import Body
from hub.domain.stream_settings import StreamSettings, essence
from hub.frames.chunked import Chunked
from hub.frames.encoder import Batch, Encoder
from hub.http.admission import PRINCIPAL
from hub.http.response_formats import endless
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.durable import headers as headers
from hub.protocols.durable import json_messages, sse
from hub.protocols.durable import responses as answers
from hub.protocols.durable.sse import DurableEvents
from hub.protocols.response_connection import ResponseConnection
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["Durable"]

BINARY: Final = "application/octet-stream"


class _Form(NamedTuple):
    """How one kind of content is sent as events: to all who know no interval, or an old one."""

    plain: DurableEvents
    chunked: Encoder


_FORMS: Final = {
    encoder.write: _Form(encoder, Chunked(encoder))
    for encoder in (sse.JSON_ARRAYS, sse.TEXT_LINES, sse.BINARY)
}


class Durable:
    """The protocol's endpoint of one hub."""

    def __init__(
        self, hub: Hub, *, pace: Pace, long_poll_seconds: float, sse_rotate_seconds: float
    ) -> None:
        self._hub = hub
        self._pace = pace
        self._long_poll = long_poll_seconds
        self._rotate = sse_rotate_seconds

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        path = r"/v1/stream/{name:[\s\S]+}"
        return [
            web.put(path, answers.guarded(self._create)),
            web.post(path, answers.guarded(self._append)),
            web.get(path, answers.guarded(self._read), allow_head=False),
            web.head(path, answers.guarded(self._describe)),
            web.delete(path, answers.guarded(self._delete)),
        ]

    # Making

    async def _create(self, request: web.Request) -> web.Response:
        name, by = request.match_info["name"], request[PRINCIPAL]
        asked = headers.fork_asked(request, _root(request))
        settings = headers.settings(request, BINARY if asked is None else "")
        closing = headers.closes(request)
        body = await _body(request)
        if asked is not None:
            outcome = await self._fork(name, asked, settings, body, closing=closing, by=by)
        else:
            bodies = _bodies(settings, body)
            outcome = await self._hub.streams.make(name, settings, bodies, close=closing, by=by)
        told = {"Content-Type": outcome.content_type, **answers.written(outcome)}
        await self._hub.streams.committed(name)
        if outcome.duplicate:
            return web.Response(headers=told)
        return web.Response(status=201, headers={**told, "Location": headers.address(request)})

    async def _fork(
        self,
        name: str,
        asked: headers.ForkAsked,
        settings: StreamSettings,
        body: bytes,
        *,
        closing: bool,
        by: Principal,
    ) -> Outcome:
        streams, bodies = self._hub.streams, list[Body]()
        if body:
            # Records are made for one type: the source must still be of it when they are written.
            source = (await streams.open(asked.source, by=by)).settings
            settings = settings.of_type_of(source)
            bodies = _bodies(settings, body)
        return await streams.fork(
            name,
            asked.source,
            asked.position,
            settings=settings,
            further=asked.further,
            bodies=bodies,
            close=closing,
            by=by,
        )

    # Writing

    async def _append(self, request: web.Request) -> web.Response:
        stamp = headers.stamp(request)
        closing = headers.closes(request)
        sequence = headers.named(request, "Stream-Seq")
        body = await _body(request)
        by = request[PRINCIPAL]
        to: Permission = "append" if body else "close"
        stream = await self._hub.streams.open(request.match_info["name"], by=by, to=to)
        if not body and not closing:
            raise RequestError("there is nothing to append: the body is empty", code="empty_body")
        if body and not stream.sealed:
            _check_type(request, stream)
        # A closed stream and a duplicate have their answer whatever the body holds.
        outcome = stream.judge(stamp, only_close=not body)
        if outcome is None:
            bodies = _bodies(stream.settings, body)
            if body and not bodies:
                raise RequestError(
                    "there is nothing to append: the array is empty", code="bad_json"
                )
            outcome = await self._hub.streams.write(
                stream.name,
                bodies,
                stamp=stamp,
                sequence=sequence,
                close=closing,
                epoch=stream.epoch,
                by=by,
            )
        await self._hub.streams.committed(stream.name)
        new = body and stamp is not None and not outcome.duplicate
        return web.Response(status=200 if new else 204, headers=answers.written(outcome, stamp))

    async def _delete(self, request: web.Request) -> web.Response:
        await self._hub.streams.delete(request.match_info["name"], by=request[PRINCIPAL])
        await self._hub.streams.committed()
        return web.Response(status=204)

    # Reading

    async def _describe(self, request: web.Request) -> web.Response:
        stream = await self._hub.streams.open(request.match_info["name"], by=request[PRINCIPAL])
        told = {"Content-Type": stream.content_type, **answers.shown(stream)}
        told["Cache-Control"] = "no-store"
        if stream.settings.ttl is not None:
            told["Stream-TTL"] = str(stream.settings.ttl)
        if stream.settings.expires_at is not None:
            told["Stream-Expires-At"] = stream.settings.expires_at
        return web.Response(headers=told)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        start = headers.offset(request)
        live = request.query.get("live")
        if live is not None and start is None:
            raise RequestError("to read live, say from which offset", code="bad_position")
        if live not in (None, "long-poll", "sse"):
            raise RequestError("live is long-poll or sse", code="bad_live")
        stream = await self._hub.streams.open(request.match_info["name"], by=request[PRINCIPAL])
        place = answers.kept(stream.place(start or "start"))
        await self._hub.streams.touch(stream.name)
        if live == "sse":
            return await self._follow(request, stream, place)
        if live == "long-poll":
            return await self._poll(request, stream, place.offset)
        part = await answers.part(stream, place.offset)
        if start == "now":
            nothing = part._replace(bodies=[])
            return answers.catch_up(stream, nothing, {"Cache-Control": "no-store"})
        tag = f"{part.start}:{part.end}{':c' if part.closed else ''}"
        told = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
        if any(known.value in (tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers={**told, **answers.told(part)})
        return answers.catch_up(stream, part, told)

    async def _poll(
        self, request: web.Request, stream: FollowedStream, offset: int
    ) -> web.Response:
        position = stream.position_at(offset)
        self._hub.admit()
        await self._hub.callers.until(
            stream, lambda: stream.tail > offset or stream.closed, within=self._long_poll
        )
        # It may have been deleted in the meantime, or even begun anew.
        stream = await self._hub.streams.open(stream.name, by=request[PRINCIPAL])
        part = await answers.part(stream, answers.kept(stream.place(position)).offset)
        told = {"Cache-Control": "no-store"}
        if not part.closed:
            told["Stream-Cursor"] = str(sse.interval(headers.known_interval(request)))
        if part.end.offset > part.start.offset or part.bodies:
            return answers.catch_up(stream, part, told)
        return web.Response(status=204, headers={**told, **answers.told(part)})

    async def _follow(
        self, request: web.Request, stream: FollowedStream, place: Place
    ) -> web.StreamResponse:
        # One function, not several: every reader that stays keeps its frame.
        self._hub.admit()
        response = endless(request, _following(stream, place))
        encoder = _encoder(request, stream, chunked=response.chunked)
        reading = ResponseConnection(self._hub, request, response, encoder, self._pace)
        async with reading as connection:
            connection.write(encoder.retry(lost()))
            if place.offset == stream.tail and not stream.closed:
                here = Batch(stream.name, [], stream.position, latest=True)
                connection.write(encoder.events(here))
            connection.subscribe(stream, place)
            await asyncio.wait([reading.over], timeout=self._rotate)
            await reading.rotate()
        return response


# Requests


def _root(request: web.Request) -> str:
    """The path under which all streams lie, also where the hub is part of another application."""
    before, found, _ = request.rel_url.raw_path.partition("/v1/stream/")
    return before + found


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        said = "the body is not what Content-Encoding or Transfer-Encoding says it is"
        raise RequestError(said, code="bad_body") from None


def _bodies(settings: StreamSettings, body: bytes) -> list[Body]:
    """The records that a body becomes."""
    if not body:
        return []
    if not settings.is_json:
        return [(body, None)]
    return [(message, recorded(message)) for message in json_messages.split(body)]


def _check_type(request: web.Request, stream: FollowedStream) -> None:
    given = headers.content_type(request)
    if given is None:
        raise RequestError("say what the body is: Content-Type", code="bad_content_type")
    if essence(given) != essence(stream.content_type):
        raise Conflict(f"this stream takes {stream.content_type}", code="content_type")


# Answers


def _following(stream: FollowedStream, place: Place) -> dict[str, str]:
    told = streaming_headers("text/event-stream", charset=False)
    told["Cache-Control"] = "no-cache, no-store, no-transform"
    told["Stream-Next-Offset"] = str(stream.position_at(place.offset))
    if not (stream.settings.is_json or stream.settings.is_text):
        told["Stream-SSE-Data-Encoding"] = "base64"
    return {**told, **answers.GUARDED}


def _encoder(request: web.Request, stream: FollowedStream, *, chunked: bool) -> Encoder:
    write = sse.written(stream.settings)
    known = headers.known_interval(request)
    form = _FORMS[write]
    if known is not None and known >= sse.interval():
        own = DurableEvents(write, known=known)
        form = _Form(own, Chunked(own))
    return form.chunked if chunked else form.plain
