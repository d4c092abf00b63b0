"""Line-based formats, and the simplest of them: NDJSON.

Only LF (and in `hub.framing.sse` also CR) ends a line. JSON strings may contain U+2028, U+2029
and U+0085 unescaped, where ``splitlines`` would split.
"""

from __future__ import annotations

from typing import Final

from hub.framing.chunk import DEFAULT_LIMIT, Chunk, Cutter, too_large

__all__ = ["NDJSON", "LineCutter"]


class LineCutter(Cutter):
    """Collects whole lines; a line may have ``besides`` bytes more than the limit."""

    def __init__(self, limit: int = DEFAULT_LIMIT, *, besides: int) -> None:
        super().__init__(limit)
        self._longest = limit + besides
        # A bytearray grows in place: with bytes, each read of a long line would copy it.
        self._unfinished = bytearray()

    def _whole_lines(self, data: bytes) -> bytes:
        """The lines that are complete now, each with its LF; the rest is kept."""
        end = data.rfind(b"\n") + 1
        if end == len(data) and not self._unfinished:
            return data  # nearly always: servers write whole lines
        if not end:
            self._unfinished += data
            return b""
        whole = b"".join((self._unfinished, data[:end]))
        self._unfinished = bytearray(data[end:])
        return whole

    def _check_unfinished(self) -> None:
        if len(self._unfinished) > self._longest:
            raise too_large(self._limit)


class NDJSON(LineCutter):
    """One JSON value per line (https://github.com/ndjson/ndjson-spec, https://jsonlines.org).

    A CR before the LF is removed, and blank lines are skipped. The last line needs no LF: if it
    was cut off, its JSON is invalid.
    """

    _BLANK: Final = b" \t\r"

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit, besides=len(b"\r"))

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        lines = self._whole_lines(data).split(b"\n")
        lines.pop()  # nothing follows the last LF
        for line in lines:
            self._line(line, chunks)
        self._check_unfinished()

    def _finish(self, chunks: list[Chunk]) -> None:
        self._line(bytes(self._unfinished), chunks)

    def _line(self, line: bytes, chunks: list[Chunk]) -> None:
        text = line.removesuffix(b"\r")
        if len(text) > self._limit:
            raise too_large(self._limit)
        if text.strip(self._BLANK):
            chunks.append(Chunk(text))
