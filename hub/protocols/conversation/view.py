"""Views: a stream in the format of another protocol, derived from its records as they are read.

A view stores nothing: the same records always give the same chunks, so its offsets are those of
the stream, and a reader can resume anywhere. A chunk may depend on what came before (which part
is open, how a tool call began), so for a reader that starts in the middle the records before
its place are translated first, and the chunks dropped.

::

    records ──▶ Translation ──▶ chunks ──▶ frames: `UIEvents`, `DurableChunks`

`View` is one reader's progress. The fan-out may ask twice for the same records (a frame that
could not be sent at once is built again later), so a view can go back by one batch.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol, Self

import orjson

from hub.domain.records import Position, Record
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.frames.sse import SSEEncoder
from hub.protocols.durable.sse import ControlEvents

__all__ = ["DONE", "INTERRUPTED", "DurableChunks", "Translation", "UIEvents", "View", "ViewBatch"]

DONE: Final = b"data: [DONE]\n\n"

INTERRUPTED: Final = "the hub stopped before the end of this answer: ask again"
"""What people are told of an interrupted generation."""

Chunk = dict[str, Any]


class Translation(Protocol):
    """The state of a translation after some records of a stream."""

    over: bool
    """The last chunk has been given, though the stream may go on."""

    def add(self, record: Record) -> list[Chunk]:
        """The chunks of the next record."""

    def copy(self) -> Self:
        """An independent copy in the same state."""

    @property
    def size(self) -> int:
        """About the bytes of memory that the state takes."""


class ViewBatch(NamedTuple):
    """Chunks, and the position from which a reader that has them reads on."""

    chunks: list[Chunk]
    position: Position


class View:
    """One reader's progress through a stream, from an offset on."""

    def __init__(self, translation: Translation, offset: int) -> None:
        self._now = translation
        self._at = offset
        self._before = translation.copy()
        self._before_at = offset

    @property
    def over(self) -> bool:
        """Nothing follows."""
        return self._now.over

    def add(self, batch: Batch) -> ViewBatch:
        """The chunks of the next batch, or of the last one again, which may be longer now."""
        if not batch.records:
            return ViewBatch([], batch.position)
        first = batch.records[0].offset
        if first == self._at:
            self._before, self._before_at = self._now.copy(), first
        elif first == self._before_at:
            self._now = self._before.copy()
        else:
            raise ValueError(f"a view at {self._at} was given the record at {first}")
        self._at = batch.position.offset
        chunks: list[Chunk] = []
        for record in merge(batch.records) if len(batch.records) > 1 else batch.records:
            chunks += self._now.add(record)
            if self._now.over:
                return ViewBatch(chunks, Position(batch.position.epoch, record.offset + 1))
        return ViewBatch(chunks, batch.position)


class UIEvents(SSEEncoder):
    """Server-sent events with one chunk each, and ``done`` after the last."""

    def __init__(self, view: View, done: bytes = DONE) -> None:
        self.view = view
        self.complete = False
        """The end has been sent, and it is not an error, for which the body is cut."""
        self._done = done

    def events(self, batch: Batch) -> bytes:
        chunks = self.view.add(batch).chunks
        frames = [b"data: %s\n\n" % orjson.dumps(chunk) for chunk in chunks]
        if chunks and self.view.over and chunks[-1]["type"] != "error":
            self.complete = True
            frames.append(self._done)
        return escape_line_separators(b"".join(frames))


class DurableChunks(ControlEvents):
    """The chunks as a JSON stream of the Durable Streams Protocol, in server-sent events.

    It closes when the view is over, whatever follows in the stream.
    """

    def __init__(self, view: View, *, known: int | None = None) -> None:
        super().__init__(known=known)
        self.view = view

    def events(self, batch: Batch) -> bytes:
        chunks, position = self.view.add(batch)
        text = escape_line_separators(orjson.dumps(chunks)) if chunks else b""
        if not self.view.over:
            return self.frame(text, batch)
        return self.closed(batch.stream, position, text=text) if chunks else b""
