"""What it costs that one process writes what others follow, over an engine that they share.

One process writes generations, two others follow all of their streams. CPU time of each for a
record, and how long a record takes from the append to another process's mirror.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.machine import describe
from bench.process import Process, cpu_ns

__all__ = ["Cost", "Load", "compare", "measured", "parser"]

FOLLOWERS: Final = 2


@dataclass(frozen=True, slots=True)
class Load:
    streams: int
    rate: float
    """Records a second, over all streams."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one record: microseconds of CPU, and milliseconds from the append to a follower."""

    engine: float
    owner: float
    follower: float
    p50: float
    p99: float
    rate: float
    """Records a second that a follower heard."""

    @property
    def cpu(self) -> float:
        """Microseconds of all kinds of processes."""
        return self.engine + self.owner + self.follower


def measured(engine: int, url: str, load: Load, seconds: float) -> Cost:
    """Run a load with processes of its own, over the engine that is a process and has this URL."""
    with ExitStack() as stack:
        owner, *followers = (
            stack.enter_context(Process.module("bench.servers.worker", cpu))
            for cpu in range(1, FOLLOWERS + 2)
        )
        names = [f"gen_{number:032d}" for number in range(load.streams)]
        _told([owner], url=url, own=names)
        _told(followers, url=url, follow=names)
        _told([owner], rate=load.rate, seconds=0.5)  # warm
        _told(followers, reset=True)
        pids = [engine, *(one.pid for one in (owner, *followers))]
        before, begun = list(map(cpu_ns, pids)), time.monotonic()
        _told([owner], rate=load.rate, seconds=seconds)
        time.sleep(0.1)  # the last ones are on their way
        passed = time.monotonic() - begun
        spent = [cpu_ns(pid) - then for pid, then in zip(pids, before, strict=True)]
        (wrote,) = _told([owner], seen=True)
        seen = _told(followers, seen=True)
    took = sorted(each for one in seen for each in one["took"])
    heard = sum(one["heard"] for one in seen)
    return Cost(
        engine=spent[0] / wrote["heard"] / 1e3,
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


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """The options of a module that compares what some loads cost."""
    options = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    options.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each load")
    options.add_argument("--seconds", type=float, default=5.0, metavar="N", help="of a run")
    return options


def compare(
    engine: str,
    loads: Sequence[Load],
    runs: int,
    run: Callable[[Load], Cost],
    missed: Callable[[Load, Cost], str],
) -> int:
    """Run each load so many times, and print its best run with the bars that it has missed.

    Returns an exit code.
    """
    costs = []
    for load in loads:
        best = min((run(load) for _ in range(max(1, runs))), key=lambda cost: cost.cpu)
        costs.append((load, best))
    return _show(engine, costs, missed)


def _show(
    engine: str, costs: Sequence[tuple[Load, Cost]], missed: Callable[[Load, Cost], str]
) -> int:
    table = Table(
        *("streams", "records/s", "heard/s", f"{engine} µs", "owner µs", "follower µs"),
        *("p50 ms", "p99 ms", "misses"),
    )
    for load, cost in costs:
        table.add_row(
            *(f"{load.streams:,}", f"{load.rate:,.0f}", f"{cost.rate:,.0f}"),
            *(f"{each:.1f}" for each in (cost.engine, cost.owner, cost.follower)),
            *(f"{each:.1f}" for each in (cost.p50, cost.p99)),
            missed(load, cost),
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(describe(), markup=False, highlight=False)
    return int(any(missed(load, cost) for load, cost in costs))
