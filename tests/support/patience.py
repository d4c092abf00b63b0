"""How long a test waits before it says that something hangs, on machines of any speed.

``STREAMHUB_TEST_TIMEOUT_FACTOR=3 make test`` waits three times as long everywhere. No test takes
longer for it that passes: these limits end only what would never end by itself.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["FACTOR", "PATIENCE", "patient"]

FACTOR: Final = float(os.environ.get("STREAMHUB_TEST_TIMEOUT_FACTOR", "1"))


def patient(seconds: float) -> float:
    """So many seconds on an ordinary machine, with three times as much to do as it can."""
    return seconds * FACTOR


PATIENCE: Final = patient(60.0)
"""Seconds after which something hangs, for whoever has no reason to wait longer."""
