"""Records as server-sent events of the Durable Streams Protocol (its sections 5.8 and 10.1).

A batch is one ``data`` event, followed by a ``control`` event with the next offset. The encoders
hold nothing about a reader, so all readers of one kind share their frames.

What ``data`` lines can carry decides the rest:

- JSON is sent as one array on one line. Records contain no line ends, and other characters that
  some readers take for line ends are escaped.
- Text must be whole characters. A character that is incomplete at the end of a batch is held
  back and sent with the next one (`hub.frames.encoder.Batch.lead`). The format splits text at
  line ends, so CR and CRLF arrive as LF.
- Anything else is base64, and a header of the response says so.

The protocol's own clients expect no space after ``data:`` and drop one if there is one, so a
line that begins with a space gets another.
"""

from __future__ import annotations

import random
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
from hub.frames.sse import SSEEncoder

__all__ = [
    "BINARY",
    "JSON_ARRAYS",
    "TEXT_LINES",
    "ControlEvents",
    "DurableEvents",
    "data_writer",
    "interval",
    "unfinished",
]

INTERVAL_SECONDS: Final = 20
_FIRST_INTERVAL: Final = datetime(2024, 10, 9, tzinfo=UTC).timestamp()
_JITTER: Final = (1, 3600 // INTERVAL_SECONDS)

DataWriter = Callable[[Batch], bytes]
"""Makes the text of a batch's ``data`` event, with LF as its only line end."""


def interval(known: int | None = None, *, now: float | None = None) -> int:
    """The number of the current 20 seconds since 2024-10-09, as a key for caches.

    Greater than the one that the client knows, if any: otherwise a cache would answer it for ever.
    """
    seconds = time.time() if now is None else now
    number = int(seconds - _FIRST_INTERVAL) // INTERVAL_SECONDS
    if known is None or known < number:
        return number
    return known + random.randint(*_JITTER)  # noqa: S311 - jitter


def _bytes(batch: Batch) -> bytes:
    return b"".join([record.body for record in batch.records])


def _json(batch: Batch) -> bytes:
    return escape_line_separators(b"[%s]" % b",".join([record.body for record in batch.records]))


def _text(batch: Batch) -> bytes:
    body = _bytes(batch)
    if batch.lead.endswith(b"\r") and body.startswith(b"\n"):
        body = body[1:]  # the CR before it was sent as a line end
    text = unfinished(batch.lead) + body
    complete = text[: len(text) - len(unfinished(text))]
    whole = complete.decode("utf-8", "replace").encode()
    return whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _base64(batch: Batch) -> bytes:
    return b64encode(_bytes(batch))


class ControlEvents(SSEEncoder):
    """Text as a ``data`` event, with a ``control`` event after it.

    ``known`` is the interval that the client knows (see `interval`), if it is not over yet. Such
    a client needs an encoder of its own.
    """

    def __init__(self, *, known: int | None = None) -> None:
        self._earliest = 0 if known is None else interval(known)

    def frame(self, text: bytes, batch: Batch) -> bytes:
        control: dict[str, object] = {
            "streamNextOffset": str(batch.position),
            "streamCursor": str(max(interval(), self._earliest)),
        }
        if batch.latest:
            control["upToDate"] = True
        return _data_event(text) + _control_event(control)

    def closed(self, stream: str, position: Position, *, text: bytes = b"") -> bytes:
        control: dict[str, object] = {"streamNextOffset": str(position)}
        control |= {"streamClosed": True, "upToDate": True}
        return _data_event(text) + _control_event(control)


class DurableEvents(ControlEvents):
    """The encoder of one kind of content."""

    def __init__(self, write: DataWriter, *, known: int | None = None) -> None:
        super().__init__(known=known)
        self.write = write

    def events(self, batch: Batch) -> bytes:
        return self.frame(self.write(batch) if batch.records else b"", batch)


def _data_event(text: bytes) -> bytes:
    if not text:
        return b""
    # As a whole: the lines of a record of nothing but line ends would take fifty times its bytes.
    lines = (b"\n" + text).replace(b"\n ", b"\n  ").replace(b"\n", b"\ndata:")
    return b"event: data%s\n\n" % lines


def _control_event(fields: dict[str, object]) -> bytes:
    return b"event: control\ndata:%s\n\n" % orjson.dumps(fields)


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


def data_writer(settings: StreamSettings) -> DataWriter:
    """How a stream's records become text."""
    return _json if settings.is_json else _text if settings.is_text else _base64


JSON_ARRAYS: Final = DurableEvents(_json)
TEXT_LINES: Final = DurableEvents(_text)
BINARY: Final = DurableEvents(_base64)
