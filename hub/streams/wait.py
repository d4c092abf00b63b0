"""Wait until something happens to a stream, or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.frames.encoder import BaseEncoder, Encoder
from hub.streams.followed import FollowedStream

__all__ = ["until"]


class _Listener:
    """A follower that checks a condition whenever the stream changes."""

    encoder: Encoder = BaseEncoder()  # which sends nothing

    def __init__(self, stream: FollowedStream, met: Callable[[], bool]) -> None:
        self.place = stream.tail
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._met = met

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        self.place = end
        self.queue_catch_up()

    def queue_catch_up(self) -> None:
        if not self.heard.done() and (self._stream.lost or self._met()):
            self.heard.set_result(None)


async def until(
    stream: FollowedStream,
    met: Callable[[], bool],
    *,
    within: float | None = None,
    among: set[asyncio.Future[None]] | None = None,
) -> bool:
    """Wait until ``met()`` is true, ``within`` seconds at most; returns whether it is.

    It is checked now, and whenever the stream is written or closed. The wait also ends if the
    stream is lost (see `hub.streams.stream.Stream.abandon`). While it lasts, its future is
    ``among`` the given ones; resolving it ends the wait early.
    """
    if met():
        return True
    listener = _Listener(stream, met)
    stream.subscribe(listener)
    if among is not None:
        among.add(listener.heard)
    try:
        if within is None:
            await listener.heard
        else:
            await asyncio.wait([listener.heard], timeout=within)
    finally:
        stream.unsubscribe(listener)
        if among is not None:
            among.discard(listener.heard)
    return met()
