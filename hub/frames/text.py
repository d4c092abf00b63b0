"""The text of an answer, or the bytes of records, and nothing else."""

from __future__ import annotations

from typing import Final

from hub.domain.events import Delta
from hub.frames.encoder import BaseEncoder, Batch, Encoder

__all__ = ["BYTES", "TEXT"]


class _Text(BaseEncoder):
    """The text that a model writes, for people and pipes."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        events = [record.event for record in batch.records]
        return "".join([event.text for event in events if type(event) is Delta]).encode()


class _Bytes(BaseEncoder):
    """The records of a stream that holds no events."""

    merges = True

    def events(self, batch: Batch) -> bytes:
        return b"".join([record.body for record in batch.records])


TEXT: Final[Encoder] = _Text()
BYTES: Final[Encoder] = _Bytes()
