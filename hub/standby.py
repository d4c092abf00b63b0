"""A standby: a connection's subscription to a stream that has not begun yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.awaited import Awaited
from hub.encoders import error_frame
from hub.errors import Conflict, HubError
from hub.records import Position
from hub.stream import From, Stream

if TYPE_CHECKING:
    from hub.connection import Connection

__all__ = ["Standby"]


class Standby:
    """One connection that waits for one stream.

    It is a name in two places, no more: in the connection and among the waiters of the
    stream. When that begins, it becomes a subscription in the same step, so nothing that is
    written can come in between.
    """

    __slots__ = ("_awaited", "_refusal", "_start", "connection", "name")

    def __init__(self, connection: Connection, awaited: Awaited, name: str, start: From) -> None:
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

    def begun(self, stream: Stream) -> None:
        """See `hub.awaited.Waiter`."""
        connection = self.connection
        if connection.standbys.get(self.name) is not self:
            return
        try:
            connection.suit(stream)
        except Conflict as refusal:
            self._refusal = refusal
            connection.unsubscribe(self.name)
            connection.refuse(self)
        else:
            del connection.standbys[self.name]
            connection.subscribe(stream, stream.place(self._start))

    def frame(self) -> bytes:
        """Why it came to nothing; see `hub.connection.Note`."""
        return b"" if self._refusal is None else error_frame(self._refusal, stream=self.name)
