"""A standby: a connection's subscription to a stream that has not begun yet."""

from __future__ import annotations

from typing import Protocol

from hub.domain.errors import Conflict, HubError
from hub.domain.records import Position
from hub.frames.websocket import error_frame
from hub.streams.followed import FollowedStream
from hub.streams.history import From, Place
from hub.streams.waiters import StreamWaiters

__all__ = ["PendingSubscription", "Subscriber"]


class Subscriber(Protocol):
    """What a pending subscription needs of its connection."""

    standbys: dict[str, PendingSubscription]

    def choose_encoder(self, stream: FollowedStream) -> None:
        """Speak to the reader as the stream's content wants it.

        Raises:
            Conflict: there is no way to.
        """

    def subscribe(self, stream: FollowedStream, place: Place) -> None:
        """Follow a stream from a place on."""

    def unsubscribe(self, name: str) -> bool:
        """Stop following, and waiting."""

    def refuse(self, standby: PendingSubscription) -> None:
        """What was waited for has begun and cannot be followed."""


class PendingSubscription:
    """One connection that waits for one stream.

    It is a name in two places, no more: in the connection and among the waiters of the
    stream. When that begins, it becomes a subscription in the same step, so nothing that is
    written can come in between.
    """

    __slots__ = ("_awaited", "_refusal", "_start", "connection", "name")

    def __init__(
        self, connection: Subscriber, awaited: StreamWaiters, name: str, start: From
    ) -> None:
        self.connection = connection
        self.name = name
        self._awaited = awaited
        # Whoever waits waits for all of it; a position tells what was read in an earlier life.
        self._start: From = start if isinstance(start, Position) else "start"
        self._refusal: HubError | None = None
        awaited.add(name, self)

    def cancel(self) -> None:
        """Wait no longer."""
        self._awaited.remove(self.name, self)

    def begun(self, stream: FollowedStream) -> None:
        """See `hub.streams.waiters.Waiter`."""
        connection = self.connection
        if connection.standbys.get(self.name) is not self:
            return
        try:
            connection.choose_encoder(stream)
        except Conflict as refusal:
            self._refusal = refusal
            connection.unsubscribe(self.name)
            connection.refuse(self)
        else:
            del connection.standbys[self.name]
            connection.subscribe(stream, stream.place(self._start))

    def frame(self) -> bytes:
        """Why it came to nothing; see `hub.connections.connection.Note`."""
        return b"" if self._refusal is None else error_frame(self._refusal, stream=self.name)
