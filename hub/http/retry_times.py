"""Random times for clients to reconnect or retry, so that they do not all come at once."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["AWAY_MS", "LOST_MS", "WAIT_SECONDS", "lost", "moments", "wait"]

AWAY_MS: Final = (500, 5000)
"""After ``draining``: milliseconds within which a restarting hub is available again."""

LOST_MS: Final = (500, 2000)
"""After a connection that broke without it: milliseconds."""

WAIT_SECONDS: Final = (1, 3)
"""After a temporary refusal: seconds, because ``Retry-After`` takes only whole ones."""


def moments(count: int) -> list[int]:
    """Milliseconds for ``count`` clients that are disconnected together, in random order.

    They are spread evenly between the bounds, so that they differ while there is room.
    """
    first, last = AWAY_MS
    step = (last - first) / max(count, 1)
    times = [first + int((place + random.random() / 2) * step) for place in range(count)]  # noqa: S311 - jitter
    random.shuffle(times)
    return times


def lost() -> int:
    """Milliseconds for one client to wait if its connection breaks."""
    return random.randint(*LOST_MS)  # noqa: S311 - jitter


def wait() -> int:
    """Seconds for one refused client to wait."""
    return random.randint(*WAIT_SECONDS)  # noqa: S311 - jitter
