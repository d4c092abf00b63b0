"""A stream followed across dropped connections: each event once, in order.

The position that comes with every event (``id:`` of the server-sent event) is where the next
connection continues. The first connection must succeed; later ones are retried a bounded number
of times, with growing waits of random length. A response ends with its token; the next one has a
new token, and if there is none yet, that counts as a try.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import orjson

from hub.client.backoff import PASSING, TOKEN_LATE, wait_before
from hub.client.errors import ABSENT, malformed, refusal
from hub.client.transport import Reply, Transport
from hub.domain import json_text
from hub.domain.errors import HubError, RequestError
from hub.domain.events import Event, Other, from_json
from hub.framing import DEFAULT_LIMIT, SSE

__all__ = ["Following", "Heard", "Reset", "Value", "hear"]

TRIES: Final = 8
# Several times the interval of a hub's beats: a connection that is silent for longer is dead.
SILENCE: Final = 90.0

MERGED: Final = 1000
"""Merged events whose beginnings are remembered."""

_ID: Final = re.compile(rb"^id: ([0-9_]+)$", re.MULTILINE)


class Heard(NamedTuple):
    """An event, or a reset, as the hub sent it."""

    body: bytes
    """JSON."""
    position: str
    """Where to continue after it."""
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream continues at another position than expected.

    Either the records between the last one that was read and ``position`` are no longer kept
    (``reason`` is ``trimmed``), or a crash has lost what was read from ``position`` on
    (``unwritten``): forget it, the records in its place follow. ``position`` is never inside an
    event.
    """

    position: str
    reason: str


@dataclass(frozen=True, slots=True)
class Value:
    """A record that is not a JSON object: another program wrote it."""

    value: Any


class Following:
    """A stream's events as they come: an async iterator, and a context that closes it.

    It ends with the stream. ``position`` is the position after the last event, where reading can
    continue later.

    Raises:
        HubError: on iteration: the hub refuses, or cannot be reached (again).
    """

    def __init__(self, heard: AsyncGenerator[Heard, None], start: str) -> None:
        self._heard = heard
        self.position = start

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Reset | Value:
        heard = await anext(self._heard)
        self.position = heard.position
        held = json_text.loads(heard.body)
        if heard.reset:
            return Reset(heard.position, held["reason"])
        return _typed(held)

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        await self._heard.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _typed(held: Any) -> Event | Value:
    """A record as an event; one that only looks like an event is `Other`."""
    try:
        return from_json(held)
    except RequestError:
        return Other(held) if isinstance(held, dict) else Value(held)


class _Again(Exception):
    """The reply must be abandoned, and the stream read again from the present place."""


class _Place:
    """Where reading continues."""

    def __init__(self, position: str) -> None:
        self.position = position
        self.connected = False
        # The positions before and after the newest events that are several records merged.
        self._merged: deque[tuple[str, str]] = deque(maxlen=MERGED)

    def advance(self, position: str) -> None:
        """Note that an event was taken, and the position after it."""
        if _offset(position) - _offset(self.position) > 1:
            self._merged.append((self.position, position))
        self.position = position

    def reset(self, position: str) -> bool:
        """Go back to a position; false if it lies inside a merged event.

        The place is then before that event, which must be read again; only older hubs reset into
        an event.
        """
        self.position = position
        while self._merged and _offset(self._merged[-1][1]) > _offset(position):
            before, _ = self._merged.pop()
            if _offset(before) < _offset(position):
                self.position = before
        return self.position == position


def _offset(position: str) -> int:
    """The offset in a position; very large for ``start`` and ``now``."""
    offset = position.rpartition("_")[2]
    return int(offset) if offset.isdecimal() else sys.maxsize


async def hear(
    wire: Transport,
    stream: str,
    start: str,
    *,
    wait: bool = False,
    waits: Callable[[float], None] = lambda _: None,
) -> AsyncGenerator[Heard, None]:
    """The events and resets of a stream, until it closes.

    ``start`` is ``start``, ``now`` or a position. With ``wait`` the stream need not exist
    yet. ``waits`` is called with the seconds before each new connection.

    Raises:
        HubError: the hub refuses, or cannot be reached (again).
    """
    place = _Place(start)
    passing = PASSING | TOKEN_LATE if wire.renews_token else PASSING
    tries = 0
    while True:
        before = place.position
        try:
            async with aclosing(_read(wire, stream, place, wait=wait)) as all_heard:
                async for heard in all_heard:
                    yield heard
            return
        except _Again:
            continue
        except HubError as error:
            if error.code not in passing or not place.connected:
                raise
            last = error
        tries = tries + 1 if place.position == before else 1
        if tries > TRIES:
            if last.code in TOKEN_LATE:
                raise last
            message = f"the connection was lost and could not be made again in {TRIES} tries"
            raise HubError(message, code="hub_unreachable")
        seconds = wait_before(tries)
        waits(seconds)
        await asyncio.sleep(seconds)


async def _read(
    wire: Transport, stream: str, place: _Place, *, wait: bool
) -> AsyncGenerator[Heard, None]:
    """The events of one connection; ends without an error only at the end of the stream."""
    path = f"/v1/live/{quote(stream)}?format=sse&from={quote(place.position)}"
    async with AsyncExitStack() as stack:
        async with _patience():
            reply = await stack.enter_async_context(wire.stream(path + "&wait=true" * wait))
        if reply.status == 204:  # all of a closed stream has been read
            return
        if reply.status != 200:
            raise await _refusal(reply)
        if not reply.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise malformed("it does not send server-sent events")
        place.connected = True
        place.position = reply.headers.get("Stream-Next-Offset", place.position)
        framing, unfinished = SSE(), b""
        while piece := await _next(reply):
            blocks, unfinished = _whole_blocks(unfinished + piece)
            # Every block except comments has both a position and a body.
            positions = iter(_ID.findall(blocks))
            for chunk in framing.feed(blocks):
                if chunk.event == "closed":
                    return
                position = next(positions, b"").decode() or place.position
                if chunk.event == "reset":
                    between_events = place.reset(position)
                    body = {**json_text.loads(chunk.data), "position": place.position}
                    yield Heard(orjson.dumps(body), place.position, reset=True)
                    if not between_events:
                        raise _Again
                    continue
                yield Heard(chunk.data, position)
                # Only now: the consumer has everything that the position covers.
                place.advance(position)
    raise HubError("the hub ended the reply before the end of the stream", code="hub_lost")


def _whole_blocks(held: bytes) -> tuple[bytes, bytes]:
    """The complete blocks and the rest; a hub ends its lines with LF.

    Raises:
        HubError: a block is too long.
    """
    blocks, blank, rest = held.rpartition(b"\n\n")
    if len(rest) > DEFAULT_LIMIT:
        raise malformed("it sends an event that is too long")
    return blocks + blank, rest


async def _next(reply: Reply) -> bytes:
    """The next bytes; empty at the end."""
    async with _patience():
        return await anext(reply, b"")


async def _refusal(reply: Reply) -> HubError:
    body = b""
    while piece := await _next(reply):
        body += piece
    error = refusal(reply.status, body)
    return HubError(error.message, code="hub_lost") if reply.status in ABSENT else error


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(SILENCE):
            yield
    except TimeoutError:
        message = f"the hub has sent nothing for {SILENCE:g} s"
        raise HubError(message, code="hub_unreachable") from None
