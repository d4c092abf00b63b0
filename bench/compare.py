"""Two checkouts of the hub on the same loads, in turns: does a change make it slower?

``python -m bench.compare FOLDER`` measures the hub of another checkout (``git worktree add``)
beside this one; the load generators are this one's, for both. All servers are up together,
and each round asks each of them once, in an order that turns with the rounds. What is compared
is CPU time: its least over the rounds hardly changes when the machine has other work, its
median does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from bench.machine import describe
from bench.measure import CLIENT_CPU, Running
from bench.peers import HUB, HUB_SSE, Peer
from bench.plan import BURST, EACH, Load
from bench.process import PROJECT, cpu_ns, open_files, pin
from bench.relay import Way, cost, streamhub, upstream

__all__ = ["compare", "table"]

Side = TypeVar("Side")

CONNECTIONS: Final = 1000
BASELINE: Final = 100
MEMORY_ROUNDS: Final = 3

FOLLOWERS: Final = (HUB, HUB_SSE, Peer("ndjson", "Streamhub, NDJSON", "ndjson", "hub"))
LOADS: Final = (
    Load(EACH, rate=50, burst=1, seconds=0.5, ahead=1),
    Load(BURST, rate=10, burst=20, seconds=0.5, ahead=1),
)
RELAYED: Final = {
    "one in a write": (1000, 1000, 1),
    "five in a write": (2000, 400, 5),
    "as fast as they go": (10_000, 0, 5),
}
"""Chunks, chunks or writes a second, chunks in a write."""

APPENDS: Final = 500
RECORDS: Final = 5000
POSTED: Final = 500
RECORD: Final = b'{"type":"message","role":"user","text":"Hello, this is number %05d"}'
READS: Final = {
    "SSE": b"/v1/live/long?from=start&format=sse",
    "NDJSON": b"/v1/live/long?from=start&format=ndjson",
    "Durable SSE": b"/v1/stream/long?offset=-1&live=sse",
}

Figure = Callable[[], Awaitable[float]]
"""Measures once: microseconds of CPU, or KiB."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("folder", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    asked = parser.parse_args()
    open_files()
    pin(CLIENT_CPU, os.getpid())
    sides = {"other": asked.folder.resolve(), "this": PROJECT}
    console = Console(width=120)
    console.print(table(asyncio.run(compare(sides, asked.rounds))))
    console.print(describe(), markup=False, highlight=False)


def table(found: dict[str, dict[str, list[float]]]) -> Table:
    """The figures of both sides, by what was measured."""
    columns = ["", "least: other", "this", "ratio", "median: other", "this", "ratio"]
    made = Table(*columns, box=box.MARKDOWN)
    for title, held in found.items():
        cells = [title]
        for middle in (min, median):
            other, this = middle(held["other"]), middle(held["this"])
            cells += [f"{other:.2f}", f"{this:.2f}", f"{this / other:.3f}"]
        made.add_row(*cells)
    return made


async def compare(sides: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Every measurement of each side, by the figure's title and the side's name."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(MEMORY_ROUNDS):
        for side, folder in _turned(sides, turn):
            for peer in FOLLOWERS:
                with Running(peer, folder) as running:
                    memory = running.connect(BASELINE, CONNECTIONS) / 1024
                found[f"KiB of an idle connection, {peer.title}"][side].append(memory)
    with ExitStack() as stack:
        source = stack.enter_context(upstream())
        figures = {side: _figures(stack, folder, source.port) for side, folder in sides.items()}
        for turn in range(-1, rounds):
            for title in figures["this"]:
                for side, held in _turned(figures, turn):
                    value = await held[title]()
                    if turn >= 0:
                        found[title][side].append(value)
    return found


def _turned(sides: dict[str, Side], turn: int) -> list[tuple[str, Side]]:
    return sorted(sides.items(), reverse=turn % 2 == 1)


def _figures(stack: ExitStack, folder: Path, source: int) -> dict[str, Figure]:
    """Start a checkout's servers, and tell what can be measured of them."""
    figures: dict[str, Figure] = {}
    for peer in FOLLOWERS:
        running = stack.enter_context(Running(peer, folder))
        running.connect(BASELINE, CONNECTIONS)
        for load in LOADS:
            figures[f"µs a delivery, {load.name}, {peer.title}"] = _delivery(running, load)
    way = stack.enter_context(streamhub(source, folder))
    for title, relayed in RELAYED.items():
        figures[f"µs a relayed chunk, {title}"] = _chunk(way, relayed)
    _fill(way)
    figures["µs an append over HTTP"] = _append(way)
    for title, path in READS.items():
        figures[f"µs a record replayed, {title}"] = _replay(way, path)
    return figures


def _delivery(running: Running, load: Load) -> Figure:
    async def measure() -> float:
        seen = running.load(load)
        return seen.server_cpu / 1e3 / seen.deliveries

    return measure


def _chunk(way: Way, load: tuple[int, int, int]) -> Figure:
    return lambda: cost(way, *load)


def _fill(way: Way) -> None:
    """Make a stream to append to, and one to replay."""
    with socket.create_connection(("127.0.0.1", way.port)) as connection:
        _ask(connection, b"PUT", b"/v1/stream/log", b"application/octet-stream", b"")
        _ask(connection, b"PUT", b"/v1/stream/long", b"application/json", b"")
        for first in range(0, RECORDS, POSTED):
            body = b",".join([RECORD % number for number in range(first, first + POSTED)])
            _ask(connection, b"POST", b"/v1/stream/long", b"application/json", b"[%s]" % body)


def _append(way: Way) -> Figure:
    async def measure() -> float:
        with socket.create_connection(("127.0.0.1", way.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            before = cpu_ns(way.pid)
            for _ in range(APPENDS):
                _ask(
                    connection, b"POST", b"/v1/stream/log", b"application/octet-stream", b"x" * 100
                )
            return (cpu_ns(way.pid) - before) / 1e3 / APPENDS

    return measure


def _replay(way: Way, path: bytes) -> Figure:
    last = b"number %05d" % (RECORDS - 1)

    async def measure() -> float:
        before = cpu_ns(way.pid)
        with socket.create_connection(("127.0.0.1", way.port)) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path)
            end = b""
            while last not in end:
                end = end[-len(last) :] + _received(connection)
            return (cpu_ns(way.pid) - before) / 1e3 / RECORDS

    return measure


def _ask(connection: socket.socket, method: bytes, path: bytes, kind: bytes, body: bytes) -> None:
    head = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % (method, path, kind, len(body)) + body)
    answer = _received(connection)
    if not answer.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(answer.decode(errors="replace"))


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(2**18)
    if not received:
        raise RuntimeError("the hub closed the connection")
    return received


if __name__ == "__main__":
    main()
