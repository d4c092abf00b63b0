"""The store that keeps nothing: streams live as long as the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from hub.domain.events import NOTHING
from hub.domain.records import Record
from hub.domain.removed_names import RemovedNames
from hub.stores import Change, GenerationLocation, Keyed, Listed, Removed, Saved, Unended

__all__ = ["MemoryStore"]


class MemoryStore:
    """Forgets every change.

    Its epochs come from the clock (milliseconds since 1970). A reader who returns after a
    restart, with a position in a stream that no longer exists, is reset instead of being sent
    other records from the same offset.
    """

    durable = False
    trouble = None
    full = False
    life = 0
    rejected: Mapping[str, str] = NOTHING

    def __init__(self) -> None:
        self._epoch = 0
        self._removals = RemovedNames()

    async def start(self) -> list[Unended]:
        return []

    async def load(self, stream: str) -> Saved | None:
        return None

    def pending(self, stream: str) -> bool:
        return False

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        return []

    async def expired(self, now: float) -> list[str]:
        return []

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        return []

    async def keyed(self, key: str) -> Keyed | None:
        return None

    def lived(self, epoch: int) -> bool:
        return False

    async def locate(self, generation: str) -> GenerationLocation | None:
        return None

    def epoch(self) -> int:
        """The clock, or one more than the last epoch if the clock stands still."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)
        return self._epoch

    def last(self, stream: str) -> int:
        return self._removals.last(stream)

    def admit(self) -> None:
        pass

    async def space(self) -> None:
        pass

    def note(self, change: Change) -> None:
        """Forget the change, but remember removed names for a while."""
        if isinstance(change, Removed):
            self._removals.note(change.stream, self._epoch)

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        done()

    async def synced(self, stream: str | None = None) -> None:
        pass

    async def rejection(self) -> None:
        await asyncio.get_running_loop().create_future()

    def readmit(self, stream: str) -> None:
        pass

    async def stop(self) -> None:
        pass
