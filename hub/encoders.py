"""Records to frames: the bytes one transport sends, built once for all its subscribers.

==============  ==================================  ============================================
encoder         an event                            what else it says
==============  ==================================  ============================================
`WEBSOCKET`     one RFC 6455 text frame for a       ``reset``, ``closed``, ``beat``,
                batch: ``{"type":"events",…}``     ``draining`` messages
`EVENT_STREAM`  ``id: POSITION`` / ``data: {…}``    ``event: reset``, ``event: closed``, comments,
                                                    ``retry:``
`LINES`         a line of NDJSON                    ``{"type":"position"|"reset"|"closed"|"beat"}``
`OBJECTS`       a JSON object, no separator         as `LINES`; a beat is white space
`TEXT`          the answer's text, nothing else     nothing: a reset cannot be told
`BYTES`         the record's bytes                  nothing
==============  ==================================  ============================================

`Chunked` puts any of them into HTTP/1.1 chunks (RFC 9112 section 7.1), so that a frame is
ready for the socket as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import orjson

from hub.errors import HubError
from hub.events import Delta
from hub.merge import boundary
from hub.records import Position, Record

__all__ = [
    "BYTES",
    "EVENT_STREAM",
    "LINES",
    "OBJECTS",
    "TEXT",
    "WEBSOCKET",
    "Batch",
    "Chunked",
    "Encoder",
    "error_frame",
    "for_text",
    "pong_frame",
    "presence_frame",
    "retry_field",
    "text_frame",
]


class Batch(NamedTuple):
    """Records of one stream that go out together; all of one epoch."""

    stream: str
    records: list[Record]
    position: Position
    """The next to read after them."""
    lead: bytes = b""
    """Of text: the last bytes before them, three at most. A character may begin there."""
    latest: bool = False
    """They reach the tail: the reader is up to date."""
    start: int | None = None
    """The offset at which they begin, where the first may be several that were merged."""


class Encoder(Protocol):
    """One way to put a stream on a wire. Empty bytes mean: nothing to send."""

    @property
    def merges(self) -> bool:
        """Whether who catches up may get consecutive deltas as one."""

    def events(self, batch: Batch) -> bytes:
        """The records of a batch."""

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        """The reader goes on at ``position`` instead; ``None`` if this format cannot say so."""

    def closed(self, stream: str, position: Position) -> bytes:
        """The stream has ended and everything was sent."""

    def beat(self) -> bytes:
        """A sign of life."""

    def retry(self, milliseconds: int) -> bytes:
        """When to come back once this connection has ended."""


def text_frame(text: bytes) -> bytes:
    """An unmasked, unfragmented RFC 6455 text frame (section 5.2) around UTF-8 bytes."""
    size = len(text)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


def pong_frame(data: bytes) -> bytes:
    """The answer to a ping with at most 125 bytes of data (RFC 6455 section 5.5.3)."""
    return b"\x8a" + len(data).to_bytes(1) + data


class _WebSocket:
    """`hub.v1` messages."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        # Where none is merged a client can count back from the position.
        merged = len(records) > 1 and records[-1].offset - records[0].offset >= len(records)
        return text_frame(
            b'{"type":"events","stream":%s,"position":"%s",%s"events":[%s]}'
            % (
                orjson.dumps(batch.stream),
                str(batch.position).encode(),
                _offsets(records) if merged else b"",
                b",".join([record.body for record in records]),
            )
        )

    def reset(self, stream: str, position: Position, reason: str) -> bytes:
        return _message(type="reset", stream=stream, position=str(position), reason=reason)

    def closed(self, stream: str, position: Position) -> bytes:
        return _message(type="closed", stream=stream, position=str(position))

    def beat(self) -> bytes:
        return _message(type="beat")

    def retry(self, milliseconds: int) -> bytes:
        return text_frame(b'{"type":"draining","retry_ms":%d}' % milliseconds)


def _offsets(records: list[Record]) -> bytes:
    """The offset after each record, where they do not follow one another."""
    return b'"offsets":[%s],' % b",".join([b"%d" % (record.offset + 1) for record in records])


