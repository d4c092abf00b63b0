"""How often somebody may do something in a minute: sliding windows, counted in memory.

A window slides by weighting the minute before: 40 seconds into a minute, a third of what was done in
the one before still counts. That needs two numbers for each name and errs by little
(Cloudflare, "Counting things, a lot of different things", 2017).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["RateWindows"]

SECONDS: Final = 60.0

NAMES: Final = 100_000
"""Counted at one time; the one that was quiet for longest is forgotten first."""


class RateWindows:
    """``most`` a minute for each name."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """The current minute, what was done in it, and what in the one before."""

    def hit(self, name: str, now: float) -> float:
        """Count once more, at ``now`` in seconds; 0, or how many seconds to wait, uncounted."""
        minute, passed = divmod(now, SECONDS)
        number = int(minute)
        last, count, before = self._counts.get(name, (number, 0, 0))
        if last != number:
            before = count if last == number - 1 else 0
            count = 0
        left = 1 - passed / SECONDS
        if count + before * left + 1 > self._most:
            self._counts[name] = (number, count, before)
            return self._wait(count, before, passed)
        self._counts[name] = (number, count + 1, before)
        self._counts.move_to_end(name)
        while len(self._counts) > NAMES:
            self._counts.popitem(last=False)
        return 0.0

    def _wait(self, count: int, before: int, passed: float) -> float:
        """Seconds until once more is allowed, if nothing else is done meanwhile."""
        room = self._most - 1 - count
        if room >= 0 and before:
            return max((1 - room / before) * SECONDS - passed, 0.001)
        # Not before the next minute, in which what was done in this one fades.
        fades = (1 - (self._most - 1) / count) * SECONDS if count else 0.0
        return SECONDS - passed + max(fades, 0.0)
