"""Messages of `hub.v1` as server-sent events, and as lines of NDJSON: many streams in one body."""

from __future__ import annotations

from typing import Final

from hub.frames.encoder import Encoder
from hub.frames.line_separators import escape_line_separators
from hub.frames.messages import MessageEncoder

__all__ = ["MESSAGE_EVENTS", "MESSAGE_LINES"]


class _MessageEvents(MessageEncoder):
    def enclose(self, text: bytes) -> bytes:
        return b"data: %s\n\n" % escape_line_separators(text)


class _MessageLines(MessageEncoder):
    def enclose(self, text: bytes) -> bytes:
        return b"%s\n" % escape_line_separators(text)


MESSAGE_EVENTS: Final[Encoder] = _MessageEvents()
MESSAGE_LINES: Final[Encoder] = _MessageLines()
