"""Any other encoder's frames as HTTP/1.1 chunks (RFC 9112 section 7.1)."""

from __future__ import annotations

from hub.domain.records import Position
from hub.frames.encoder import Batch, Encoder
from hub.frames.text import BYTES, TEXT

__all__ = [
    "Chunked",
    "for_text",
]


class Chunked:
    """Another encoder's frames as HTTP/1.1 chunks."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner
        self.merges = inner.merges
        # One for all, so that those who read the same share a frame.
        self.for_text = Chunked(BYTES) if inner is TEXT else None

    def events(self, batch: Batch) -> bytes:
        return _chunk(self._inner.events(batch))

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        told = self._inner.reset(stream, position, reason)
        return None if told is None else _chunk(told)

    def closed(self, stream: str, position: Position) -> bytes:
        return _chunk(self._inner.closed(stream, position))

    def beat(self) -> bytes:
        return _chunk(self._inner.beat())

    def retry(self, milliseconds: int) -> bytes:
        return _chunk(self._inner.retry(milliseconds))


def _chunk(frame: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%s\r\n" % (len(frame), frame) if frame else b""


def for_text(encoder: Encoder) -> Encoder | None:
    """The encoder instead of this one where the records are text; ``None`` if there is none."""
    if isinstance(encoder, Chunked):
        return encoder.for_text
    return BYTES if encoder is TEXT else None
