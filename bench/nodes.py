"""``python -m bench.nodes``: what several nodes on one Redis cost.

Redis decides and keeps what one node writes and two others follow (`bench.spread`); it writes its
file once a second. The best of some runs.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.process import pin
from bench.spread import Cost, Load, compare, measured, parser

__all__ = ["measured_once"]

OWNER_BARS: Final = {2_000: 50.0, 20_000: 12.0}
"""Microseconds of the node that writes, for a record, by the records a second."""
FOLLOWER_BARS: Final = {20_000: 10.0}
"""The same of a node that hears them."""
LATENCY_BARS: Final = {2_000: (1.0, 6.0)}
"""Milliseconds from the append to another node: p50 and p99."""

LOADS: Final = (Load(100, 2_000), Load(1_000, 6_000), Load(1_000, 20_000))

START_SECONDS: Final = 30.0


def main() -> int:
    options = parser("bench.nodes", __doc__)
    options.add_argument("--server", default="redis-server", help="the program of Redis or Valkey")
    asked = options.parse_args()
    if shutil.which(asked.server) is None:
        sys.stderr.write(f"no nodes are measured without {asked.server}\n")
        return 0
    return compare(
        "Redis",
        LOADS,
        asked.runs,
        lambda load: measured_once(load, asked.seconds, asked.server),
        _missed,
    )


def _missed(load: Load, cost: Cost) -> str:
    none = float("inf")
    p50, p99 = LATENCY_BARS.get(round(load.rate), (none, none))
    bars = {
        "owner": (cost.owner, OWNER_BARS.get(round(load.rate), none), "µs"),
        "follower": (cost.follower, FOLLOWER_BARS.get(round(load.rate), none), "µs"),
        "p50": (cost.p50, p50, "ms"),
        "p99": (cost.p99, p99, "ms"),
    }
    return ", ".join(
        f"{name} {bar:g} {unit}" for name, (found, bar, unit) in bars.items() if found > bar
    )


def measured_once(
    load: Load, seconds: float, server: str, environ: Mapping[str, str] | None = None
) -> Cost:
    """Run a load over a server of its own."""
    with _redis(server, environ) as (pid, url):
        return measured(pid, url, load, seconds)


@contextmanager
def _redis(server: str, environ: Mapping[str, str] | None) -> Iterator[tuple[int, str]]:
    """The process of a server, on the CPU that nodes leave to it, and its URL."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "redis.sock"
        words = ("--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "")
        kept = (
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--logfile",
            str(folder / "log"),
        )
        running = subprocess.Popen([server, *words, *kept], env=environ)
        stack.callback(running.wait)
        stack.callback(running.kill)
        pin(0, running.pid)
        end = time.monotonic() + START_SECONDS
        while not _answers(path):
            if running.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{server} does not start")
            time.sleep(0.01)
        yield running.pid, f"unix://{path}"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
        asking.connect(str(path))
        asking.sendall(b"PING\r\n")
        return asking.recv(16).startswith(b"+PONG")
    return False


if __name__ == "__main__":
    raise SystemExit(main())
