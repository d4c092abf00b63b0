"""What each caller does one after another, because one alone takes time and memory."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

__all__ = ["OneAtATime"]


class OneAtATime:
    """A lock for each caller (`Principal.counted_as`), while somebody has it or waits for it."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, caller: str | None) -> asyncio.Lock:
        """The lock of a caller; what is nobody's has one together."""
        return self._locks.setdefault(caller or "", asyncio.Lock())
