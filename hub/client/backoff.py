"""How long to wait before another try: growing, bounded, and random.

The randomness keeps the clients of a hub that restarts from coming back all in one moment.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "wait_before"]

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 15.0


def wait_before(attempt: int) -> float:
    """Seconds to wait before the attempt of a number, the first of which is 1."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret depends on it
