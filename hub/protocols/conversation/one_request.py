"""Generations begun by one HTTP request, for clients that know nothing of streams.

Such a client sees one request and one response. A streamed response begins with the first word,
so that an error before it can still be a status, but at the latest after a short grace, as
proxies give up on a response that does not begin. From then on it beats until there is something
to say, and an error is told in the client's own format, like one in mid-body.

If the client leaves, the generation goes on, because its answer may be followed elsewhere. The
header ``X-On-Disconnect: cancel`` asks for the opposite; a setting decides for requests without
the header.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Literal

from aiohttp import web

from hub.access.permissions import Permission
from hub.connections.connection import Pace
from hub.domain.errors import Gone, HubError, RequestError
from hub.domain.events import TERMINALS, Delta, Failed, Finished, Terminal
from hub.domain.failures import broken_off
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.frames.encoder import Batch, Encoder
from hub.generations.followed import FollowedGeneration
from hub.generations.recovery import events_of
from hub.http.admission import PRINCIPAL
from hub.http.bodies import release
from hub.http.streaming import streaming_headers
from hub.hub import Hub
from hub.protocols.one_read import one_read
from hub.protocols.response_connection import Ending, ResponseConnection
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["OnDisconnect", "Replies", "beginning", "generation_headers", "resolve"]

log = logging.getLogger("hub.runs")

OnDisconnect = Literal["continue", "cancel"]

CHECK_SECONDS: Final = 0.02
"""How often to check that a client is still there whose leaving cancels its generation."""


class Replies:
    """Begins generations and sends their replies."""

    def __init__(
        self, hub: Hub, *, pace: Pace, on_disconnect: OnDisconnect, grace_seconds: float
    ) -> None:
        self._hub = hub
        self._pace = pace
        self._on_disconnect: OnDisconnect = on_disconnect
        self._grace_seconds = grace_seconds
        self._starting: set[asyncio.Task[Generation]] = set()
        """Generations that are being started; their clients may have left."""

    @asynccontextmanager
    async def begun(
        self,
        request: web.Request,
        ask: GenerationRequest,
        *,
        outlives: bool = False,
        chat: bool = False,
    ) -> AsyncIterator[tuple[Generation, FollowedStream]]:
        """Begin a generation; the client waits for what is done inside the context.

        A generation that ``outlives`` its request goes on when the client leaves, whatever the
        setting says, unless the header says otherwise. A ``chat`` may begin with its first request
        (`hub.access.generations.GenerationAccess.start`).

        Raises:
            RequestError: the header is malformed; else as `hub.generations.runs.Runs.start`.
        """
        cancels = _cancels(request, "continue" if outlives else self._on_disconnect)
        stand_open(self._hub, request)
        by = request[PRINCIPAL]
        then: tuple[Permission, ...] = ("read", "cancel") if cancels else ("read",)
        starting = asyncio.create_task(
            self._hub.generations.start(ask, by=by, then=then, chat=chat)
        )
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            generation = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(partial(self._started_for_nobody, stop=cancels))
            raise
        release(request)  # the answer may take an hour
        stop = partial(self._hub.generations.stop, generation.id)
        check = _DisconnectCheck(request, stop) if cancels else None
        try:
            yield generation, await self._hub.streams.open(generation.stream, by=by)
        except asyncio.CancelledError:
            if cancels:
                # aiohttp can be configured to cancel the handler when its client leaves.
                stop()
            raise
        finally:
            if check is not None:
                check.end()

    def _started_for_nobody(self, starting: asyncio.Task[Generation], *, stop: bool) -> None:
        """A generation has begun, or has not, whose client left while it was being started."""
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None and stop:
            self._hub.generations.stop(starting.result().id)
        elif error is not None and not isinstance(error, HubError):
            log.error("a generation cannot begin, and its client has left", exc_info=error)

    async def first_word(
        self, request: web.Request, generation: Generation, stream: FollowedStream
    ) -> None:
        """Wait until something has been said, or nothing will be, or the grace is over.

        Raises:
            UpstreamError: the generation has failed, and a status can still tell it.
            Unauthorized: the credential of the request was revoked meanwhile.
        """
        followed = FollowedGeneration(stream, generation)
        speaks = followed.until(_has_spoken, within=self._grace_seconds)
        await self._hub.answer(speaks, request[PRINCIPAL])
        end = followed.seen.terminal
        if isinstance(end, Failed) and not await self.deltas(request, generation, stream):
            raise broken_off(end)

    async def whole(self, request: web.Request, generation: Generation) -> Finished:
        """Wait for the end.

        Raises:
            UpstreamError: the generation did not finish.
            Unauthorized: the credential of the request was revoked meanwhile.
        """
        by = request[PRINCIPAL]
        waited = await self._hub.answer(self._hub.generations.wait(generation.id, by=by), by)
        if not isinstance(waited.terminal, Finished):
            raise broken_off(waited.terminal)
        return waited.terminal

    async def deltas(
        self, request: web.Request, generation: Generation, stream: FollowedStream
    ) -> list[Delta]:
        """The deltas of a generation so far, in a stream to which others may write, too."""
        start = 0 if generation.position is None else generation.position.offset
        async with one_read(self._hub, request):
            own = events_of(stream, generation.id, start)
            return [event async for event in own if isinstance(event, Delta)]

    async def streamed(
        self, request: web.Request, generation: Generation, stream: FollowedStream, encoder: Encoder
    ) -> web.StreamResponse:
        """Send the whole generation as the server-sent events of ``encoder``.

        Raises:
            Gone: its beginning is no longer kept.
        """
        place = beginning(generation, stream)
        headers = {**streaming_headers("text/event-stream"), **generation_headers(generation)}
        ending = Ending(encoder, partial(_terminal, generation.id))
        reading = ResponseConnection(self._hub, request, headers, ending, self._pace)
        async with reading as connection:
            if not await FollowedGeneration(stream, generation).until(_has_spoken, within=0):
                # Some clients do not take a response for begun before a byte of its body.
                connection.write(connection.encoder.beat())
            connection.subscribe(stream, place)
            if stream.name == generation.id:
                await reading.over  # as its stream ends with it
                complete = connection.complete
            else:
                complete = await reading.wait_for_end(ending)
            if not complete or not isinstance(ending.end, Finished):
                # The body must not look complete: no last chunk, no clean end.
                connection.abort(sent=complete)
        return reading.response


class _DisconnectCheck:
    """Calls ``stop`` once the client of a request is gone.

    aiohttp tells a handler that its client left only when it writes, so this polls.
    """

    def __init__(self, request: web.Request, stop: Callable[[], object]) -> None:
        self._request = request
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def end(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._stop()
        else:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check)


def resolve(
    hub: Hub, request: web.Request, *choices: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The upstream and the model that a request asks for.

    Each is the first that is given in ``choices``, or else in the query. A model alone also
    decides the upstream.

    Raises:
        NotFound: ``model_not_found``.
    """
    query = request.query.get("upstream"), request.query.get("model")
    upstream = next((one for one, _ in [*choices, query] if one), None)
    model = next((one for _, one in [*choices, query] if one), None)
    return hub.upstreams.resolve(model) if model and not upstream else (upstream, model)


def _cancels(request: web.Request, default: OnDisconnect) -> bool:
    value = request.headers.get("X-On-Disconnect", default).strip().lower()
    if value not in ("continue", "cancel"):
        raise RequestError("X-On-Disconnect must be continue or cancel")
    return value == "cancel"


def _terminal(generation: str, batch: Batch) -> Terminal | None:
    for record in batch.records:
        event = record.event
        if isinstance(event, TERMINALS) and event.generation == generation:
            return event
    return None


def _has_spoken(generation: Generation) -> bool:
    return generation.state not in (State.ASKED, State.WAITING)


def beginning(generation: Generation, stream: FollowedStream) -> Place:
    """Where the answer begins.

    Raises:
        Gone: that is no longer kept, and half an answer would look like a whole one.
    """
    place = stream.place(generation.position or "start")
    if place.reset is not None:
        raise Gone("the beginning of this answer is no longer kept: ask again")
    return place


def generation_headers(generation: Generation) -> dict[str, str]:
    """Headers that say where else the answer can be followed."""
    return {"Streamhub-Stream": generation.stream, "Streamhub-Generation": generation.id}
