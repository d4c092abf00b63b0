"""The fan-out of one stream: encode once, flush once a tick, write straight when clear.

`append` only marks the stream. The first mark in a tick of the loop schedules one *pass*
for the end of that tick. A pass covers the records since the last one; it builds one frame
for each encoder in use, when the first of its followers comes up, and offers it to every
follower. A follower at the place where the pass begins, on a clear connection, is written
to at once and moves to the end of the pass; any other falls behind and catches up by
itself, from its place, at the speed of its own socket (see `hub.connection`).

    pass covers   [done ······· end)      offered to a follower at place p:
                   p = done               write the frame, p = end
                   p < end                it lags: queue it for catch-up
                   p ≥ end                it joined after the pass began: nothing to do

A follower is never anything but a place, so joining has no seam between history and live,
and a slow one costs no memory. A pass over many followers goes in slices, with a turn of
the loop between them, so that it holds the loop for no more than a few milliseconds.

Measured against an `asyncio.Queue` and a task for every connection, which was the obvious
design and is the naive peer in `bench/`: three to five times the processor time, because
each message then pays for a queue, a wake-up and a task switch before it pays for `send`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final, Protocol

from hub.counts import Counts
from hub.encoders import Batch, Encoder

if TYPE_CHECKING:
    from hub.stream import Stream

__all__ = ["Fanout", "Follower"]

BEYOND: Final = sys.maxsize
"""A place after every record."""


class Follower(Protocol):
    """One subscription, as the fan-out sees it."""

    place: int
    """The offset that it is to be sent next."""

    @property
    def encoder(self) -> Encoder:
        """How its transport wants the records."""

    def offer(self, frame: bytes, start: int, end: int) -> None:
        """The records from ``start`` to ``end`` are in ``frame``; never waits, never raises."""

    def behind(self) -> None:
        """There is something to read at its place, or the stream has closed."""


class _Pass:
    """One flush under way: what it covers and who has not been offered it yet."""

    __slots__ = ("batch", "end", "frames", "left", "start")

    def __init__(self, start: int, batch: Batch, followers: list[Follower]) -> None:
        self.start = start
        self.end = batch.position.offset
        self.batch = batch
        self.left = iter(followers)
        self.frames: dict[Encoder, bytes] = {}


class Fanout:
    """The followers of one stream, and the pass that serves them."""

    __slots__ = ("_counts", "_done", "_followers", "_marked", "_pass", "_slice", "_stream")

    def __init__(self, stream: Stream, counts: Counts, slice_size: int) -> None:
        self._stream = stream
        self._counts = counts
        self._slice = slice_size
        self._followers: dict[Follower, None] = {}
        self._done = stream.tail
        self._marked = False
        self._pass: _Pass | None = None

    def __len__(self) -> int:
        return len(self._followers)

    def add(self, follower: Follower) -> None:
        """Serve a follower from its place on."""
        self._followers[follower] = None
        if follower.place < self._stream.tail or self._stream.closed:
            follower.behind()

    def remove(self, follower: Follower) -> None:
        """Offer it nothing more."""
        self._followers.pop(follower, None)
        # A pass under way may still come to it, and finds it beyond its end.
        follower.place = BEYOND

    def mark(self) -> None:
        """There is something to flush: once, at the end of this tick."""
        if self._marked:
            return
        if not self._followers and self._pass is None:
            self._done = self._stream.tail
            return
        self._marked = True
        if self._pass is None:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._marked = False
        stream = self._stream
        start, end = self._done, stream.tail
        followers = list(self._followers)
        self._done = end
        if start < stream.head:
            # A burst larger than the retention: there is no frame that would do for all.
            _turn_behind(followers)
        elif start < end:
            self._counts.flushes += 1
            self._pass = _Pass(start, stream.between(start, end), followers)
            self._go_on(self._pass)
            return
        self._finish()

    def _go_on(self, running: _Pass) -> None:
        """Serve one slice; the next comes after a turn of the loop."""
        start, end, frames = running.start, running.end, running.frames
        served = 0
        for follower in running.left:
            encoder = follower.encoder
            frame = frames.get(encoder)
            if frame is None:
                frame = frames[encoder] = encoder.events(running.batch)
            follower.offer(frame, start, end)
            served += 1
            if served == self._slice:
                break
        self._counts.deliveries += served
        if served == self._slice:
            asyncio.get_running_loop().call_soon(self._go_on, running)
            return
        self._pass = None
        self._finish()

    def _finish(self) -> None:
        if self._marked:
            asyncio.get_running_loop().call_soon(self._begin)
        elif self._stream.closed:
            # Each finds out for itself that nothing more comes, once it has read everything.
            _turn_behind(list(self._followers))


def _turn_behind(followers: list[Follower]) -> None:
    for follower in followers:
        follower.behind()
