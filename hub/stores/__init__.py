"""Where streams survive a restart: the `Store` protocol.

The hub serves readers from memory; a store is told of every change as it happens, in
order, and hands a stream back when it is opened again. `note` never waits, so that a slow
disk does not slow the fan-out; whoever must not run ahead of the disk awaits `synced`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hub.records import Record

__all__ = ["Appended", "Change", "Closed", "Created", "Removed", "Saved", "Store", "Trimmed"]


@dataclass(frozen=True, slots=True)
class Created:
    """A stream began, in this epoch, at offset 0."""

    stream: str
    content_type: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Appended:
    """A record was written at the tail."""

    stream: str
    record: Record


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The records before ``head`` are gone."""

    stream: str
    head: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream takes no more records."""

    stream: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The stream is gone; its name may be used again."""

    stream: str


Change = Created | Appended | Trimmed | Closed | Removed


@dataclass(frozen=True, slots=True)
class Saved:
    """A stream as a store kept it; ``epochs`` are pairs (epoch, first offset), rising."""

    content_type: str
    epochs: tuple[tuple[int, int], ...]
    records: tuple[Record, ...]
    closed: bool


class Store(Protocol):
    """What a store can do."""

    async def start(self) -> None:
        """Make it ready."""

    async def load(self, stream: str) -> Saved | None:
        """A stream that was kept, or ``None``."""

    def epoch(self) -> int:
        """An epoch for a new stream, higher than any that a removed one of its name had."""

    def note(self, change: Change) -> None:
        """Take a change; changes are kept in the order they are noted. Never waits."""

    async def synced(self) -> None:
        """Everything noted so far is as safe as this store makes it."""

    async def stop(self) -> None:
        """Write out what is left and let go of everything."""
