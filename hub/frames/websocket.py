"""RFC 6455 frames with `hub.v1` messages: records, and everything else the hub tells a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from hub.domain.errors import HubError
from hub.domain.records import Position
from hub.frames.encoder import BaseEncoder, Batch, Encoder

__all__ = ["WEBSOCKET", "close_frame", "error_frame", "pong_frame", "presence_frame", "text_frame"]


def text_frame(text: bytes) -> bytes:
    """An unmasked, unfragmented RFC 6455 text frame (section 5.2) around UTF-8 bytes."""
    size = len(text)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


def pong_frame(data: bytes) -> bytes:
    """The reply to a ping, with at most 125 bytes of data (RFC 6455 section 5.5.3)."""
    return b"\x8a" + len(data).to_bytes(1) + data


def close_frame(code: int) -> bytes:
    """A close frame without a reason (RFC 6455 section 5.5.1)."""
    return b"\x88\x02" + code.to_bytes(2)


class _WebSocket(BaseEncoder):
    """`hub.v1` messages."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        offsets = b""
        # If no record is merged, a client can count back from the position.
        if len(records) > 1 and records[-1].offset - records[0].offset >= len(records):
            after = b",".join([b"%d" % (record.offset + 1) for record in records])
            offsets = b'"offsets":[%s],' % after
        return text_frame(
            b'{"type":"events","stream":%s,"position":"%s",%s"events":[%s]}'
            % (
                orjson.dumps(batch.stream),
                str(batch.position).encode(),
                offsets,
                b",".join([record.body for record in records]),
            )
        )

    def message(self, kind: str, stream: str, position: Position, **more: str) -> bytes:
        fields = {"type": kind, "stream": stream, "position": str(position), **more}
        return text_frame(orjson.dumps(fields))

    def beat(self) -> bytes:
        return text_frame(b'{"type":"beat"}')

    def retry(self, milliseconds: int) -> bytes:
        return text_frame(b'{"type":"draining","retry_ms":%d}' % milliseconds)


def error_frame(error: HubError, **fields: str | int) -> bytes:
    """An error message; ``fields`` say what the error is about."""
    message = {"type": "error", **fields, "code": error.code, "message": error.message}
    return text_frame(orjson.dumps(message))


def presence_frame(stream: str, joined: Iterable[tuple[str, bytes]], left: Iterable[str]) -> bytes:
    """The members that joined a stream's presence list, with their encoded state, or left it."""
    return text_frame(
        b'{"type":"presence","stream":%s,"joined":[%s],"left":%s}'
        % (
            orjson.dumps(stream),
            b",".join([b'{"member":"%s","state":%s}' % (m.encode(), state) for m, state in joined]),
            orjson.dumps(list(left)),
        )
    )


WEBSOCKET: Final[Encoder] = _WebSocket()
