"""Records as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from typing import Final

import orjson

from hub.domain.records import Position
from hub.frames.encoder import BaseEncoder, Batch, Encoder
from hub.frames.line_separators import escape_line_separators

__all__ = ["EVENT_STREAM", "SSEEncoder"]


class SSEEncoder(BaseEncoder):
    """What all encoders of server-sent events have in common."""

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        """Set the delay after which an ``EventSource`` reconnects; it dispatches no event."""
        return b"retry: %d\n\n" % milliseconds


class _EventStream(SSEEncoder):
    """Events that a native ``EventSource`` can resume: ``id`` is the position."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        epoch = batch.position.epoch
        return escape_line_separators(
            b"".join(
                [
                    b"id: %016d_%016d\ndata: %s\n\n" % (epoch, record.offset + 1, record.body)
                    for record in batch.records
                ]
            )
        )

    def message(self, kind: str, stream: str, position: Position, **more: str) -> bytes:
        data = orjson.dumps({"type": kind, "position": str(position), **more})
        return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), str(position).encode(), data)


EVENT_STREAM: Final[Encoder] = _EventStream()
