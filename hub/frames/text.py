"""The text of an answer and nothing else; records as the bytes they are."""

from __future__ import annotations

from typing import Final

from hub.domain.events import Delta
from hub.domain.records import Position
from hub.frames.encoder import Batch, Encoder

__all__ = [
    "BYTES",
    "TEXT",
]


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


TEXT: Final[Encoder] = _Text()
BYTES: Final[Encoder] = _Bytes()
