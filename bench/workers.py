"""``python -m bench.workers``: what several processes on one machine cost, without Redis.

One worker writes generations, two others follow all of their streams; a coordinator decides and
keeps them. CPU time of each process for a record, and how long a record takes from the append to
another worker's mirror, after its commit. The best of some runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.machine import describe
from bench.process import Process, cpu_ns
from bench.servers.coordinator import SOCKET

__all__ = ["Cost", "Load", "measured"]

FOLLOWERS: Final = 2

APPEND_BAR: Final = 23.0
"""Microseconds of the coordinator for an append, as its prototype took."""
HEARD_BAR: Final = 29.0
"""Microseconds of a worker for a record that it hears."""


@dataclass(frozen=True, slots=True)
class Load:
    streams: int
    rate: float
    """Records a second, over all streams."""


LOADS: Final = (Load(100, 2000), Load(1000, 2000), Load(1000, 6000))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one record: microseconds of CPU, and milliseconds from the append to a follower."""

    coordinator: float
    owner: float
    follower: float
    p50: float
    p99: float
    rate: float
    """Records a second that a follower heard."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each load")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="N", help="of a run")
    asked = parser.parse_args()
    table = Table(
        *("streams", "records/s", "heard/s", "coordinator µs", "owner µs", "follower µs"),
        *("p50 ms", "p99 ms"),
    )
    met = True
    for load in LOADS:
        runs = [measured(load, asked.seconds) for _ in range(max(1, asked.runs))]
        best = min(runs, key=lambda cost: cost.coordinator + cost.follower)
        table.add_row(
            *(f"{load.streams:,}", f"{load.rate:,.0f}", f"{best.rate:,.0f}"),
            *(f"{each:.1f}" for each in (best.coordinator, best.owner, best.follower)),
            *(f"{each:.1f}" for each in (best.p50, best.p99)),
        )
        met = met and best.coordinator <= APPEND_BAR and best.follower <= HEARD_BAR
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(
        f"Bars: coordinator {APPEND_BAR:g} µs, follower {HEARD_BAR:g} µs", highlight=False
    )
    console.print(describe(), markup=False, highlight=False)
    return 0 if met else 1


def measured(load: Load, seconds: float) -> Cost:
    """Run a load with processes of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "bench.servers.coordinator", str(folder)]
        coordinator = stack.enter_context(Process(command, 0))
        coordinator.hear()
        owner, *followers = (
            stack.enter_context(Process.module("bench.servers.worker", cpu))
            for cpu in range(1, FOLLOWERS + 2)
        )
        names = [f"gen_{number:032d}" for number in range(load.streams)]
        path = str(folder / SOCKET)
        _told([owner], path=path, own=names)
        _told(followers, path=path, follow=names)
        _told([owner], rate=load.rate, seconds=0.5)  # warm
        _told(followers, reset=True)
        processes = [coordinator, owner, *followers]
        before, begun = [cpu_ns(one.pid) for one in processes], time.monotonic()
        _told([owner], rate=load.rate, seconds=seconds)
        time.sleep(0.1)  # the last ones are on their way
        passed = time.monotonic() - begun
        spent = [cpu_ns(one.pid) - then for one, then in zip(processes, before, strict=True)]
        (wrote,) = _told([owner], seen=True)
        seen = _told(followers, seen=True)
    took = sorted(each for one in seen for each in one["took"])
    heard = sum(one["heard"] for one in seen)
    return Cost(
        coordinator=spent[0] / wrote["heard"] / 1e3,
        owner=spent[1] / wrote["heard"] / 1e3,
        follower=sum(spent[2:]) / heard / 1e3,
        p50=took[len(took) // 2],
        p99=took[len(took) * 99 // 100],
        rate=heard / FOLLOWERS / passed,
    )


def _told(processes: Sequence[Process], **said: Any) -> list[dict[str, Any]]:
    """Tell all the same, and hear what each answers."""
    for one in processes:
        one.tell(**said)
    return [one.hear() for one in processes]


if __name__ == "__main__":
    raise SystemExit(main())
