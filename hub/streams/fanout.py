"""The fan-out of one stream: encode once, flush once a tick, write straight when clear.

`append` only marks the stream. The first mark in a tick of the loop schedules one *round* for
the end of that tick. A round visits every follower once and offers it the records between its
place and the tail. Followers at the same place are sent the same bytes: one frame for each
encoder and place, built for the first such follower. If the connection is clear, the frame is
written at once and the follower moves to the tail. Any other follower falls behind and catches
up from its place at the speed of its own socket (see `hub.connections.connection`).

    offered to a follower at place p, with the tail at its turn:
        p < oldest             it lags: queue it for catch-up (also if p has left memory)
        oldest ≤ p < tail      write the frame of [p, tail), p = tail
        p = tail               it has everything: nothing to do

``oldest`` is where the tail was when the previous round began; the followers that it served
are there or beyond. A follower is only a place, so joining has no seam between history and live,
and a slow follower costs no memory.

A round over many followers is cut into slices with an iteration of the loop between them, so that
it holds the loop for a few milliseconds at most. Records appended meanwhile reach the remaining
slices in this round and the others in the next, which follows at once. So when the socket writes
of a round take longer than a tick, records are joined instead of queued, and no record is older
than one round when it is sent.

An `asyncio.Queue` and a task for every connection, the obvious design and the naive peer in
`bench/`, takes three to five times the processor time, because each message pays for a queue, a
wake-up and a task switch before it pays for `send`.
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
    """The offset of the next record to send."""

    @property
    def encoder(self) -> Encoder:
        """The encoder of its transport."""

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        """Take ``frame``, the records from ``start`` to ``end``; never waits, never raises."""

    def queue_catch_up(self) -> None:
        """Read on from its place; the stream has more records, or has closed."""


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
        """The followers still to be visited in the present round."""
        self._began = self._oldest = self._end = stream.tail
        """The tail when this round, the previous round, and this slice began."""
        self._records: list[Record] = []
        """The records from ``_first`` to ``_end``, kept for this round whatever is trimmed."""
        self._first = stream.tail
        self._frames: dict[tuple[Encoder, int], bytes] = {}
        """By encoder and first offset; all end at ``_end``."""

    def __len__(self) -> int:
        return len(self._followers)

    def add(self, follower: Follower) -> None:
        self._followers[follower] = None
        if follower.place < self._stream.tail or self._stream.closed:
            follower.queue_catch_up()

    def remove(self, follower: Follower) -> None:
        """Serve a follower no longer."""
        self._followers.pop(follower, None)
        # The present round may still visit it, and finds it beyond the tail.
        follower.place = BEYOND

    def queue_all(self) -> None:
        """Have every follower catch up, each in its own task."""
        for follower in list(self._followers):
            follower.queue_catch_up()

    def flushed(self, end: int) -> bool:
        """Whether every follower has been offered the records before ``end``."""
        return end <= (self._began if self._left is None else self._oldest)

    def mark(self) -> None:
        """Schedule a round for the end of this tick, because there is something to flush."""
        if self._marked:
            return
        if not self._followers and self._left is None:
            self._clear()
            return
        self._marked = True
        if self._left is None:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._marked = False
        self._oldest, self._began = self._began, self._stream.tail
        if self._records:
            # This round follows the previous one at once.
            del self._records[: max(0, self._oldest - self._first)]
            self._first = max(self._first, self._oldest)
        self._left = iter(list(self._followers))
        # A round that only brings the end of the stream sends no frame.
        self._counts.flushes += self._began > self._oldest
        self._serve(self._left)

    def _serve(self, left: Iterator[Follower]) -> None:
        """Serve one slice; the next follows in the next iteration of the loop."""
        try:
            self._serve_slice(left)
        except Exception:
            # A bug. Each follower catches up by itself, and only those affected are cut off; a
            # round that never ends would leave all of them waiting.
            log.exception("a round of stream %s failed", self._stream.name)
            self._counts.failures += 1
            self.queue_all()
            self._finish()

    def _serve_slice(self, left: Iterator[Follower]) -> None:
        end = self._stream.tail
        if end != self._end:
            self._take(end)
        encoder, place, frame = None, BEYOND, None
        served = 0
        for follower in left:
            # Nearly always all have the same place and encoder.
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
            asyncio.get_running_loop().call_soon(self._serve, left)
        else:
            self._finish()

    def _take(self, end: int) -> None:
        """Take what was appended since the last slice."""
        self._frames.clear()
        if self._end < self._stream.warm:
            # A burst is larger than what stays in memory: no frame would do for all.
            self._records.clear()
            self._first = end
        else:
            self._records += self._stream.newest(self._end, end)
        self._end = end

    def _batch(self, place: int, end: int) -> Batch | None:
        """The records from a place to the tail, if they are in memory."""
        stream = self._stream
        if place >= self._first and not self._is_text:
            found = self._records[place - self._first :]
            return Batch(stream.name, found, stream.position, b"", True)
        if place >= stream.near:
            return stream.between(place, end)
        return None  # text may lack a character that began in an earlier record

    def _frame(self, encoder: Encoder, place: int, end: int) -> bytes | None:
        """A frame from a place to the tail; ``None`` if the place is too old, or at the tail."""
        if not self._oldest <= place < end:
            return None
        frame = self._frames.get((encoder, place))
        if frame is None and (batch := self._batch(place, end)) is not None:
            frame = self._frames[encoder, place] = encoder.events(batch)
        return frame

    def _finish(self) -> None:
        self._left = None
        if self._marked:
            # The earlier slices lack what was appended meanwhile.
            asyncio.get_running_loop().call_soon(self._begin)
            return
        self._clear()
        if self._stream.closed:
            # Each follower notices the end by itself, once it has read everything.
            self.queue_all()

    def _clear(self) -> None:
        """Drop what a round needs: all followers are at the tail or catching up."""
        self._frames.clear()
        self._records.clear()
        self._began = self._end = self._first = self._stream.tail
