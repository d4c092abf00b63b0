"""What several readers of the past share for a moment, of all streams together."""

from __future__ import annotations

from typing import Final

__all__ = ["SharedBudget"]

SHARED_BYTES: Final = 64 * 1024 * 1024
"""The most that is kept because somebody else may want it, too, at about the same time."""


class SharedBudget:
    """So many bytes until the streams are next looked after, which lets go of all of them."""

    __slots__ = ("_most", "left")

    def __init__(self, most: int = SHARED_BYTES) -> None:
        self._most = most
        self.left = most

    def admits(self, size: int) -> bool:
        """Whether so much more may be kept; then it is counted."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def over(self) -> None:
        """All was let go of."""
        self.left = self._most
