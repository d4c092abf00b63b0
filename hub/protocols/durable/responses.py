"""Responses of the Durable Streams Protocol: their bodies and headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from hub.domain.errors import Gone, HubError, ProducerFenced, ProducerGap, StreamClosed
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.http.errors import error_response
from hub.protocols.durable.headers import known_interval
from hub.protocols.durable.sse import interval, unfinished
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = [
    "PART_BYTES",
    "SANDBOXED",
    "Part",
    "check_kept",
    "end_headers",
    "polled",
    "read_part",
    "sandboxed",
]

PART_BYTES: Final = 1024 * 1024
"""The most that one response holds, unless a single record is larger."""

SANDBOXED: Final[Mapping[str, str]] = {
    # The content of a stream was written by others. Opened as a page, it can run nothing, and
    # only pages that CORS allows can read it.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Referrer-Policy": "no-referrer",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Headers = dict[str, str]


class Part(NamedTuple):
    """Records that are sent in one response.

    ``latest``: they reach the tail; ``closed``: and nothing follows it.
    """

    start: Position
    bodies: list[bytes]
    end: Position
    latest: bool
    closed: bool

    @property
    def headers(self) -> Headers:
        """Where it ends, and whether anything follows."""
        return end_headers(self.end, latest=self.latest, closed=self.closed)

    def response(self, settings: StreamSettings, headers: Mapping[str, str]) -> web.Response:
        """A response with the bytes as they are, or for JSON as one array."""
        body = b"[%s]" % b",".join(self.bodies) if settings.is_json else b"".join(self.bodies)
        shown = {"Content-Type": settings.content_type, **self.headers, **headers}
        return web.Response(body=body, headers=shown)


def check_kept(place: Place) -> Place:
    """The place, if it can be read from.

    Raises:
        Gone: ``position_trimmed``, ``position_unwritten``.
    """
    reset = place.reset
    if reset is None:
        return place
    if reset.reason == "trimmed":
        message = f"the records at this offset are no longer kept: read on from {reset.position}"
    else:
        message = (
            "the records at this offset were lost in a crash: discard what you have from "
            f"{reset.position} on and read on from there, or read everything again"
        )
    raise Gone(message, code=f"position_{reset.reason}")


async def read_part(stream: FollowedStream, offset: int) -> Part:
    """What one response holds of a stream from an offset on.

    Of a text stream it holds whole characters, as server-sent events must: otherwise a reader
    that switches between the two would get part of a character twice, or never. An incomplete
    character at the end is sent with the rest of it, or at the end of the stream.
    """
    start = end = stream.position_at(offset)
    batch = await stream.fetch(offset, PART_BYTES)
    bodies = [unfinished(batch.lead)] if stream.settings.is_text else []
    left = PART_BYTES
    while batch.records:
        bodies += [record.body for record in batch.records]
        left -= sum(len(record.body) for record in batch.records)
        end = batch.position
        if left <= 0 or end.offset >= stream.tail:
            break
        batch = await stream.fetch(end.offset, left)
    latest = end.offset == stream.tail
    if latest:
        end = stream.position
    closed = latest and stream.closed
    if stream.settings.is_text:
        text = b"".join(bodies)
        bodies = [text if closed else text[: len(text) - len(unfinished(text))]]
    return Part(start, [body for body in bodies if body], end, latest, closed)


def end_headers(position: Position, *, latest: bool = False, closed: bool) -> Headers:
    """Where a stream or a part of it ends, and whether for good."""
    headers = {"Stream-Next-Offset": str(position)}
    if latest:
        headers["Stream-Up-To-Date"] = "true"
    if closed:
        headers["Stream-Closed"] = "true"
    return headers


def polled(
    request: web.Request, part: Part, settings: StreamSettings, *, empty: bool
) -> web.Response:
    """The response to a long poll: a part, or 204 if it is ``empty``."""
    headers = {"Cache-Control": "no-store"}
    if not part.closed:
        headers["Stream-Cursor"] = str(interval(known_interval(request)))
    if not empty:
        return part.response(settings, headers)
    return web.Response(status=204, headers={**headers, **part.headers})


def sandboxed(handler: Handler) -> Handler:
    """Give errors the headers that the protocol wants, and all responses those of `SANDBOXED`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            response = await handler(request)
        except HubError as error:
            response = error_response(error)
            response.headers.update(_error_headers(error))
        if not response.prepared:
            response.headers.update(SANDBOXED)
        return response

    return handle


def _error_headers(error: HubError) -> Headers:
    match error:
        case ProducerFenced():
            return {"Producer-Epoch": str(error.epoch)}
        case ProducerGap():
            return {
                "Producer-Expected-Seq": str(error.expected),
                "Producer-Received-Seq": str(error.received),
            }
        case StreamClosed():
            end = {} if error.position is None else {"Stream-Next-Offset": error.position}
            return {**end, "Stream-Closed": "true"}
    return {}
