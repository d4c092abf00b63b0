"""Records to frames: the bytes that one transport sends, built once for all its subscribers.

==============  ==================================  ============================================
encoder         an event                            other messages
==============  ==================================  ============================================
`WEBSOCKET`     one RFC 6455 text frame for a       ``reset``, ``closed``, ``beat``,
                batch: ``{"type":"events",…}``     ``draining`` messages
`MESSAGE_…`     the same as a server-sent event,    the same
                or as a line of NDJSON
`EVENT_STREAM`  ``id: POSITION`` / ``data: {…}``    ``event: reset``, ``event: closed``, comments,
                                                    ``retry:``
`LINES`         a line of NDJSON                    ``{"type":"position"|"reset"|"closed"|"beat"}``
`OBJECTS`       a JSON object, no separator         as `LINES`; a beat is white space
`TEXT`          the text of the answer              none: a reset cannot be expressed
`BYTES`         the bytes of the record             none
==============  ==================================  ============================================

`Chunked` wraps any of them in HTTP/1.1 chunks (RFC 9112 section 7.1), so that a frame can be
written to the socket as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from hub.domain.records import Position, Record

__all__ = ["BaseEncoder", "Batch", "Encoder", "WrappingEncoder"]


class Batch(NamedTuple):
    """Consecutive records of one stream that are sent together, all of one epoch."""

    stream: str
    records: list[Record]
    position: Position
    """Where to read on after them."""
    lead: bytes = b""
    """In a text stream, up to three bytes before the records: a character may begin there."""
    latest: bool = False
    """The records reach the tail of the stream."""
    start: int | None = None
    """The offset of the first original record, where the first may be a merged one."""


class Encoder(Protocol):
    """How a stream is written in one format. Empty bytes mean that nothing is sent."""

    @property
    def merges(self) -> bool:
        """Whether a reader that catches up may be sent consecutive deltas as one."""

    def events(self, batch: Batch) -> bytes:
        """The records of a batch."""

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        """Tell the reader to go back to ``position``; ``None`` if the format cannot say so."""

    def closed(self, stream: str, position: Position) -> bytes:
        """The stream has ended and all of it was sent."""

    def control(self, message: Mapping[str, Any]) -> bytes | None:
        """A message that is about no record; ``None`` if the format has none of that kind."""

    def beat(self) -> bytes:
        """A sign of life."""

    def retry(self, milliseconds: int) -> bytes:
        """How long to wait before reconnecting once this connection has ended."""


class BaseEncoder:
    """Defaults for a format that can express nothing but records, or has `message`."""

    merges = False

    def events(self, batch: Batch) -> bytes:
        return b""

    def message(self, kind: str, stream: str, position: Position, **more: str) -> bytes | None:
        """A message that is not a record; ``None`` if the format has none."""
        return None

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        return self.message("reset", stream, position, reason=reason)

    def closed(self, stream: str, position: Position) -> bytes:
        return self.message("closed", stream, position) or b""

    def control(self, message: Mapping[str, Any]) -> bytes | None:
        return None

    def beat(self) -> bytes:
        return b""

    def retry(self, milliseconds: int) -> bytes:
        return b""


class WrappingEncoder:
    """Passes every frame of another encoder through `wrap`, which changes nothing by default."""

    def __init__(self, inner: Encoder) -> None:
        self.merges = inner.merges
        self._inner = inner

    @staticmethod
    def wrap(frame: bytes) -> bytes:
        return frame

    def events(self, batch: Batch) -> bytes:
        return self.wrap(self._inner.events(batch))

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        frame = self._inner.reset(stream, position, reason)
        return None if frame is None else self.wrap(frame)

    def closed(self, stream: str, position: Position) -> bytes:
        return self.wrap(self._inner.closed(stream, position))

    def control(self, message: Mapping[str, Any]) -> bytes | None:
        frame = self._inner.control(message)
        return None if frame is None else self.wrap(frame)

    def beat(self) -> bytes:
        return self.wrap(self._inner.beat())

    def retry(self, milliseconds: int) -> bytes:
        return self.wrap(self._inner.retry(milliseconds))
