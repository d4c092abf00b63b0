"""The store that keeps nothing: streams live as long as the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from hub.domain.events import NOTHING
from hub.domain.records import Record
from hub.domain.removed_names import RemovedNames
from hub.stores import Change, Keyed, Listed, Removed, Saved, Told, Unended

__all__ = ["MemoryStore"]


class MemoryStore:
    """Forgets everything it is told.

    Its epochs come from the clock (milliseconds since 1970), so that a reader who comes
    back after a restart, with a position in a stream that is no longer, is reset instead
    of being sent something else from the same offset.
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
        """Nothing to make ready, and nothing was running."""
        return []

    async def load(self, stream: str) -> Saved | None:
        """Nothing was kept."""
        del stream
        return None

    def pending(self, stream: str) -> bool:
        """Nothing is on its way anywhere."""
        del stream
        return False

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        """Nothing was kept."""
        del stream, offset, limit
        return []

    async def expired(self, now: float) -> list[str]:
        """Nothing was kept, so nothing expires here."""
        del now
        return []

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        """Nothing was kept."""
        del prefix, after, limit, now
        return []

    async def keyed(self, key: str) -> Keyed | None:
        """Nothing was kept."""
        del key
        return None

    def lived(self, epoch: int) -> bool:
        """Nothing was kept of any other life than a stream's own."""
        del epoch
        return False

    async def told(self, generation: str) -> Told | None:
        """Nothing was kept."""
        del generation
        return None

    def epoch(self) -> int:
        """The clock, or one more than the last if the clock stands still."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)
        return self._epoch

    def last(self, stream: str) -> int:
        """The highest epoch that a removed stream of a name can have had."""
        return self._removals.last(stream)

    def admit(self) -> None:
        """Anything may be forgotten."""

    async def space(self) -> None:
        """There is always space for nothing."""

    def note(self, change: Change) -> None:
        """Forget it; but a removed name is known for a while."""
        if isinstance(change, Removed):
            self._removals.note(change.stream, self._epoch)

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        """It is as safe as it will be."""
        del stream
        done()

    async def synced(self, stream: str | None = None) -> None:
        """It is as safe as it will be."""

    async def rejection(self) -> None:
        """Nothing is kept, so nothing is rejected: wait for ever."""
        await asyncio.get_running_loop().create_future()

    def readmit(self, stream: str) -> None:
        """Nothing was rejected."""

    async def stop(self) -> None:
        """Nothing to let go of."""
