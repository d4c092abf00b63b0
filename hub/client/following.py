"""A stream followed across dropped connections: each event once, in order.

The position that comes with every event (``id:`` of the server-sent event) is where the
next connection goes on. The first connection must succeed; a later one is tried again a
bounded number of times, with growing waits of random length.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import orjson

from hub.client.backoff import wait_before
from hub.client.errors import ABSENT, malformed, refusal
from hub.client.transport import Reply, Transport
from hub.domain import json_text
from hub.domain.errors import HubError, RequestError
from hub.domain.events import Event, Other, from_json
from hub.framing import DEFAULT_LIMIT, SSE

__all__ = ["Following", "Heard", "Reset", "Value", "hear"]

TRIES: Final = 8
# Several times the beat of a hub: a connection that is silent for longer is dead.
SILENCE: Final = 90.0
# What may be better in a moment: no connection, a hub that stops or is full.
PASSING: Final = frozenset({"hub_lost", "hub_unreachable", "draining", "limit_exceeded"})

JOINED: Final = 1000
"""Events of several records of which it is known where they began."""

_ID: Final = re.compile(rb"^id: ([0-9_]+)$", re.MULTILINE)


class Heard(NamedTuple):
    """One thing that a hub said of a stream, as it came."""

    body: bytes
    """Its JSON."""
    position: str
    """The next to read after it."""
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream goes on at another position than was expected.

    What lies between ``position`` and what was read last is no longer kept
    (``reason`` ``trimmed``), or a crash has taken back what was read from ``position`` on
    (``unwritten``): forget it, the records that took its place follow. ``position`` is never
    inside an event: it was that of the last one before, or nothing came before.
    """

    position: str
    reason: str


@dataclass(frozen=True, slots=True)
class Value:
    """A record that is no JSON object: some other program's."""

    value: Any


class Following:
    """A stream's events as they come: an async iterator, and a context that closes it.

    It ends where the stream does. ``position`` is the next to read after the last event given:
    whoever keeps it can go on there later.

    Raises:
        HubError: while iterating: the hub refuses, or cannot be reached (again).
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

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


def _typed(held: Any) -> Event | Value:
    """A record as what it is; one that only looks like an event passes as it stands."""
    try:
        return from_json(held)
    except RequestError:
        return Other(held) if isinstance(held, dict) else Value(held)


class _Again(Exception):
    """The reply is not what is wanted any more: ask anew from the place."""


class _Place:
    """Where the reading goes on."""

    def __init__(self, position: str) -> None:
        self.position = position
        self.connected = False
        # Where events began and ended that are several records, the newest of them.
        self._joined: deque[tuple[str, str]] = deque(maxlen=JOINED)

    def went_on(self, position: str) -> None:
        """An event was taken, after which it is another position."""
        if _offset(position) - _offset(self.position) > 1:
            self._joined.append((self.position, position))
        self.position = position

    def went_back(self, position: str) -> bool:
        """It was reset; false if the position lies inside an event.

        No hub of today sends one there. All of that event is to be forgotten then, and is read
        again from its beginning.
        """
        self.position = position
        while self._joined and _offset(self._joined[-1][1]) > _offset(position):
            before, _ = self._joined.pop()
            if _offset(before) < _offset(position):
                self.position = before
        return self.position == position


def _offset(position: str) -> int:
    """The offset in a position; that of a word is none of importance."""
    offset = position.rpartition("_")[2]
    return int(offset) if offset.isdecimal() else sys.maxsize


def _silent(wait: float) -> None:
    """Nobody wants to know about the waits."""


async def hear(
    wire: Transport,
    stream: str,
    start: str,
    *,
    wait: bool = False,
    waits: Callable[[float], None] = _silent,
) -> AsyncGenerator[Heard, None]:
    """What a hub says of a stream, until it closes.

    ``start`` is ``start``, ``now`` or a position. With ``wait`` the stream need not exist
    yet. ``waits`` is told the seconds before each new connection.

    Raises:
        HubError: the hub refuses, or cannot be reached (again).
    """
    place = _Place(start)
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
            if error.code not in PASSING or not place.connected:
                raise
        tries = tries + 1 if place.position == before else 1
        if tries > TRIES:
            said = f"the connection was lost and could not be made again in {TRIES} tries"
            raise HubError(said, code="hub_unreachable")
        seconds = wait_before(tries)
        waits(seconds)
        await asyncio.sleep(seconds)


async def _read(
    wire: Transport, stream: str, place: _Place, *, wait: bool
) -> AsyncGenerator[Heard, None]:
    """What one connection brings; it ends well only where the stream does."""
    path = f"/v1/live/{quote(stream)}?format=sse&from={quote(place.position)}"
    async with AsyncExitStack() as stack:
        async with _patience():
            reply = await stack.enter_async_context(wire.stream(path + "&wait=true" * wait))
        if reply.status == 204:  # all of a closed stream has been read
            return
        if reply.status != 200:
            raise await _refused(reply)
        if not reply.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise malformed("it sends no events")
        place.connected = True
        place.position = reply.headers.get("Stream-Next-Offset", place.position)
        framing, unfinished = SSE(), b""
        while piece := await _next(reply):
            blocks, unfinished = _whole_blocks(unfinished + piece)
            # Every block that is no comment has both a position and a body.
            positions = iter(_ID.findall(blocks))
            for chunk in framing.feed(blocks):
                if chunk.event == "closed":
                    return
                position = next(positions, b"").decode() or place.position
                if chunk.event == "reset":
                    straight = place.went_back(position)
                    told = {**json_text.loads(chunk.data), "position": place.position}
                    yield Heard(orjson.dumps(told), place.position, reset=True)
                    if not straight:
                        raise _Again
                    continue
                yield Heard(chunk.data, position)
                # Only now: whoever takes it has had all that the position covers.
                place.went_on(position)
    raise HubError("the hub ended the reply before the stream ended", code="hub_lost")


def _whole_blocks(held: bytes) -> tuple[bytes, bytes]:
    """What ends with a blank line, and the rest; a hub ends its lines with LF alone.

    Raises:
        HubError: a block that no hub sends.
    """
    blocks, blank, rest = held.rpartition(b"\n\n")
    if len(rest) > DEFAULT_LIMIT:
        raise malformed("its event has no end")
    return blocks + blank, rest


async def _next(reply: Reply) -> bytes:
    """The next bytes; none at the end."""
    async with _patience():
        return await anext(reply, b"")


async def _refused(reply: Reply) -> HubError:
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
        said = f"the hub says nothing for {SILENCE:g} s"
        raise HubError(said, code="hub_unreachable") from None
