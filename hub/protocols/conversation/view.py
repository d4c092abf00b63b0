"""Views: a stream in the words of another protocol, derived from its records as they are read.

A view keeps nothing of its own: the same records always give the same chunks, so its offsets
are those of the stream, and a reader may go on anywhere. What a chunk says may depend on what
was said before (which part is open, how a tool call began), so a reader who comes in the
middle first has the records before its place translated, and hears nothing of them.

::

    records ──▶ Translation ──▶ chunks ──▶ frames: `UIEvents`, `DurableChunks`
                  what was said so far

`View` is one reader's progress. The fan-out may ask twice for the same records (a frame that
could not be sent at once is made again later), so it can go back by one batch.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol, Self

import orjson

from hub.domain.records import Position, Record
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.frames.sse import retry_field
from hub.protocols.durable.sse import DurableEvents

__all__ = ["DONE", "DurableChunks", "Told", "Translation", "UIEvents", "View"]

DONE: Final = b"data: [DONE]\n\n"

Chunk = dict[str, Any]


class Translation(Protocol):
    """What has been told of a stream so far, and what its next record adds."""

    over: bool
    """The end of what this is about has been told, though the stream may go on."""

    def told(self, record: Record) -> list[Chunk]:
        """The chunks of the next record."""

    def copy(self) -> Self:
        """Another that has told the same."""


class Told(NamedTuple):
    """Chunks, and where a reader who has them goes on."""

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
        """Nothing comes any more."""
        return self._now.over

    def told(self, batch: Batch) -> Told:
        """The next batch, or the last one again, maybe longer."""
        if not batch.records:
            return Told([], batch.position)
        first = batch.records[0].offset
        if first == self._at:
            self._before, self._before_at = self._now.copy(), first
        elif first == self._before_at:
            self._now = self._before.copy()
        else:
            raise ValueError(f"a view at {self._at} was given the record at {first}")
        chunks: list[Chunk] = []
        for record in merge(batch.records) if len(batch.records) > 1 else batch.records:
            chunks += self._now.told(record)
            if self._now.over:
                after = Position(batch.position.epoch, record.offset + 1)
                self._at = batch.position.offset
                return Told(chunks, after)
        self._at = batch.position.offset
        return Told(chunks, batch.position)


class UIEvents:
    """Server-sent events with a chunk in each, and what is ``done`` then: the AI SDK's word."""

    merges = False

    def __init__(self, view: View, done: bytes = DONE) -> None:
        self.view = view
        self.whole = False
        """The end has been told, and is not one that the body is cut for."""
        self._done = done

    def events(self, batch: Batch) -> bytes:
        chunks = self.view.told(batch).chunks
        frames = [b"data: %s\n\n" % orjson.dumps(chunk) for chunk in chunks]
        if chunks and self.view.over and chunks[-1]["type"] != "error":
            self.whole = True
            frames.append(self._done)
        return escape_line_separators(b"".join(frames))

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream, position
        return b""

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        return retry_field(milliseconds)


class DurableChunks:
    """The chunks as a JSON stream of the Durable Streams Protocol, in server-sent events.

    It closes when what it is about is over, whatever comes later in the source.
    """

    merges = False

    def __init__(self, view: View, *, known: int | None = None) -> None:
        self.view = view
        self._control = DurableEvents(_nothing, known=known)

    def events(self, batch: Batch) -> bytes:
        told = self.view.told(batch)
        # An array stands on one line and begins with no space, so it needs no care.
        shown = b""
        if told.chunks:
            chunks = escape_line_separators(orjson.dumps(told.chunks))
            shown = b"event: data\ndata:%s\n\n" % chunks
        if self.view.over:
            return shown + self.closed(batch.stream, told.position) if told.chunks else b""
        return shown + self._control.events(batch._replace(records=[]))

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this; asked again, the reader is told 410."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        return self._control.closed(stream, position)

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        return retry_field(milliseconds)


def _nothing(batch: Batch) -> bytes:
    del batch
    return b""
