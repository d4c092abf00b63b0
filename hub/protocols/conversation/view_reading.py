"""Views over HTTP: as server-sent events that end with them, and as Durable Streams.

The read half of the Durable Streams Protocol, as in `hub.protocols.durable.endpoint`, over a view
instead of a stream: catch-up, ``live=long-poll``, ``live=sse``, with the offsets of the
stream that the view is of. Nobody writes to a view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from hub.connections.connection import Connection, Pace
from hub.domain.errors import Gone, RequestError, StreamNotFound
from hub.domain.records import Position
from hub.frames.chunked import Chunked
from hub.frames.encoder import Batch, Encoder
from hub.http.admission import PRINCIPAL
from hub.http.response_formats import endless
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.conversation.view import DONE, DurableChunks, Translation, UIEvents, View
from hub.protocols.durable import headers as headers
from hub.protocols.durable import responses as answers
from hub.protocols.durable import sse
from hub.protocols.response_connection import Ending, ResponseConnection
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["ViewPace", "Viewed", "follow", "read"]

READ_BYTES: Final = 256 * 1024
"""How much of the source is translated at a time."""

ANSWER_CHUNKS: Final = 10_000
"""About the most that one answer holds."""

UNBEGUN_SECONDS: Final = 1.0
"""How long a poll of a stream that has not begun waits; nobody tells it when that begins."""

START: Final = Position(0, 0)
"""Where a stream that has not begun is read from."""


@dataclass(frozen=True, slots=True)
class ViewPace:
    """How readers of views are written to: as all others are, and how long they may wait."""

    pace: Pace
    long_poll_seconds: float
    sse_rotate_seconds: float


@dataclass(frozen=True, slots=True)
class Viewed:
    """What is viewed: a stream from an offset on, in the words that ``translate`` finds."""

    stream: FollowedStream
    begin: int
    translate: Callable[[], Translation]

    async def view(self, offset: int) -> View:
        """A reader at an offset, who has heard nothing and knows everything before it.

        Raises:
            Gone: ``position_trimmed``: what came before is no longer kept.
        """
        if self.begin < self.stream.head:
            raise Gone("the beginning of this is no longer kept", code="position_trimmed")
        translation = self.translate()
        at = self.begin
        while at < offset and not translation.over:
            batch = await self.stream.fetch(at, READ_BYTES)
            if not batch.records:
                raise Gone("what came before is no longer kept", code="position_trimmed")
            for record in batch.records:
                if record.offset < offset:
                    translation.told(record)
            at = batch.position.offset
        return View(translation, max(offset, self.begin))


class _Over(Ending):
    """What is said up to the end of a view."""

    def __init__(self, inner: UIEvents | DurableChunks) -> None:
        super().__init__(inner)
        self._view = inner.view

    def is_last(self, batch: Batch) -> bool:
        return self._view.over


# Server-sent events of its own


async def follow(
    request: web.Request,
    hub: Hub,
    viewed: Viewed,
    pace: Pace,
    more: Mapping[str, str],
    done: bytes = DONE,
) -> web.StreamResponse:
    """All of a view as server-sent events; unless its end is a good one, the body is cut.

    ``done`` follows the last chunk.

    Raises:
        Gone: its beginning is no longer kept.
    """
    view = await viewed.view(viewed.begin)
    events = UIEvents(view, done)
    encoder = _Over(events)
    response = endless(request, {**streaming_headers("text/event-stream"), **more})
    shown: Encoder = Chunked(encoder) if response.chunked else encoder
    reading = ResponseConnection(hub, request, response, shown, pace)
    async with reading as connection:
        connection.subscribe(viewed.stream, Place(viewed.begin))
        await reading.told(encoder)
        if not events.whole:
            # The body must not look whole: no last chunk, no clean end.
            connection.abort(sent=view.over)
    return response


# Durable Streams


async def read(
    request: web.Request,
    hub: Hub,
    name: str,
    find: Callable[[FollowedStream], Awaitable[Viewed]],
    pace: ViewPace,
    *,
    unbegun: Callable[[], Translation] | None = None,
) -> web.StreamResponse:
    """The view that ``find`` finds in a stream, as the protocol's GET has it.

    With ``unbegun`` a stream that has not begun is empty.

    Raises:
        StreamNotFound, Gone: as `hub.access.streams.StreamAccess.open`.
        RequestError, PositionError: the query is malformed.
        Gone: what was asked for is no longer kept.
    """
    start = headers.offset(request)
    live = request.query.get("live")
    if live is not None and start is None:
        raise RequestError("to read live, say from which offset", code="bad_position")
    if live not in (None, "long-poll", "sse"):
        raise RequestError("live is long-poll or sse", code="bad_live")
    try:
        stream = await hub.streams.open(name, by=request[PRINCIPAL])
    except StreamNotFound:
        if unbegun is None:
            raise
        return await _unbegun(request, hub, unbegun(), name, pace)
    stream.expect_events()
    viewed = await find(stream)
    place = answers.kept(viewed.stream.place(start or "start"))
    offset = max(place.offset, viewed.begin)
    await hub.streams.touch(name)
    view = await viewed.view(offset)
    if live == "sse":
        return await _follow(request, hub, viewed, view, offset, pace)
    if live == "long-poll":
        return await _poll(request, hub, viewed, view, offset, pace)
    return await _catch_up(viewed, view, offset)


async def _catch_up(viewed: Viewed, view: View, offset: int) -> web.Response:
    chunks, end = await _further(viewed, view, offset)
    told = _told(viewed, view, end)
    return _array(chunks, told)


async def _poll(
    request: web.Request, hub: Hub, viewed: Viewed, view: View, offset: int, pace: ViewPace
) -> web.Response:
    hub.admit()
    stream = viewed.stream
    loop = asyncio.get_running_loop()
    until = loop.time() + pace.long_poll_seconds
    chunks: list[dict[str, Any]] = []
    end = stream.position_at(offset)
    while True:
        chunks, end = await _further(viewed, view, end.offset)
        left = until - loop.time()
        if chunks or view.over or stream.closed or left <= 0:
            break
        await hub.callers.until(stream, partial(_goes_on, stream, end.offset), within=left)
    told = _told(viewed, view, end)
    if "Stream-Closed" not in told:
        told["Stream-Cursor"] = str(sse.interval(headers.known_interval(request)))
    return _array(chunks, told) if chunks else web.Response(status=204, headers=told)


def _goes_on(stream: FollowedStream, offset: int) -> bool:
    return stream.tail > offset or stream.closed


async def _further(
    viewed: Viewed, view: View, offset: int
) -> tuple[list[dict[str, Any]], Position]:
    """What there is from an offset on, and where it ends."""
    stream = viewed.stream
    chunks: list[dict[str, Any]] = []
    end = stream.position_at(offset)
    while end.offset < stream.tail and not view.over and len(chunks) < ANSWER_CHUNKS:
        batch = await stream.fetch(end.offset, READ_BYTES)
        if not batch.records:
            raise Gone("what was at that offset is no longer kept", code="position_trimmed")
        told = view.told(batch)
        chunks += told.chunks
        end = told.position
    return chunks, end


def _told(viewed: Viewed, view: View, end: Position) -> dict[str, str]:
    latest = view.over or end.offset == viewed.stream.tail
    closed = view.over or (latest and viewed.stream.closed)
    told = {"Stream-Next-Offset": str(end), "Cache-Control": "no-store"}
    if latest:
        told["Stream-Up-To-Date"] = "true"
    if closed:
        told["Stream-Closed"] = "true"
    return told


def _array(chunks: list[dict[str, Any]], told: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=orjson.dumps(chunks),
        headers={"Content-Type": "application/json", **told, **answers.GUARDED},
    )


async def _follow(
    request: web.Request, hub: Hub, viewed: Viewed, view: View, offset: int, pace: ViewPace
) -> web.StreamResponse:
    stream = viewed.stream

    async def join(connection: Connection) -> None:
        connection.subscribe(stream, Place(offset))

    latest = view.over or (offset == stream.tail and not stream.closed)
    here = Batch(stream.name, [], stream.position_at(offset), latest=latest)
    return await _events(request, hub, view, here, pace, join)


async def _unbegun(
    request: web.Request, hub: Hub, translation: Translation, name: str, pace: ViewPace
) -> web.StreamResponse:
    """A conversation in which nothing has been said is empty, and may begin any moment."""
    live = request.query.get("live")
    if live == "sse":

        async def join(connection: Connection) -> None:
            await hub.streams.expect(connection, name, "start", by=connection.by)

        here = Batch(name, [], START, latest=True)
        return await _events(request, hub, View(translation, 0), here, pace, join)
    told = {
        "Stream-Next-Offset": str(START),
        "Stream-Up-To-Date": "true",
        "Cache-Control": "no-store",
    }
    if live is None:
        return _array([], told)
    hub.admit()
    await asyncio.sleep(min(UNBEGUN_SECONDS, pace.long_poll_seconds))
    told["Stream-Cursor"] = str(sse.interval(headers.known_interval(request)))
    return web.Response(status=204, headers=told)


async def _events(
    request: web.Request,
    hub: Hub,
    view: View,
    here: Batch,
    pace: ViewPace,
    join: Callable[[Connection], Awaitable[None]],
) -> web.StreamResponse:
    """Server-sent events from ``here`` on, once ``join`` has had the connection follow."""
    hub.admit()
    told = {"Stream-Next-Offset": str(here.position), **answers.GUARDED}
    response = endless(request, {**streaming_headers("text/event-stream", charset=False), **told})
    encoder = _Over(DurableChunks(view, known=headers.known_interval(request)))
    shown: Encoder = Chunked(encoder) if response.chunked else encoder
    reading = ResponseConnection(hub, request, response, shown, pace.pace)
    async with reading as connection:
        if view.over:
            connection.write(shown.closed(here.stream, here.position))
            return response
        connection.write(shown.retry(lost()))
        if here.latest:
            connection.write(shown.events(here))
        await join(connection)
        if not await reading.told(encoder, within=pace.sse_rotate_seconds):
            await reading.rotate()
    return response
