"""The answers of the Durable Streams Protocol: what they hold and what their headers tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from hub.domain.errors import Gone, HubError, ProducerFenced, ProducerGap, StreamClosed
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.http.errors import error_response
from hub.protocols.durable.sse import unfinished
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = [
    "GUARDED",
    "Part",
    "catch_up",
    "guarded",
    "kept",
    "part",
    "refusal",
    "shown",
    "told",
    "written",
]

ANSWER_BYTES: Final = 1024 * 1024
"""The most that one answer holds, unless a single record is larger."""

GUARDED: Final[Mapping[str, str]] = {
    # What a stream holds was written by others. Opened as a page it runs nothing, and only
    # pages that CORS lets in can read it.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Headers = dict[str, str]


class Part(NamedTuple):
    """Records that go out in one answer, and where they end.

    ``latest``: they reach the tail; ``closed``: and nothing comes after it.
    """

    start: Position
    bodies: list[bytes]
    end: Position
    latest: bool
    closed: bool


def kept(place: Place) -> Place:
    """A place that can be read from.

    Raises:
        Gone: ``position_trimmed``, ``position_unwritten``.
    """
    reset = place.reset
    if reset is not None:
        if reset.reason == "trimmed":
            said = f"what was at that offset is no longer kept: go on from {reset.position}"
        else:
            said = (
                "what was at that offset was never written here: forget what came from "
                f"{reset.position} on and go on from there, or read all of it again"
            )
        raise Gone(said, code=f"position_{reset.reason}")
    return place


async def part(stream: FollowedStream, offset: int) -> Part:
    """What one answer holds of a stream from an offset on.

    Of text it holds whole characters, as server-sent events must: otherwise a reader who goes
    on from one to the other would get a part of a character twice, or never. The bytes that
    begin one and do not complete it come with the rest of it, or with the end of the stream.
    """
    start = end = stream.position_at(offset)
    batch = await stream.fetch(offset, ANSWER_BYTES)
    bodies = [unfinished(batch.lead)] if stream.settings.is_text else []
    left = ANSWER_BYTES
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
        held = 0 if closed else len(unfinished(text))
        bodies = [text[: len(text) - held]]
    return Part(start, [body for body in bodies if body], end, latest, closed)


def catch_up(stream: FollowedStream, held: Part, headers: Mapping[str, str]) -> web.Response:
    """A part as the answer to a GET: bytes as they are, JSON as one array."""
    body = b"".join(held.bodies)
    if stream.settings.is_json:
        body = b"[%s]" % b",".join(held.bodies)
    shown = {"Content-Type": stream.content_type, **told(held), **headers}
    return web.Response(body=body, headers=shown)


def told(part: Part) -> Headers:
    """Where a part ends, and whether anything comes after it."""
    headers = {"Stream-Next-Offset": str(part.end)}
    if part.latest:
        headers["Stream-Up-To-Date"] = "true"
    if part.closed:
        headers["Stream-Closed"] = "true"
    return headers


def shown(stream: FollowedStream) -> Headers:
    """Where a stream ends for its readers, and whether for good."""
    headers = {"Stream-Next-Offset": str(stream.position)}
    if stream.closed:
        headers["Stream-Closed"] = "true"
    return headers


def written(outcome: Outcome, stamp: Stamp | None = None) -> Headers:
    """Where a write has left its stream, and what has been accepted of its producer."""
    headers = {"Stream-Next-Offset": str(outcome.position)}
    if outcome.closed:
        headers["Stream-Closed"] = "true"
    if stamp is not None:
        headers["Producer-Epoch"] = str(stamp.epoch)
        headers["Producer-Seq"] = str(outcome.number)
    return headers


def refusal(error: HubError, headers: Mapping[str, str]) -> web.Response:
    """An error that tells more than its body."""
    response = error_response(error)
    response.headers.update(headers)
    return response


def guarded(handler: Handler) -> Handler:
    """Errors with the headers that the protocol gives them, and all answers guarded."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            response = await handler(request)
        except ProducerFenced as error:
            response = refusal(error, {"Producer-Epoch": str(error.epoch)})
        except ProducerGap as error:
            numbers = {
                "Producer-Expected-Seq": str(error.expected),
                "Producer-Received-Seq": str(error.received),
            }
            response = refusal(error, numbers)
        except StreamClosed as error:
            ended = {} if error.position is None else {"Stream-Next-Offset": error.position}
            response = refusal(error, {**ended, "Stream-Closed": "true"})
        except HubError as error:
            response = error_response(error)
        if not response.prepared:
            response.headers.update(GUARDED)
        return response

    return handle
