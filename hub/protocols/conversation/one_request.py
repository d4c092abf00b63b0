"""Generations begun by one HTTP request, for a client that knows nothing of streams.

Such a client sees one request and one response. A streamed response begins with the first word,
so that a refusal that comes before it is a status, but no later than a short grace after the
request: proxies give up on a response that does not begin. From then on it beats until there is
something to say, and a failure is told in the client's own format, as one in mid-body is.

A client that goes away leaves the generation running, because its answer may be followed
elsewhere. It may ask for the opposite, by the header ``X-On-Disconnect: cancel``; the
configuration says what holds for those who say nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Literal

from aiohttp import web

from hub.access.permissions import Permission
from hub.connections.connection import Pace
from hub.domain.errors import Gone, RequestError
from hub.domain.events import TERMINALS, Delta, Event, Failed, Finished, Terminal
from hub.domain.failures import broken_off
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.frames.chunked import Chunked
from hub.frames.encoder import Batch, Encoder
from hub.generations.followed import FollowedGeneration
from hub.http.admission import PRINCIPAL
from hub.http.response_formats import endless
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.response_connection import Ending, ResponseConnection
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["OnDisconnect", "Replies", "names", "said"]

OnDisconnect = Literal["continue", "cancel"]

SILENT: Final = (State.ASKED, State.WAITING)
"""States in which nothing has been said yet."""

LOOK_SECONDS: Final = 0.02
"""How often it is looked whether a client is still there whose leaving cancels."""


class Replies:
    """How replies are begun and given back."""

    def __init__(
        self, hub: Hub, *, pace: Pace, on_disconnect: OnDisconnect, grace_seconds: float
    ) -> None:
        self._hub = hub
        self._pace = pace
        self._on_disconnect: OnDisconnect = on_disconnect
        self._grace_seconds = grace_seconds

    @asynccontextmanager
    async def begun(
        self, request: web.Request, ask: GenerationRequest, *, outlives: bool = False
    ) -> AsyncIterator[tuple[Generation, FollowedStream]]:
        """A generation, and its stream. What is done inside is what the client waits for.

        ``outlives`` is for one that goes on whatever the configuration says, unless this
        request says otherwise.

        Raises:
            RequestError: the header is neither of the two; else as
                `hub.generations.runs.Runs.start`.
        """
        cancels = self._cancels(request, "continue" if outlives else self._on_disconnect)
        self._hub.admit()
        by = request[PRINCIPAL]
        then: tuple[Permission, ...] = ("read", "cancel") if cancels else ("read",)
        starting = asyncio.ensure_future(self._hub.generations.start(ask, by=by, then=then))
        try:
            generation = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(partial(self._left, cancels=cancels))
            raise
        if not cancels:
            yield generation, await self._hub.streams.open(generation.stream, by=by)
            return
        look = _Look(self._hub, request, generation.id)
        try:
            yield generation, await self._hub.streams.open(generation.stream, by=by)
        except asyncio.CancelledError:
            # aiohttp may be told to cancel the handler of a client that left.
            self._hub.generations.stop(generation.id)
            raise
        finally:
            look.end()

    def _cancels(self, request: web.Request, otherwise: OnDisconnect) -> bool:
        asked = request.headers.get("X-On-Disconnect", otherwise).strip().lower()
        if asked not in ("continue", "cancel"):
            raise RequestError("X-On-Disconnect is continue or cancel")
        return asked == "cancel"

    def _left(self, starting: asyncio.Future[Generation], *, cancels: bool) -> None:
        """The generation has begun, or not, for a client that left before that."""
        failed = starting.cancelled() or starting.exception() is not None
        if cancels and not failed:
            self._hub.generations.stop(starting.result().id)

    async def first_word(self, generation: Generation, stream: FollowedStream) -> None:
        """Wait until something has been said, or nothing will be, or the grace is over.

        Raises:
            UpstreamError: it has failed, and can still be told by the status.
        """
        followed = FollowedGeneration(stream, generation)
        await followed.until(_has_spoken, within=self._grace_seconds)
        end = followed.seen.terminal
        if isinstance(end, Failed) and not await said(generation, stream):
            raise broken_off(end)

    async def whole(self, request: web.Request, generation: Generation) -> Finished:
        """Wait for the end.

        Raises:
            UpstreamError: it is not a good one.
        """
        waited = await self._hub.generations.wait(generation.id, by=request[PRINCIPAL])
        terminal = waited.terminal
        if not isinstance(terminal, Finished):
            raise broken_off(terminal)
        return terminal

    async def streamed(
        self, request: web.Request, generation: Generation, stream: FollowedStream, encoder: Encoder
    ) -> web.StreamResponse:
        """Give all of it as server-sent events, in the words of ``encoder``.

        Raises:
            Gone: its beginning is no longer kept.
        """
        place = beginning(generation, stream)
        headers = {**streaming_headers("text/event-stream"), **names(generation)}
        response = endless(request, headers)
        ending = _UpTo(generation.id, encoder)
        if stream.name != generation.id:
            encoder = ending
        if response.chunked:
            encoder = Chunked(encoder)
        reading = ResponseConnection(self._hub, request, response, encoder, self._pace)
        async with reading as connection:
            if not await FollowedGeneration(stream, generation).until(_has_spoken, within=0):
                # Some take nothing for a response before a byte of its body.
                connection.write(encoder.beat())
            connection.subscribe(stream, place)
            if stream.name == generation.id:
                await reading.over
                complete = connection.complete
                last = await _last(stream) if complete else None
            else:
                complete = await reading.told(ending)
                last = ending.terminal
            if not complete or not isinstance(last, Finished):
                # The body must not look whole: no last chunk, no clean end.
                connection.abort(sent=complete)
        return response


class _UpTo(Ending):
    """What is said up to the end of a generation, in a stream that may go on."""

    def __init__(self, generation: str, inner: Encoder) -> None:
        super().__init__(inner)
        self.terminal: Terminal | None = None
        self._generation = generation

    def is_last(self, batch: Batch) -> bool:
        for record in batch.records:
            event = record.event
            if isinstance(event, TERMINALS) and event.generation == self._generation:
                self.terminal = event
                return True
        return False


class _Look:
    """Stops a generation once the client that asked for it is gone.

    A handler is not told that its client left unless it writes, so somebody has to look.
    """

    def __init__(self, hub: Hub, request: web.Request, generation: str) -> None:
        self._hub = hub
        self._request = request
        self._generation = generation
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._hub.generations.stop(self._generation)
        else:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)


def _has_spoken(generation: Generation) -> bool:
    return generation.state not in SILENT


async def _last(stream: FollowedStream) -> Event | None:
    """The last event of a stream that has closed."""
    records = (await stream.fetch(stream.tail - 1, 1)).records
    return records[0].event if records else None


def beginning(generation: Generation, stream: FollowedStream) -> Place:
    """Where the answer begins.

    Raises:
        Gone: that is no longer kept, and half an answer would be taken for a whole one.
    """
    place = stream.place(generation.position or "start")
    if place.reset is not None:
        raise Gone("the beginning of this answer is no longer kept: ask again")
    return place


async def said(generation: Generation, stream: FollowedStream) -> list[Delta]:
    """What the generation has said so far. Others may write in the stream, too."""
    return [
        event
        async for event in stream.events()
        if isinstance(event, Delta) and event.generation == generation.id
    ]


def names(generation: Generation) -> dict[str, str]:
    """The headers that say where the answer can be followed, too."""
    return {"Streamhub-Stream": generation.stream, "Streamhub-Generation": generation.id}
