"""Frames of any other encoder as HTTP/1.1 chunks (RFC 9112 section 7.1)."""

from __future__ import annotations

from hub.frames.encoder import Batch, Encoder, WrappingEncoder
from hub.frames.text import BYTES, TEXT

__all__ = ["Chunked", "for_text"]


def _chunk(frame: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%s\r\n" % (len(frame), frame) if frame else b""


class Chunked(WrappingEncoder):
    wrap = staticmethod(_chunk)

    def __init__(self, inner: Encoder) -> None:
        super().__init__(inner)
        # Shared by all, so that connections that read the same stream share its frames.
        self.for_text = Chunked(BYTES) if inner is TEXT else None

    def events(self, batch: Batch) -> bytes:
        return _chunk(self._inner.events(batch))


def for_text(encoder: Encoder) -> Encoder | None:
    """The encoder that replaces this one for a stream of text; ``None`` if there is none."""
    if isinstance(encoder, Chunked):
        return encoder.for_text
    return BYTES if encoder is TEXT else None
