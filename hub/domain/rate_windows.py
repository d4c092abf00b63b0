"""How often somebody may do something in a minute: sliding windows, counted in memory.

Hubs that count together tell each other of what they have counted; what another has counted counts
here from when it is heard.

A window slides by weighting the minute before: 40 seconds into a minute, a third of what was done
in the one before still counts. That takes two numbers for each name and errs by little
(Cloudflare, "Counting things, a lot of different things", 2017).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from hub.domain.untold import Untold

__all__ = ["RateWindows"]

SECONDS: Final = 60.0

NAMES: Final = 100_000
"""Counted at one time; the one that was quiet for longest is forgotten first."""

ROUNDING: Final = 1e-6
"""What sums of clock times may be off by, in hits: whoever waits as told must not wait again."""


class RateWindows:
    """``most`` a minute for each name, at least 1.

    Set `untold` for others to be told of what is counted here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """The current minute, what was done in it, and what in the one before."""
        self.untold: Untold | None = None

    def __len__(self) -> int:
        """Names that are counted now."""
        return len(self._counts)

    def hit(self, name: str, now: float) -> float:
        """Count once more, at ``now`` in seconds of a clock that never goes back.

        Returns 0, or the seconds to wait if the limit is reached; then nothing is counted.
        """
        minute, passed = divmod(now, SECONDS)
        count, before = self._held(name, int(minute))
        wait = self._wait(count, before, passed)
        self._keep(name, (int(minute), count if wait else count + 1, before))
        if self.untold is not None and not wait:
            self.untold.add(name, 1)
        return wait

    def spend(self, name: str, more: int, now: float) -> None:
        """Count what cannot be refused any more as ``more`` times."""
        self._add(name, more, now)
        if self.untold is not None:
            self.untold.add(name, more)

    def hear(self, numbers: Mapping[str, int], now: float) -> None:
        """Count what others have told of, by names."""
        for name, more in numbers.items():
            self._add(name, more, now)

    def _add(self, name: str, more: int, now: float) -> None:
        minute, _ = divmod(now, SECONDS)
        count, before = self._held(name, int(minute))
        self._keep(name, (int(minute), count + more, before))

    def _keep(self, name: str, counts: tuple[int, int, int]) -> None:
        self._counts[name] = counts
        self._counts.move_to_end(name)
        if len(self._counts) > NAMES:
            self._counts.popitem(last=False)

    def wait(self, name: str, now: float, own: int = 0) -> float:
        """What `hit` would return without ``own`` of what was counted; nothing is counted."""
        minute, passed = divmod(now, SECONDS)
        count, before = self._held(name, int(minute))
        return self._wait(max(0, count - own), before, passed)

    def _held(self, name: str, minute: int) -> tuple[int, int]:
        """What was done in a minute, and in the one before."""
        last, count, before = self._counts.get(name, (minute, 0, 0))
        if last == minute:
            return count, before
        return 0, count if last == minute - 1 else 0

    def _wait(self, count: int, before: int, passed: float) -> float:
        """Seconds until once more is allowed, if nothing else is done meanwhile."""
        if count + before * (1 - passed / SECONDS) + 1 <= self._most + ROUNDING:
            return 0.0
        room = self._most - 1 - count
        if room >= 0:
            # What was done in the minute before fades until it leaves room for one more.
            return max((1 - room / before) * SECONDS - passed, 0.001)
        # Nothing fades before the next minute, in which that is what was done in this one.
        return SECONDS - passed + (1 - (self._most - 1) / count) * SECONDS
