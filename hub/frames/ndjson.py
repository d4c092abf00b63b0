"""Records as lines of NDJSON, and as JSON objects one after another."""

from __future__ import annotations

from typing import Final

import orjson

from hub.domain.records import Position, Record
from hub.frames.coalesce import boundary
from hub.frames.encoder import BaseEncoder, Batch, Encoder
from hub.frames.line_separators import escape_line_separators

__all__ = ["LINES", "OBJECTS"]


class _Lines(BaseEncoder):
    """NDJSON. A line after each batch tells the position from which a reader can resume.

    There is one at each `hub.frames.coalesce.boundary` in the batch too: a reset may lead there.
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
                place = last._replace(offset=after)
                parts.append(self.message("position", batch.stream, place))
        parts.append(self.message("position", batch.stream, last))
        return escape_line_separators(b"".join(parts))

    def body(self, record: Record) -> bytes:
        return record.body + self.separator

    def message(self, kind: str, stream: str, position: Position, **more: str) -> bytes:
        return orjson.dumps({"type": kind, "position": str(position), **more}) + self.separator

    def beat(self) -> bytes:
        return b'{"type":"beat"}\n'


class _Objects(_Lines):
    """Concatenated JSON objects."""

    separator = b""

    def body(self, record: Record) -> bytes:
        # Without a separator, two values that are numbers would become one.
        return record.body if record.body[:1] == b"{" else record.body + b"\n"

    def beat(self) -> bytes:
        return b"\n"


LINES: Final[Encoder] = _Lines()
OBJECTS: Final[Encoder] = _Objects()
