"""What all servers share: the load, which each of them makes inside its own process.

The load generator connects to the control port and writes lines. A JSON object starts a
load::

    {"rate": 50, "burst": 1, "seconds": 3, "ahead": 8}

that is 50 ticks a second (0: as many as it can), 1 message a tick, for 3 seconds. A plain
number acknowledges: so many ticks of this load have arrived at the subscribers. The driver
never has more than ``ahead`` ticks under way, so a server that cannot keep up makes fewer
ticks instead of filling its memory. At the end it answers ``{"ticks": 150}``.

A message is ``~NUMBER:STAMP~`` filled up to `LENGTH` characters. Numbers begin at 0 with the
control connection and rise by one. The stamp is when the tick was *due* on the system's
monotonic clock, in nanoseconds: a server that falls behind its rate shows it as latency.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

__all__ = ["LENGTH", "Send", "announce", "drive", "port_of", "run"]

LENGTH = 100
SECOND = 1_000_000_000

Send = Callable[[list[str]], Awaitable[None]]
"""Sends the messages of one tick to every subscriber, as this server does it best."""


class Driver(asyncio.Protocol):
    """One control connection: takes one load after the other."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._number = 0
        self._rest = b""
        self._arrived = 0
        self._credit = asyncio.Event()
        self._load: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._load is not None:
            self._load.cancel()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._arrived = 0
                self._load = asyncio.create_task(self._make(**json.loads(line)))
            else:
                self._arrived = int(line)
                self._credit.set()

    async def _make(self, rate: float, burst: int, seconds: float, ahead: int) -> None:
        begun = time.monotonic_ns()
        end = begun + int(seconds * SECOND)
        ticks = 0
        while True:
            now = time.monotonic_ns()
            due = begun + int(ticks * SECOND / rate) if rate else now
            if max(due, now) >= end:
                break
            await asyncio.sleep(max(0, due - now) / SECOND)
            while ticks - self._arrived >= ahead:
                self._credit.clear()
                await self._credit.wait()
            await self._send([_message(self._number + i, due) for i in range(burst)])
            self._number += burst
            ticks += 1
        self._transport.write(json.dumps({"ticks": ticks}).encode() + b"\n")


def _message(number: int, stamp: int) -> str:
    return f"~{number}:{stamp}~".ljust(LENGTH, ".")


async def drive(send: Send) -> asyncio.Server:
    """Take loads from now on, on a port of its own."""
    return await asyncio.get_running_loop().create_server(lambda: Driver(send), "127.0.0.1", 0)


def announce(port: int, control: asyncio.Server) -> None:
    """Say on standard output where subscribers connect and where loads are asked for."""
    print(json.dumps({"port": port, "control": port_of(control)}), flush=True)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def run(serve: Callable[[], Awaitable[None]]) -> None:
    """Run a server on uvloop until the process is told to go."""

    async def forever() -> None:
        await serve()
        await asyncio.Event().wait()

    uvloop.run(forever())
