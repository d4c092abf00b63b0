"""Plain text, passed on as it arrives, in whole characters."""

from __future__ import annotations

import codecs

from hub.framing.chunk import DEFAULT_LIMIT, Chunk, Cutter

__all__ = ["Text"]

_LONGEST_CHARACTER = 4


class Text(Cutter):
    """UTF-8 text. Each chunk decodes by itself; invalid bytes become U+FFFD.

    A read that is larger than the limit becomes several chunks. Nothing in a text shows whether
    it is complete.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(max(limit, _LONGEST_CHARACTER))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        self._give(self._decoder.decode(data), chunks)

    def _finish(self, chunks: list[Chunk]) -> None:
        self._give(self._decoder.decode(b"", final=True), chunks)

    def _give(self, text: str, chunks: list[Chunk]) -> None:
        encoded = text.encode()
        start = 0
        while start < len(encoded):
            end = start + self._limit
            while end < len(encoded) and encoded[end] & 0b1100_0000 == 0b1000_0000:
                end -= 1  # this byte is not the first of its character
            chunks.append(Chunk(encoded[start:end]))
            start = end
