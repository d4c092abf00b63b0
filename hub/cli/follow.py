"""A stream of a hub, followed across dropped connections: each event once, in order.

The position that comes with every event (``id:`` of the server-sent event) is where the
next connection goes on. The first connection must succeed; a later one is tried again a
bounded number of times, with growing waits of random length so that the clients of a hub
that restarts do not all come back in the same moment.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from hub.cli.calls import refusal
from hub.cli.output import Progress
from hub.errors import HubError
from hub.framing import DEFAULT_LIMIT, SSE, Chunk
from hub.remote import Following, Remote

__all__ = ["follow"]

TRIES: Final = 8
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 15.0
# Several times the beat of a hub: a connection that is silent for longer is dead.
SILENCE: Final = 90.0
# What may be better in a moment: no connection, a hub that stops or is full.
PASSING: Final = frozenset({"hub_lost", "hub_unreachable", "draining", "limit_exceeded"})
# What a proxy answers for a hub that is not there.
ABSENT: Final = frozenset({502, 503, 504})

_ID: Final = re.compile(rb"^id: ([0-9_]+)$", re.MULTILINE)


@dataclass(slots=True)
class _Place:
    position: str
    connected: bool = False


async def follow(
    remote: Remote, stream: str, start: str, progress: Progress
) -> AsyncGenerator[Chunk, None]:
    """The events of a stream until it closes; a chunk called ``reset`` where it had to jump.

    ``start`` is ``start``, ``now`` or a position. ``progress`` shows the waits.

    Raises:
        HubError: the hub refuses, or cannot be reached (again).
    """
    place = _Place(start)
    tries = 0
    while True:
        before = place.position
        try:
            async with aclosing(_read(remote, stream, place)) as chunks:
                async for chunk in chunks:
                    progress.clear()
                    yield chunk
            return
        except HubError as error:
            if error.code not in PASSING or not place.connected:
                raise
        tries = tries + 1 if place.position == before else 1
        if tries > TRIES:
            said = f"the connection was lost and could not be made again in {TRIES} tries"
            raise HubError(said, code="hub_unreachable")
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))
        wait = random.uniform(longest / 2, longest)  # noqa: S311  # no secret depends on it
        progress.show(f"the connection was lost; trying again in {wait:.1f} s")
        await asyncio.sleep(wait)


async def _read(remote: Remote, stream: str, place: _Place) -> AsyncGenerator[Chunk, None]:
    """The chunks that one connection brings; it ends well only where the stream does."""
    path = f"/v1/live/{quote(stream)}?format=sse&from={quote(place.position)}"
    async with AsyncExitStack() as stack:
        async with _patience():
            reply = await stack.enter_async_context(remote.stream(path))
        if reply.status == 204:  # all of a closed stream has been read
            return
        if reply.status != 200:
            raise await _refused(reply)
        place.connected = True
        place.position = reply.headers.get("Stream-Next-Offset", place.position)
        framing, unfinished = SSE(), b""
        while piece := await _next(reply):
            blocks, unfinished = _whole_blocks(unfinished + piece)
            for chunk in framing.feed(blocks):
                if chunk.event == "closed":
                    return
                yield chunk
            # Only now: whoever takes the chunks has had all that the position covers.
            place.position = (_positions(blocks) or [place.position])[-1]
    raise HubError("the hub ended the reply before the stream ended", code="hub_lost")


def _whole_blocks(held: bytes) -> tuple[bytes, bytes]:
    """What ends with a blank line, and the rest; a hub ends its lines with LF alone.

    Raises:
        HubError: a block that no hub sends.
    """
    blocks, blank, rest = held.rpartition(b"\n\n")
    if len(rest) > DEFAULT_LIMIT:
        raise HubError("what answers there is no hub: its event has no end", code="hub_malformed")
    return blocks + blank, rest


def _positions(blocks: bytes) -> list[str]:
    """The ``id:`` of each block: the position after its event."""
    return [found.decode() for found in _ID.findall(blocks)]


async def _next(reply: Following) -> bytes:
    """The next bytes; none at the end."""
    async with _patience():
        return await anext(reply, b"")


async def _refused(reply: Following) -> HubError:
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
