"""The store that keeps nothing: streams live as long as the process."""

from __future__ import annotations

import time

from hub.stores import Change, Saved

__all__ = ["MemoryStore"]


class MemoryStore:
    """Forgets everything it is told.

    Its epochs come from the clock (milliseconds since 1970), so that a reader who comes
    back after a restart, with a position in a stream that is no longer, is reset instead
    of being sent something else from the same offset.
    """

    def __init__(self) -> None:
        self._epoch = 0

    async def start(self) -> None:
        """Nothing to make ready."""

    async def load(self, stream: str) -> Saved | None:
        """Nothing was kept."""
        del stream
        return None

    def epoch(self) -> int:
        """The clock, or one more than the last if the clock stands still."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)
        return self._epoch

    def note(self, change: Change) -> None:
        """Forget it."""

    async def synced(self) -> None:
        """As safe as it will be."""

    async def stop(self) -> None:
        """Nothing to let go of."""