def _message(**fields: str) -> bytes:
    return text_frame(orjson.dumps(fields))


def error_frame(error: HubError, **fields: str | int) -> bytes:
    """What was refused, over a WebSocket; ``fields`` say what the error is about."""
    told = {"type": "error", **fields, "code": error.code, "message": error.message}
    return text_frame(orjson.dumps(told))


def presence_frame(stream: str, joined: Iterable[tuple[str, bytes]], left: Iterable[str]) -> bytes:
    """Who came to take part in a stream, with their encoded state, and who went."""
    return text_frame(
        b'{"type":"presence","stream":%s,"joined":[%s],"left":%s}'
        % (
            orjson.dumps(stream),
            b",".join([b'{"member":"%s","state":%s}' % (m.encode(), state) for m, state in joined]),
            orjson.dumps(list(left)),
        )
    )


def retry_field(milliseconds: int) -> bytes:
    """The field that says how soon an ``EventSource`` comes back; no event is made of it."""
    return b"retry: %d\n\n" % milliseconds


class _EventStream:
    """Server-sent events (WHATWG HTML, section 9.2) that a native ``EventSource`` resumes."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        epoch = batch.position.epoch
        return b"".join(
            [
                b"id: %016d_%016d\ndata: %s\n\n" % (epoch, record.offset + 1, record.body)
                for record in batch.records
            ]
        )

    def reset(self, stream: str, position: Position, reason: str) -> bytes:
        del stream
        return _named_event("reset", position, reason=reason)

    def closed(self, stream: str, position: Position) -> bytes:
        del stream
        return _named_event("closed", position)

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        return retry_field(milliseconds)


def _named_event(name: str, position: Position, **more: str) -> bytes:
    told = orjson.dumps({"type": name, "position": str(position), **more})
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), str(position).encode(), told)


class _Lines:
    """NDJSON. After each batch a line tells the position, so that a reader can resume.

    One stands at each `hub.merge.boundary` in it, too: a reset may lead back there.
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
        return b"".join([*parts, self._position(last)])

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


class _Text:
    """Only what the model answers, for people and pipes."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        events = [record.event for record in batch.records]
        return "".join([event.text for event in events if type(event) is Delta]).encode()

    def reset(self, stream: str, position: Position, reason: str) -> None:
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream, position
        return b""

    def beat(self) -> bytes:
        return b""

    def retry(self, milliseconds: int) -> bytes:
        del milliseconds
        return b""


class _Bytes(_Text):
    """The records of a stream that holds no events, as they are."""

    def events(self, batch: Batch) -> bytes:
        return b"".join([record.body for record in batch.records])


class Chunked:
    """Another encoder's frames as HTTP/1.1 chunks."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner
        self.merges = inner.merges
        # One for all, so that those who read the same share a frame.
        self.for_text = Chunked(BYTES) if inner is TEXT else None

    def events(self, batch: Batch) -> bytes:
        return _chunk(self._inner.events(batch))

    def reset(self, stream: str, position: Position, reason: str) -> bytes | None:
        told = self._inner.reset(stream, position, reason)
        return None if told is None else _chunk(told)

    def closed(self, stream: str, position: Position) -> bytes:
        return _chunk(self._inner.closed(stream, position))

    def beat(self) -> bytes:
        return _chunk(self._inner.beat())

    def retry(self, milliseconds: int) -> bytes:
        return _chunk(self._inner.retry(milliseconds))


def _chunk(frame: bytes) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%s\r\n" % (len(frame), frame) if frame else b""


WEBSOCKET: Final[Encoder] = _WebSocket()
EVENT_STREAM: Final[Encoder] = _EventStream()
LINES: Final[Encoder] = _Lines()
OBJECTS: Final[Encoder] = _Objects()
TEXT: Final[Encoder] = _Text()
BYTES: Final[Encoder] = _Bytes()


def for_text(encoder: Encoder) -> Encoder | None:
    """The encoder instead of this one where the records are text; ``None`` if there is none."""
    if isinstance(encoder, Chunked):
        return encoder.for_text
    return BYTES if encoder is TEXT else None
