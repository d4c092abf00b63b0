"""A connection's subscription to a stream that does not exist yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hub.domain.errors import Conflict, HubError
from hub.domain.records import Position
from hub.frames.encoder import Encoder
from hub.frames.messages import error_message
from hub.streams.followed import FollowedStream
from hub.streams.history import From, Place
from hub.streams.waiters import StreamWaiters

__all__ = ["PendingSubscription", "Subscriber"]


class Subscriber(Protocol):
    """What a pending subscription needs of its connection."""

    encoder: Encoder
    pending: dict[str, PendingSubscription]

    def choose_encoder(self, stream: FollowedStream) -> None:
        """See `hub.connections.connection.Connection.choose_encoder`."""

    def subscribe(self, stream: FollowedStream, place: Place) -> None:
        """Follow a stream from a place."""

    def unsubscribe(self, name: str) -> bool:
        """Stop following or waiting."""

    def refuse(self, pending: PendingSubscription) -> None:
        """The stream has begun, but cannot be followed."""


class PendingSubscription:
    """One connection that waits for one stream.

    It is only an entry in the connection and one among the stream's waiters. When the stream
    begins, it becomes a subscription in the same step, before anything is written.
    """

    __slots__ = ("_allowed", "_awaited", "_refusal", "_start", "connection", "name")

    def __init__(
        self,
        connection: Subscriber,
        awaited: StreamWaiters,
        name: str,
        start: From,
        allowed: Callable[[FollowedStream], bool],
    ) -> None:
        self.connection = connection
        self.name = name
        self._awaited = awaited
        self._allowed = allowed
        # "now" means all of a new stream; a position may be from an earlier stream of that name.
        self._start: From = start if isinstance(start, Position) else "start"
        self._refusal: HubError | None = None
        awaited.add(name, self)

    def cancel(self) -> None:
        self._awaited.remove(self.name, self)

    def begun(self, stream: FollowedStream) -> None:
        connection = self.connection
        if connection.pending.get(self.name) is not self:
            return
        if not self._allowed(stream):
            return  # it is somebody else's: to this client it does not exist
        try:
            connection.choose_encoder(stream)
        except Conflict as refusal:
            self._refusal = refusal
            connection.unsubscribe(self.name)
            connection.refuse(self)
        else:
            del connection.pending[self.name]
            connection.subscribe(stream, stream.place(self._start))

    def frame(self) -> bytes:
        """The error, if the stream cannot be followed and the format can say so; see
        `hub.connections.connection.Note`.
        """
        if self._refusal is None:
            return b""
        return (
            self.connection.encoder.control(error_message(self._refusal, stream=self.name)) or b""
        )
