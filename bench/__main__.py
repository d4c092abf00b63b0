"""``python -m bench``: measure, and print the table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from bench.machine import describe, stolen
from bench.measure import measure
from bench.peers import PEERS, Peer
from bench.plan import full, quick
from bench.process import open_files
from bench.report import show
from bench.results import Results

WIDTH = 170  # of the table in a file or a pipe


def main() -> int:
    asked = _arguments()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    open_files()
    peers, absent = _present(asked.only)
    before = stolen()
    with console.status("") as status:
        results = measure(quick() if asked.quick else full(asked.runs), peers, status.update)
    show(results, {peer.name: peer.title for peer in PEERS}, console)
    for line in [*absent, *_circumstances(results, before)]:
        console.print(line, markup=False, highlight=False)
    if asked.json:
        held = {"machine": describe(), "missing": absent, **results.to_json()}
        asked.json.write_text(json.dumps(held, indent=1))
    return 1 if results.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, one run")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each load")
    parser.add_argument("--only", metavar="NAME,…", help="of " + ", ".join(p.name for p in PEERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    asked = parser.parse_args()
    asked.only = asked.only.split(",") if asked.only else [peer.name for peer in PEERS]
    if asked.runs < 1:
        parser.error("--runs takes a number from 1 on")
    if unknown := set(asked.only) - {peer.name for peer in PEERS}:
        parser.error(f"no server is called {', '.join(sorted(unknown))}")
    return asked


def _circumstances(results: Results, before: tuple[int, int]) -> list[str]:
    """What one has to know to believe the figures."""
    taken, wanted = (now - then for now, then in zip(stolen(), before, strict=True))
    server, client = results.waited()
    most = max((window.connections for window in results.windows), default=0)
    return [
        f"Messages have 100 bytes. Latencies are at {most:,} subscribers, CPU and rate at 1,000.",
        "* the load generator was the bottleneck: this server could do more",
        f"Machine: {describe()}",
        f"Others on it: while measured, servers waited {server:.0%} of the time for their CPU and "
        f"the load generator {client:.0%}; the host kept {taken / max(1, wanted):.0%} for others",
    ]


def _present(only: list[str]) -> tuple[list[Peer], list[str]]:
    """The servers that can run here, and a line for each that cannot."""
    wanted = [peer for peer in PEERS if peer.name in only]
    reasons = {peer: peer.missing() for peer in wanted}
    absent = [f"{peer.title} not measured: {why}" for peer, why in reasons.items() if why]
    return [peer for peer, why in reasons.items() if why is None], absent


if __name__ == "__main__":
    raise SystemExit(main())
