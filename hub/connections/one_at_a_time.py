"""What each caller does one after another, because one alone takes time and memory."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

__all__ = ["OneAtATime"]


class OneAtATime:
    """A lock for each caller, while it has it or waits for it."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, caller: str) -> asyncio.Lock:
        """The lock of a caller."""
        return self._locks.setdefault(caller, asyncio.Lock())
