"""A subscription: one connection's place in one stream, and how it is moved along."""

from __future__ import annotations

from typing import Final, Protocol

from hub.domain.counters import Counters
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch, Encoder
from hub.http.client_socket import ClientSocket
from hub.streams.followed import FollowedStream
from hub.streams.history import Place

__all__ = ["Outbox", "Subscription"]

LITTLE: Final = 16
"""Records that whoever joins may lack and is sent at once, if they are at hand."""

SHARED: Final = 256
"""Catch-up frames that a stream remembers, until it is next looked after."""


class Outbox(Protocol):
    """What a subscription needs of its connection."""

    wire: ClientSocket
    encoder: Encoder
    counts: Counters
    busy: bool
    """Something waits to be written."""

    def enqueue(self, item: Subscription) -> None:
        """Have the writer come to a subscription, once what waits before it is written."""


class Subscription:
    """One connection's place in one stream."""

    __slots__ = ("connection", "encoder", "place", "queued", "reset", "stream")

    def __init__(self, connection: Outbox, stream: FollowedStream, place: Place) -> None:
        self.connection = connection
        self.stream = stream
        self.encoder = connection.encoder
        self.place = place.offset
        self.reset = place.reset
        self.queued = False

    @property
    def lag(self) -> int:
        """Records between its place and the tail."""
        return self.stream.tail - self.place

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        """See `hub.streams.fanout.Follower`. This is the hot path: once a follower, once a tick."""
        if self.place != start:
            if self.place < end:
                self.queue_catch_up()
            return
        connection = self.connection
        wire = connection.wire
        transport = wire.transport
        if transport is None or connection.busy or wire.writing_paused:
            self.queue_catch_up()
            return
        if frame:
            transport.write(frame)
        self.place = end

    def queue_catch_up(self) -> None:
        """See `hub.streams.fanout.Follower`."""
        if not self.queued:
            self.queued = True
            self.connection.enqueue(self)

    def take_up(self, limit: int) -> None:
        """Send at once what is missing, if that is little: most who join come for what has just
        begun, and need neither an outbox nor its writer.
        """
        stream, place = self.stream, self.place
        _, first = stream.life
        near = 0 < self.lag <= LITTLE and place >= max(stream.near, first)
        if near and not stream.closed:
            batch = stream.between(place, stream.tail)
            if sum(len(record.body) for record in batch.records) <= limit:
                self.send_or_queue(self._frame(batch), place, stream.tail)

    async def next_frame(self, limit: int) -> bytes | None:
        """What to write next; empty if nothing shows; ``None`` if it cannot go on."""
        stream = self.stream
        if stream.lost:
            return None
        reset, self.reset = self.reset, None
        if reset is None and self.place < stream.head:
            reset = stream.trimmed()
        if reset is not None:
            self.place = reset.position.offset
            self.connection.counts.resets += 1
            return self.encoder.reset(stream.name, reset.position, reset.reason)
        if self.place == stream.tail:
            return b""
        place = self.place
        batch = await stream.fetch(place, limit)
        if self.place != place:
            return b""  # it was unsubscribed from, and a round must go on to pass it by
        if not batch.records:
            # They are gone: it was deleted, or trimmed in the meantime.
            return None if self.place >= stream.head else b""
        frame = self._frame(batch)
        self.place = batch.position.offset
        return frame

    def _frame(self, batch: Batch) -> bytes:
        """Readers who come at the same time read the same past: it is encoded once for all."""
        stream = self.stream
        key = (self.place, batch.position.offset, batch.latest, self.encoder)
        frame = stream.frames.get(key)
        if frame is None:
            self.connection.counts.catch_ups += 1
            if self.encoder.merges:
                batch = batch._replace(records=merge(batch.records), start=self.place)
            frame = self.encoder.events(batch)
            if len(stream.frames) < SHARED and stream.moment.admits(len(frame)):
                stream.frames[key] = frame
        return frame

    @property
    def done(self) -> bool:
        """The stream has closed and all of it was sent."""
        return self.stream.closed and self.place == self.stream.tail and self.reset is None
