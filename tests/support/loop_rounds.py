"""Count the rounds of an event loop, to see how much is done in one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Self

__all__ = ["Rounds"]


class Rounds:
    """The rounds of the running loop while this is entered, and what was noted in each."""

    def __init__(self) -> None:
        self.count = 0
        self.noted: Counter[int] = Counter()
        self._loop = asyncio.get_running_loop()
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        self._round()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False

    def _round(self) -> None:
        if self._entered:
            self.count += 1
            self._loop.call_soon(self._round)

    def note(self, amount: int = 1) -> None:
        """Note an amount of work in this round."""
        self.noted[self.count] += amount

    @property
    def most(self) -> int:
        """The most that was noted in one round."""
        return max(self.noted.values(), default=0)
