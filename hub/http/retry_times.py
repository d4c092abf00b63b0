"""When clients are told to come back: each at another moment, or all of them would come at once."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["AWAY_MS", "LOST_MS", "WAIT_SECONDS", "lost", "moments", "wait"]

AWAY_MS: Final = (500, 5000)
"""After a farewell: milliseconds, in which a hub that restarts is there again."""

LOST_MS: Final = (500, 2000)
"""After a connection that broke without one."""

WAIT_SECONDS: Final = (1, 3)
"""After a refusal that passes by itself: ``Retry-After`` knows whole seconds only."""


def moments(count: int) -> list[int]:
    """Milliseconds for so many clients that are sent off together, in no order.

    They lie evenly between the bounds, so that no two are the same while there are enough.
    """
    first, last = AWAY_MS
    step = (last - first) / max(count, 1)
    found = [first + int((place + random.random() / 2) * step) for place in range(count)]  # noqa: S311 - jitter
    random.shuffle(found)
    return found


def lost() -> int:
    """Milliseconds for one client, should its connection break."""
    return random.randint(*LOST_MS)  # noqa: S311 - jitter


def wait() -> int:
    """Seconds for one client that was refused."""
    return random.randint(*WAIT_SECONDS)  # noqa: S311 - jitter
