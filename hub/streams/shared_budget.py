"""A budget for records and frames that several readers share, of all streams together."""

from __future__ import annotations

from typing import Final

__all__ = ["SharedBudget"]

SHARED_BYTES: Final = 64 * 1024 * 1024
"""The most that is kept because another reader may need it at about the same time."""


class SharedBudget:
    """Bytes that may be cached until the next sweep of the streams, which drops all of them."""

    __slots__ = ("_most", "left")

    def __init__(self, most: int = SHARED_BYTES) -> None:
        self._most = most
        self.left = most

    def admits(self, size: int) -> bool:
        """Take ``size`` bytes from the budget; false if it has less."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def reset(self) -> None:
        """Begin anew: all that was cached has been dropped."""
        self.left = self._most
