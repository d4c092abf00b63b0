"""Records as server-sent events of the Durable Streams Protocol (its sections 5.8 and 10.1).

A batch is one ``data`` event and the ``control`` event that tells the next offset. Encoders
hold nothing of a reader, so that all readers of one kind share their frames.

What ``data`` lines can carry decides the rest:

- JSON goes out as one array on one line; records hold no line ends, and what readers may take
  for one is escaped.
- Text must be whole characters. The bytes at the end of a batch that only begin one are held
  back, and come with the next batch (`hub.frames.encoder.Batch.lead`). Lines are what the format
  divides text by, so a CR or CRLF arrives as LF.
- Anything else is base64, and the response says so.

The protocol's own clients want no space after ``data:`` and drop one if there is one, so a
line that begins with a space gets another.
"""

from __future__ import annotations

import random
import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import orjson

from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.frames.sse import retry_field

__all__ = [
    "BINARY",
    "JSON_ARRAYS",
    "TEXT_LINES",
    "DurableEvents",
    "interval",
    "unfinished",
    "written",
]

INTERVAL_SECONDS: Final = 20
_BEGAN: Final = datetime(2024, 10, 9, tzinfo=UTC).timestamp()
_JITTER: Final = (1, 3600 // INTERVAL_SECONDS)

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")

Written = Callable[[Batch], bytes]
"""The text of a batch's ``data`` event, with LF alone between its lines."""


def interval(known: int | None = None, *, now: float | None = None) -> int:
    """The number of the present 20 seconds since 2024-10-09, to tell caches apart by.

    Later than the one a client says it knows: it would be answered from a cache for ever.
    """
    passed = time.time() if now is None else now
    number = int(passed - _BEGAN) // INTERVAL_SECONDS
    if known is None or known < number:
        return number
    return known + random.randint(*_JITTER)  # noqa: S311 - jitter


def _json(batch: Batch) -> bytes:
    return escape_line_separators(b"[%s]" % b",".join([record.body for record in batch.records]))


def _text(batch: Batch) -> bytes:
    body = b"".join([record.body for record in batch.records])
    if batch.lead.endswith(b"\r") and body.startswith(b"\n"):
        body = body[1:]  # the CR was a line end already
    begun = unfinished(batch.lead)
    whole = begun + body
    held = len(unfinished(whole))
    shown = whole[: len(whole) - held].decode("utf-8", "replace").encode()
    return _LINE_END.sub(b"\n", shown)


def _base64(batch: Batch) -> bytes:
    return b64encode(b"".join([record.body for record in batch.records]))


class DurableEvents:
    """The encoder of one kind of content.

    ``known`` is of a client whose last interval was not over yet (see `interval`); it needs an
    encoder of its own.
    """

    merges = False

    def __init__(self, write: Written, *, known: int | None = None) -> None:
        self.write = write
        self._earliest = 0 if known is None else interval(known)

    def events(self, batch: Batch) -> bytes:
        told: dict[str, object] = {
            "streamNextOffset": str(batch.position),
            "streamCursor": str(max(interval(), self._earliest)),
        }
        if batch.latest:
            told["upToDate"] = True
        text = self.write(batch) if batch.records else b""
        return (_event("data", text) if text else b"") + _event("control", orjson.dumps(told))

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this; asked again, the reader is told 410."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream
        told = {"streamNextOffset": str(position), "streamClosed": True, "upToDate": True}
        return _event("control", orjson.dumps(told))

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        return retry_field(milliseconds)


def _event(name: str, text: bytes) -> bytes:
    lines = [b"data:%s%s\n" % (b" " * line.startswith(b" "), line) for line in text.split(b"\n")]
    return b"event: %s\n%s\n" % (name.encode(), b"".join(lines))


def unfinished(text: bytes) -> bytes:
    """The bytes at the end that begin a UTF-8 character and do not complete it."""
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte < 0x80:
            return b""
        if byte >= 0xC0:
            whole = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[-back:] if back < whole else b""
    return b""


def written(settings: StreamSettings) -> Written:
    """How a stream's records are written."""
    return _json if settings.is_json else _text if settings.is_text else _base64


JSON_ARRAYS: Final = DurableEvents(_json)
TEXT_LINES: Final = DurableEvents(_text)
BINARY: Final = DurableEvents(_base64)
