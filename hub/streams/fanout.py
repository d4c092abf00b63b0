"""The fan-out of one stream: encode once, flush once a tick, write straight when clear.

`append` only marks the stream. The first mark in a tick of the loop schedules one *round*
for the end of that tick. A round comes to every follower once and offers it what lies
between its place and the tail. Followers at one place are sent the same bytes, so there is
one frame for each encoder in use and each place, built when the first such follower comes
up. On a clear connection the frame is written at once and the follower moves to the tail;
any other falls behind and catches up by itself, from its place, at the speed of its own
socket (see `hub.connections.connection`).

    offered to a follower at place p, with the tail at its turn:
        p < oldest             it lags: queue it for catch-up (so if p has left memory)
        oldest ≤ p < tail      write the frame of [p, tail), p = tail
        p = tail               it has everything: nothing to do

``oldest`` is where the tail was when the round before began; whoever that round served is
at it or beyond. A follower is never anything but a place, so joining has no seam between
history and live, and a slow one costs no memory.

A round over many followers goes in slices, with a turn of the loop between them, so that it
holds the loop for no more than a few milliseconds. What is appended meanwhile reaches the
slices still to come in this round, and the others in the next, which follows at once. So
when the socket writes of one round last longer than a tick, records are joined instead of
queued, and none is older than one round when it is sent.

Measured against an `asyncio.Queue` and a task for every connection, which was the obvious
design and is the naive peer in `bench/`: three to five times the processor time, because
each message then pays for a queue, a wake-up and a task switch before it pays for `send`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Final, Protocol

from hub.domain.counters import Counters
from hub.domain.records import Record
from hub.frames.encoder import Batch, Encoder
from hub.streams.history import History

__all__ = ["Fanout", "Follower"]

log = logging.getLogger("hub.fanout")

BEYOND: Final = sys.maxsize
"""A place after every record."""


class Follower(Protocol):
    """One subscription, as the fan-out sees it."""

    place: int
    """The offset that it is to be sent next."""

    @property
    def encoder(self) -> Encoder:
        """How its transport wants the records."""

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        """The records from ``start`` to ``end`` are in ``frame``; never waits, never raises."""

    def queue_catch_up(self) -> None:
        """There is something to read at its place, or the stream has closed."""


class Fanout:
    """The followers of one stream, and the round that serves them."""

    __slots__ = (
        "_began",
        "_counts",
        "_end",
        "_first",
        "_followers",
        "_frames",
        "_is_text",
        "_left",
        "_marked",
        "_oldest",
        "_records",
        "_slice",
        "_stream",
    )

    def __init__(self, stream: History, counts: Counters, slice_size: int) -> None:
        self._stream = stream
        self._is_text = stream.settings.is_text
        self._counts = counts
        self._slice = slice_size
        self._followers: dict[Follower, None] = {}
        self._marked = False
        self._left: Iterator[Follower] | None = None
        """Who has not been offered anything in the round under way."""
        self._began = self._oldest = self._end = stream.tail
        """The tail when this round, the one before, and this slice began."""
        self._records: list[Record] = []
        """Those from ``_first`` to ``_end`` that this round may need, whatever is trimmed."""
        self._first = stream.tail
        self._frames: dict[tuple[Encoder, int], bytes] = {}
        """By encoder and first record; all go up to ``_end``."""

    def __len__(self) -> int:
        return len(self._followers)

    def add(self, follower: Follower) -> None:
        """Serve a follower from its place on."""
        self._followers[follower] = None
        if follower.place < self._stream.tail or self._stream.closed:
            follower.queue_catch_up()

    def remove(self, follower: Follower) -> None:
        """Offer it nothing more."""
        self._followers.pop(follower, None)
        # A round under way may still come to it, and finds it beyond the tail.
        follower.place = BEYOND

    def rouse(self) -> None:
        """Have every follower look at the stream for itself, in a turn of its own."""
        for follower in list(self._followers):
            follower.queue_catch_up()

    def flushed(self, end: int) -> bool:
        """Whether every follower has been offered the records before ``end``."""
        return end <= (self._began if self._left is None else self._oldest)

    def mark(self) -> None:
        """There is something to flush: once, at the end of this tick."""
        if self._marked:
            return
        if not self._followers and self._left is None:
            self._rest()
            return
        self._marked = True
        if self._left is None:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._marked = False
        self._oldest, self._began = self._began, self._stream.tail
        if self._records:
            # The round before went on to this one without a rest.
            del self._records[: max(0, self._oldest - self._first)]
            self._first = max(self._first, self._oldest)
        self._left = iter(list(self._followers))
        # A round that only brings the end of the stream has no frame of its own.
        self._counts.flushes += self._began > self._oldest
        self._go_on(self._left)

    def _go_on(self, left: Iterator[Follower]) -> None:
        """Serve one slice; the next comes after a turn of the loop."""
        try:
            self._serve_slice(left)
        except Exception:
            # A mistake of ours. Each follower goes on by itself, and only those that it concerns
            # are cut off; a round that never ends would leave all of them waiting.
            log.exception("a round of stream %s failed", self._stream.name)
            self._counts.failures += 1
            self.rouse()
            self._finish()

    def _serve_slice(self, left: Iterator[Follower]) -> None:
        end = self._stream.tail
        if end != self._end:
            self._take(end)
        encoder, place, frame = None, BEYOND, None
        served = 0
        for follower in left:
            # Nearly always all are at one place and of one encoder.
            if follower.place != place or follower.encoder is not encoder:
                encoder, place = follower.encoder, follower.place
                frame = self._frame(encoder, place, end)
            if frame is not None:
                follower.send_or_queue(frame, place, end)
            elif place < end:
                follower.queue_catch_up()
            served += 1
            if served == self._slice:
                break
        self._counts.deliveries += served
        if served == self._slice:
            asyncio.get_running_loop().call_soon(self._go_on, left)
        else:
            self._finish()

    def _take(self, end: int) -> None:
        """Take up what was appended since the last slice."""
        self._frames.clear()
        if self._end < self._stream.warm:
            # A burst larger than the retention: there is no frame that would do for all.
            self._records.clear()
            self._first = end
        else:
            self._records += self._stream.newest(self._end, end)
        self._end = end

    def _batch(self, place: int, end: int) -> Batch | None:
        """The records from a place to the tail, if they are at hand."""
        stream = self._stream
        if place >= self._first and not self._is_text:
            found = self._records[place - self._first :]
            return Batch(stream.name, found, stream.position, b"", True)
        if place >= stream.near:
            return stream.between(place, end)
        return None  # of text, the character that a record before began would be missing

    def _frame(self, encoder: Encoder, place: int, end: int) -> bytes | None:
        """The records from a place to the tail; ``None`` for a place too old, or at the tail."""
        if not self._oldest <= place < end:
            return None
        frame = self._frames.get((encoder, place))
        if frame is None and (batch := self._batch(place, end)) is not None:
            frame = self._frames[encoder, place] = encoder.events(batch)
        return frame

    def _finish(self) -> None:
        self._left = None
        if self._marked:
            # Something was appended meanwhile: not all of the earlier slices have had it.
            asyncio.get_running_loop().call_soon(self._begin)
            return
        self._rest()
        if self._stream.closed:
            # Each finds out for itself that nothing more comes, once it has read everything.
            self.rouse()

    def _rest(self) -> None:
        """Everybody has everything, or is on its own way there."""
        self._frames.clear()
        self._records.clear()
        self._began = self._end = self._first = self._stream.tail
