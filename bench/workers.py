"""``python -m bench.workers``: what several processes on one machine cost, without Redis.

A coordinator decides and keeps what one worker writes and two others follow (`bench.spread`); a
record is shown after its commit. The best of some runs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.process import Process
from bench.servers.coordinator import SOCKET
from bench.spread import Cost, Load, compare, measured, parser

__all__ = ["measured_once"]

APPEND_BAR: Final = 23.0
"""Microseconds of the coordinator for an append, as its prototype took."""
HEARD_BAR: Final = 29.0
"""Microseconds of a worker for a record that it hears."""

LOADS: Final = (Load(100, 2000), Load(1000, 2000), Load(1000, 6000))


def main() -> int:
    asked = parser("bench.workers", __doc__).parse_args()
    return compare(
        "coordinator",
        LOADS,
        asked.runs,
        lambda load: measured_once(load, asked.seconds),
        _missed,
    )


def _missed(load: Load, cost: Cost) -> str:
    misses = {
        f"coordinator {APPEND_BAR:g} µs": cost.engine > APPEND_BAR,
        f"follower {HEARD_BAR:g} µs": cost.follower > HEARD_BAR,
    }
    return ", ".join(bar for bar, missed in misses.items() if missed)


def measured_once(load: Load, seconds: float) -> Cost:
    """Run a load with a coordinator of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.servers.coordinator", folder]
        with Process(command, 0) as coordinator:
            coordinator.hear()
            return measured(coordinator.pid, str(Path(folder) / SOCKET), load, seconds)


if __name__ == "__main__":
    raise SystemExit(main())
