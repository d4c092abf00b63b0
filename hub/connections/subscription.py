"""A subscription: one connection's place in one stream, and how it advances."""

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
"""The most records that a new subscription is sent at once, if they are in memory."""

SHARED: Final = 256
"""The most catch-up frames that a stream caches until the next sweep."""


class Outbox(Protocol):
    """What a subscription needs of its connection."""

    wire: ClientSocket
    encoder: Encoder
    counts: Counters
    busy: bool
    """Whether something waits to be written."""

    def enqueue(self, item: Subscription) -> None:
        """Have the writer serve a subscription, after what already waits."""


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
        return self.stream.tail - self.place

    def send_or_queue(self, frame: bytes, start: int, end: int) -> None:
        """See `hub.streams.fanout.Follower`. The hot path: called per follower and tick."""
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
        if not self.queued:
            self.queued = True
            self.connection.enqueue(self)

    def send_short_lag(self, limit: int) -> None:
        """Send the missing records at once if they are few: most clients join a stream that has
        just begun, and then need neither an outbox nor a writer.
        """
        stream, place = self.stream, self.place
        _, first = stream.life
        near = 0 < self.lag <= LITTLE and place >= max(stream.near, first)
        if near and not stream.closed:
            batch = stream.between(place, stream.tail)
            if sum(len(record.body) for record in batch.records) <= limit:
                self.send_or_queue(self._frame(batch), place, stream.tail)

    async def next_frame(self, limit: int) -> bytes | None:
        """The next frame to write; may be empty; ``None`` if the subscription cannot go on."""
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
            return b""  # it was unsubscribed, and its place must stay beyond the tail
        if not batch.records:
            # The stream was deleted or trimmed meanwhile.
            return None if self.place >= stream.head else b""
        frame = self._frame(batch)
        self.place = batch.position.offset
        return frame

    def _frame(self, batch: Batch) -> bytes:
        """Encode a batch, once for all readers that catch up at about the same time."""
        stream = self.stream
        key = (self.place, batch.position.offset, batch.latest, self.encoder)
        frame = stream.frames.get(key)
        if frame is None:
            self.connection.counts.catch_ups += 1
            if self.encoder.merges:
                batch = batch._replace(records=merge(batch.records), start=self.place)
            frame = self.encoder.events(batch)
            if len(stream.frames) < SHARED and stream.cache_budget.admits(len(frame)):
                stream.frames[key] = frame
        return frame

    @property
    def done(self) -> bool:
        """Whether the stream has closed and all of it was sent."""
        return self.stream.closed and self.place == self.stream.tail and self.reset is None
