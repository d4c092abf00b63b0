"""Messages of `hub.v1`: JSON objects with a ``type``, in frames of any transport that has them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from hub.domain.errors import HubError
from hub.domain.records import Position
from hub.frames.encoder import BaseEncoder, Batch

__all__ = ["MessageEncoder", "error_message"]


class MessageEncoder(BaseEncoder):
    """What all encoders of these messages have in common; each is one text in a frame."""

    merges = True

    @abstractmethod
    def enclose(self, text: bytes) -> bytes:
        """The frame around a message."""

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        offsets = b""
        # If no record is merged, a client can count back from the position.
        if len(records) > 1 and records[-1].offset - records[0].offset >= len(records):
            after = b",".join([b"%d" % (record.offset + 1) for record in records])
            offsets = b'"offsets":[%s],' % after
        return self.enclose(
            b'{"type":"events","stream":%s,"position":"%s",%s"events":[%s]}'
            % (
                orjson.dumps(batch.stream),
                str(batch.position).encode(),
                offsets,
                b",".join([record.body for record in records]),
            )
        )

    def message(self, kind: str, stream: str, position: Position, **more: str) -> bytes:
        return self.control({"type": kind, "stream": stream, "position": str(position), **more})

    def control(self, message: Mapping[str, Any]) -> bytes:
        return self.enclose(orjson.dumps(message))

    def beat(self) -> bytes:
        return self.enclose(b'{"type":"beat"}')

    def retry(self, milliseconds: int) -> bytes:
        return self.enclose(b'{"type":"draining","retry_ms":%d}' % milliseconds)


def error_message(error: HubError, **fields: str | int) -> dict[str, Any]:
    """An error; ``fields`` say what it is about."""
    return {"type": "error", **fields, "code": error.code, "message": error.message}
