"""Views over HTTP: as server-sent events until the view ends, and as Durable Streams.

The second is the read half of the Durable Streams Protocol, as in `hub.protocols.durable.endpoint`,
for a view instead of a stream: catch-up, ``live=long-poll`` and ``live=sse``, with the offsets of
the stream that the view is of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from hub.connections.connection import Pace
from hub.domain.errors import Gone, StreamNotFound
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.frames.encoder import Batch
from hub.http.admission import PRINCIPAL
from hub.http.retry_times import lost
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.conversation.checkpoints import Checkpoints
from hub.protocols.conversation.view import DONE, DurableChunks, Translation, UIEvents, View
from hub.protocols.durable import headers, responses
from hub.protocols.durable.responses import Part
from hub.protocols.one_read import one_read
from hub.protocols.response_connection import Ending, ResponseConnection
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["ViewPace", "Viewed", "follow", "read", "turn"]

PART_CHUNKS: Final = 10_000
"""About the most chunks that one response holds."""

UNBEGUN_SECONDS: Final = 1.0
"""How long a poll of a stream that does not exist waits; it is not woken when that begins."""

START: Final = Position(0, 0)
"""Where a stream that does not exist is read from."""

JSON: Final = StreamSettings()


@dataclass(frozen=True, slots=True)
class ViewPace:
    """How readers of views are written to, and how long their responses may last."""

    pace: Pace
    long_poll_seconds: float
    sse_rotate_seconds: float


@dataclass(frozen=True, slots=True)
class Viewed:
    """A stream from an offset on, translated by what ``translate`` returns.

    ``name`` is that of the translation: two of one name in the same stream differ at most in where
    they began.
    """

    stream: FollowedStream
    begin: int
    translate: Callable[[], Translation]
    checkpoints: Checkpoints
    name: tuple[str, ...]

    async def view(self, offset: int) -> View:
        """A view at an offset, which has translated everything before it.

        Raises:
            Gone: ``position_trimmed``: what came before is no longer kept.
        """
        if self.begin < self.stream.head:
            raise Gone("the beginning is no longer kept", code="position_trimmed")
        if offset <= self.begin:
            return View(self.translate(), self.begin)
        async with self.checkpoints.of(self.stream, self.name) as states:
            at, translation = states.before(offset, self.begin) or (self.begin, self.translate())
            if at < offset:
                async for batch in self.stream.batches(at):
                    if translation.over or at >= offset:
                        break
                    for record in batch.records:
                        if record.offset < offset:
                            translation.add(record)
                            states.keep(record.offset + 1, translation)
                    at = batch.position.offset
        return View(translation, offset)

    async def part(self, view: View, offset: int) -> Part:
        """What one response holds of ``view``, which is at an offset.

        Raises:
            Gone: ``position_trimmed``: what was there is no longer kept.
        """
        stream = self.stream
        bodies: list[bytes] = []
        left = responses.PART_BYTES
        start = end = stream.position_at(offset)
        async for batch in stream.batches(offset):
            if view.over or len(bodies) >= PART_CHUNKS or left <= 0:
                break
            chunks, end = view.add(batch)
            made = [orjson.dumps(chunk) for chunk in chunks]
            left -= sum(map(len, made))
            bodies += made
        latest = view.over or end.offset == stream.tail
        return Part(start, bodies, end, latest, view.over or (latest and stream.closed))


async def follow(
    request: web.Request,
    hub: Hub,
    viewed: Viewed,
    pace: Pace,
    more: Mapping[str, str],
    done: bytes = DONE,
) -> web.StreamResponse:
    """A whole view as server-sent events, with ``done`` after the last chunk.

    The body is cut if the view ends in an error, or does not end.

    Raises:
        Gone: its beginning is no longer kept.
    """
    view = await viewed.view(viewed.begin)
    events = UIEvents(view, done)
    ending = Ending(events, lambda _: view.over)
    shown = {**streaming_headers("text/event-stream"), **more}
    reading = ResponseConnection(hub, request, shown, ending, pace)
    async with reading as connection:
        connection.subscribe(viewed.stream, Place(viewed.begin))
        await reading.wait_for_end(ending)
        if not events.complete:
            # The body must not look complete: no last chunk, no clean end.
            connection.abort(sent=view.over)
    return reading.response


async def read(
    request: web.Request,
    hub: Hub,
    name: str,
    find: Callable[[FollowedStream], Awaitable[Viewed]],
    pace: ViewPace,
    *,
    unbegun: Callable[[], Translation] | None = None,
) -> web.StreamResponse:
    """Answer a GET of the protocol with the view that ``find`` finds in a stream.

    With ``unbegun`` a stream that does not exist yet is read as an empty one.

    Raises:
        StreamNotFound, Gone: as `hub.access.streams.StreamAccess.open`.
        RequestError, PositionError: the query is malformed.
        Gone: what was asked for is no longer kept.
    """
    start, live = headers.reading(request)
    by = request[PRINCIPAL]
    viewed: Viewed | None = None
    part = Part(START, [], START, latest=True, closed=False)
    try:
        stream = await hub.streams.open(name, by=by)
    except StreamNotFound:
        if unbegun is None:
            raise
        await hub.streams.check_wait(name, by=by)
        view, position = View(unbegun(), 0), START
    else:
        stream.expect_events()
        async with turn(hub, stream, request):
            viewed = await find(stream)
            place = responses.check_kept(stream.place(start or "start"))
            offset = max(place.offset, viewed.begin)
            await hub.streams.touch(name)
            view, position = await viewed.view(offset), stream.position_at(offset)
            if live is None:
                part = await viewed.part(view, offset)
    if live == "sse":
        return await _follow(request, hub, name, viewed, view, position, pace)
    if live is None:
        response = part.response(JSON, {"Cache-Control": "no-store"})
    else:
        stand_open(hub, request)
        if viewed is None:
            await asyncio.sleep(min(UNBEGUN_SECONDS, pace.long_poll_seconds))
        else:
            seconds = pace.long_poll_seconds
            part = await _poll(hub, viewed, view, position.offset, seconds, request)
        response = responses.polled(request, part, JSON, empty=not part.bodies)
    response.headers.update(responses.SANDBOXED)
    return response


@asynccontextmanager
async def turn(hub: Hub, stream: FollowedStream, request: web.Request) -> AsyncIterator[None]:
    """A caller's turn to read, if it may still read the stream when that comes.

    Raises:
        Unauthorized: its credential does not hold any more.
        StreamNotFound: the stream belongs to somebody else by now.
    """
    by = request[PRINCIPAL]
    async with one_read(hub, request):
        hub.check_current(by)
        if not hub.streams.reads(stream, by=by):
            raise StreamNotFound.named(stream.name)
        yield


async def _poll(
    hub: Hub, viewed: Viewed, view: View, offset: int, seconds: float, request: web.Request
) -> Part:
    """What a view gives a caller from an offset on, within some seconds if there is nothing yet.

    Raises:
        Unauthorized: its credential does not hold any more.
        StreamNotFound: it may not read the stream any more.
    """
    stream, by = viewed.stream, request[PRINCIPAL]
    time = asyncio.get_running_loop().time
    until = time() + seconds
    async with turn(hub, stream, request):
        part = await viewed.part(view, offset)

    def goes_on() -> bool:
        return stream.tail > part.end.offset or stream.closed

    while not part.bodies and not part.closed and (left := until - time()) > 0:
        await hub.callers.until(stream, goes_on, within=left, by=by)
        async with turn(hub, stream, request):
            part = await viewed.part(view, part.end.offset)
    return part


async def _follow(
    request: web.Request,
    hub: Hub,
    name: str,
    viewed: Viewed | None,
    view: View,
    position: Position,
    pace: ViewPace,
) -> web.StreamResponse:
    """Server-sent events from a position on; if there is no stream yet, once it begins."""
    stand_open(hub, request)
    shown = streaming_headers("text/event-stream", charset=False)
    shown |= {"Stream-Next-Offset": str(position), **responses.SANDBOXED}
    chunks = DurableChunks(view, known=headers.known_interval(request))
    ending = Ending(chunks, lambda _: view.over)
    reading = ResponseConnection(hub, request, shown, ending, pace.pace)
    async with reading as connection:
        encoder = connection.encoder
        if view.over:
            connection.write(encoder.closed(name, position))
            return reading.response
        connection.write(encoder.retry(lost()))
        stream = None if viewed is None else viewed.stream
        if stream is None or (position.offset == stream.tail and not stream.closed):
            connection.write(encoder.events(Batch(name, [], position, latest=True)))
        if stream is None:
            await hub.streams.expect(connection, name, "start", by=connection.by)
        else:
            connection.subscribe(stream, Place(position.offset))
        if not await reading.wait_for_end(ending, within=pace.sse_rotate_seconds):
            await reading.rotate()
    return reading.response
