"""A response as the server-sent events with which OpenAI's clients follow it."""

from __future__ import annotations

from typing import Any, Final

import orjson

from hub.domain.records import Record
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.protocols.openai.chat_chunks import OpenAIEvents
from hub.protocols.openai.responses_state import ResponseBuilder

__all__ = ["ResponseEvents"]

_LAST: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"}
)


class ResponseEvents(OpenAIEvents):
    """The encoder of one reader, who has seen the events up to the number ``after``.

    The last events are always sent: a number that is too high (its event was lost with a hub
    that crashed) must not leave the reader without an end.
    """

    merges = False  # the events are numbered as if no record were merged

    def __init__(self, builder: ResponseBuilder, after: int = -1) -> None:
        self._builder = builder
        self._after = after
        # If a frame could not be written, its records come again, but the builder may be told
        # each record only once. Batches only move forward.
        self._frames: dict[int, bytes] = {}

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        if records:
            first = records[0].offset
            self._frames = {at: frame for at, frame in self._frames.items() if at >= first}
        return b"".join([self._frame(record) for record in records])

    def _frame(self, record: Record) -> bytes:
        frame = self._frames.get(record.offset)
        if frame is None:
            events = [] if record.event is None else self._builder.tell(record.event)
            frame = escape_line_separators(b"".join(map(self._encoded, events)))
            self._frames[record.offset] = frame
        return frame

    def _encoded(self, event: dict[str, Any]) -> bytes:
        kind = event["type"]
        if event["sequence_number"] <= self._after and kind not in _LAST:
            return b""
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(event))
