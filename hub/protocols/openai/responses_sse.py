"""A response as the server-sent events that a client of OpenAI follows it by."""

from __future__ import annotations

from typing import Any, Final

import orjson

from hub.domain.records import Position, Record
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.protocols.openai.responses_state import ResponseBuilder

__all__ = ["ResponseEvents"]

_LAST: Final = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "error",
    }
)


class ResponseEvents:
    """The encoder of one reader, who has seen the events up to the number ``after``.

    The last events always come: a number that is too high (what it was the number of was lost
    with a hub that died) must not leave the reader without an end.
    """

    merges = False  # the numbers count what was never merged

    def __init__(self, told: ResponseBuilder, after: int = -1) -> None:
        self._told = told
        self._after = after
        # Frames are made again for a reader who could not be written to at once; what is told
        # of a record depends on all before it, so it is told once. Batches only go forward.
        self._frames: dict[int, bytes] = {}

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        if records:
            first = records[0].offset
            self._frames = {at: frame for at, frame in self._frames.items() if at >= first}
        return b"".join([self._frame(record) for record in records])

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream, position
        return b""

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        """Nothing: openai-python takes the field for an event without data, and fails."""
        del milliseconds
        return b""

    def _frame(self, record: Record) -> bytes:
        frame = self._frames.get(record.offset)
        if frame is None:
            told = [] if record.event is None else self._told.tell(record.event)
            shown = escape_line_separators(b"".join(map(self._shown, told)))
            frame = self._frames[record.offset] = shown
        return frame

    def _shown(self, event: dict[str, Any]) -> bytes:
        kind = event["type"]
        if event["sequence_number"] <= self._after and kind not in _LAST:
            return b""
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(event))
