"""Records as lines of NDJSON, and as JSON objects one after another."""

from __future__ import annotations

from typing import Final

import orjson

from hub.domain.records import Position, Record
from hub.frames.coalesce import boundary
from hub.frames.encoder import Batch, Encoder
from hub.frames.line_separators import escape_line_separators

__all__ = [
    "LINES",
    "OBJECTS",
]


class _Lines:
    """NDJSON. After each batch a line tells the position, so that a reader can resume.

    One stands at each `hub.frames.coalesce.boundary` in it, too: a reset may lead back there.
    """

    merges = True
    separator: bytes = b"\n"

    def events(self, batch: Batch) -> bytes:
        last = batch.position
        parts = []
        for record in batch.records:
            parts.append(self.body(record))
            after = record.offset + 1
            if after == boundary(after) and after != last.offset:
                parts.append(self._position(last._replace(offset=after)))
        return escape_line_separators(b"".join([*parts, self._position(last)]))

    def body(self, record: Record) -> bytes:
        """One record."""
        return record.body + self.separator

    def _position(self, position: Position) -> bytes:
        return _object(type="position", position=str(position)) + self.separator

    def reset(self, stream: str, position: Position, reason: str) -> bytes:
        del stream
        return _object(type="reset", position=str(position), reason=reason) + self.separator

    def closed(self, stream: str, position: Position) -> bytes:
        del stream
        return _object(type="closed", position=str(position)) + self.separator

    def beat(self) -> bytes:
        return b'{"type":"beat"}\n'

    def retry(self, milliseconds: int) -> bytes:
        del milliseconds
        return b""


class _Objects(_Lines):
    """JSON objects one after another, as a reader of concatenated JSON takes them."""

    separator = b""

    def body(self, record: Record) -> bytes:
        # A value that is no object may be a number, and two of them would become one.
        return record.body if record.body[:1] == b"{" else record.body + b"\n"

    def beat(self) -> bytes:
        return b"\n"


def _object(**fields: str) -> bytes:
    return orjson.dumps(fields)


LINES: Final[Encoder] = _Lines()
OBJECTS: Final[Encoder] = _Objects()
