"""Records to frames: the bytes one transport sends, built once for all its subscribers.

==============  ==================================  ============================================
encoder         an event                            what else it says
==============  ==================================  ============================================
`WEBSOCKET`     one RFC 6455 text frame for a       ``reset``, ``closed``, ``beat``,
                batch: ``{"type":"events",…}``     ``draining`` messages
`EVENT_STREAM`  ``id: POSITION`` / ``data: {…}``    ``event: reset``, ``event: closed``, comments,
                                                    ``retry:``
`LINES`         a line of NDJSON                    ``{"type":"position"|"reset"|"closed"|"beat"}``
`OBJECTS`       a JSON object, no separator         as `LINES`; a beat is white space
`TEXT`          the answer's text, nothing else     nothing: a reset cannot be told
`BYTES`         the record's bytes                  nothing
==============  ==================================  ============================================

`Chunked` puts any of them into HTTP/1.1 chunks (RFC 9112 section 7.1), so that a frame is
ready for the socket as it is.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from hub.domain.records import Position, Record

__all__ = [
    "Batch",
    "Encoder",
]


class Batch(NamedTuple):
    """Records of one stream that go out together; all of one epoch."""

    stream: str
    records: list[Record]
    position: Position
    """The next to read after them."""
    lead: bytes = b""
    """Of text: the last bytes before them, three at most. A character may begin there."""
    latest: bool = False
    """They reach the tail: the reader is up to date."""
    start: int | None = None
    """The offset at which they begin, where the first may be several that were merged."""


class Encoder(Protocol):
    """One way to put a stream on a wire. Empty bytes mean: nothing to send."""

    @property
    def merges(self) -> bool:
        """Whether who catches up may get consecutive deltas as one."""

    def events(self, batch: Batch) -> bytes:
        """The records of a batch."""

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        """The reader goes on at ``position`` instead; ``None`` if this format cannot say so."""

    def closed(self, stream: str, position: Position) -> bytes:
        """The stream has ended and everything was sent."""

    def beat(self) -> bytes:
        """A sign of life."""

    def retry(self, milliseconds: int) -> bytes:
        """When to come back once this connection has ended."""
