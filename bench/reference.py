"""Beside the published reference server of the Durable Streams Protocol: the same load on both.

``python -m bench.reference``, a good minute. The reference server keeps its streams in
memory, which is its default (with ``--files`` in files; that takes longer); the hub is
measured with a file and with memory. Each is a process on one CPU, and this process, with
all readers and the writer, is on another.

One writer appends messages of 100 bytes over one connection to a stream that already holds
records: one at a time, or 20 in an array, as the published client does when it has more to
say than it has answers; each append when the one before was acknowledged. The readers are
those of ``?offset=now&live=sse``, so that what is measured is the delivery of what comes,
and the older records only cost what a server makes them cost. A delivery is one message at
one reader. Every reader must get every message, and the processor time is read when it has:
user and system time of all threads of the server. Servers take turns within seconds of each
other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self, cast
from urllib.parse import SplitResult, urlsplit

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from bench.machine import describe
from bench.peers import Peer
from bench.process import Process, cpu_ns, open_files, pin
from hub import Config
from hub.server.serve import serve

REFERENCE = Peer("reference", "reference server", script="reference.mjs")
READERS = (200, 500)
HELD = (0, 3000)
AT_A_TIME = (1, 20)
TIMES = 5.0
"""The bar: so many times the reference server's deliveries for the same processor time."""

ROUNDS = 2
SECONDS = 0.8
WARM_SECONDS = 0.5
PATIENCE = 20.0
SERVER_CPU, CLIENT_CPU = 0, 1

PATH = "/v1/stream/bench"

# What is counted must be one byte, so that no read cuts it: a message has one "~", and an
# event's array of messages one "[". Neither stands anywhere else in a response.
MESSAGE = b'{"~":"%s"}' % (b"x" * 92)
IN_MESSAGE, IN_EVENT = b"~", b"["
AT_THE_TAIL = b'"upToDate":true'

COLUMNS = (
    "readers",
    "records held",
    "at a time",
    "server",
    "messages/s",
    "messages/event",
    "p50 ms",
    "its CPU",
    "client's",
    "deliveries/CPU s",
    "ratio",
    f"≥ {TIMES:g} ×",
)


class Window(NamedTuple):
    """One load on one server; ``cpu`` in nanoseconds, ``client`` the load generator's."""

    messages: int
    deliveries: int
    events: int
    elapsed: float
    cpu: int
    client: int
    latencies: list[float]


@dataclass(slots=True)
class Row:
    """One load on one server, with so many readers and so many records before: all windows."""

    title: str
    at_a_time: int
    windows: list[Window] = field(default_factory=list)

    @property
    def per_cpu_second(self) -> float:
        """The median: others on the machine spoil a window now and then."""
        return median(window.deliveries * 1e9 / window.cpu for window in self.windows)

    def cells(self) -> list[str]:
        latencies = sorted(one for window in self.windows for one in window.latencies)
        elapsed = sum(window.elapsed for window in self.windows)
        deliveries = sum(window.deliveries for window in self.windows)
        return [
            str(self.at_a_time),
            self.title,
            f"{sum(window.messages for window in self.windows) / elapsed:,.0f}",
            f"{deliveries / sum(window.events for window in self.windows):.2f}",
            f"{latencies[len(latencies) // 2] * 1e3:.1f}",
            f"{sum(window.cpu for window in self.windows) / 1e9 / elapsed:.0%}",
            f"{sum(window.client for window in self.windows) / 1e9 / elapsed:.0%}",
            f"{self.per_cpu_second:,.0f}",
        ]


def array(messages: int) -> bytes:
    """A body that appends so many."""
    return b"[" + b",".join([MESSAGE] * messages) + b"]"


# Clients


class Reader(asyncio.Protocol):
    """Counts messages and notes how old each read's last one is."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._head = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages = 0
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        path = f"{PATH}?offset=now&live=sse"
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self._head += data
            if AT_THE_TAIL in self._head:
                self.ready.set_result(None)
        elif found := data.count(IN_MESSAGE):
            self.messages += found
            self.events += data.count(IN_EVENT)
            self._server.arrived(self.messages, found)
        else:
            self.events += data.count(IN_EVENT)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(self._head.decode(errors="replace")))

    def close(self) -> None:
        self._transport.abort()


class Writer:
    """One connection that makes streams and appends; a context that closes it."""

    def __init__(self, url: SplitResult) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._url.hostname, self._url.port
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def send(self, method: str, body: bytes) -> None:
        """Have it acknowledged.

        Raises:
            RuntimeError: the server refused it.
        """
        head = f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if answer.split(b" ", 2)[1] not in (b"201", b"204"):
            raise RuntimeError(f"{method} {PATH}: {answer.decode(errors='replace')}")
        # What is accepted is answered without a body, or with an empty one in chunks.
        if b"chunked" in answer:
            await self._reader.readuntil(b"0\r\n\r\n")


class Server:
    """A server with a stream, its readers and its writer; a context that ends it all."""

    def __init__(self, command: list[str]) -> None:
        self._process = Process(command, SERVER_CPU)
        self._readers: list[Reader] = []
        self._sent: list[float] = []
        self._latencies: list[float] = []
        self._delivered = 0
        self._all_here = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()
        self._process.stop()

    async def connect(self, readers: int, held: int) -> None:
        """Make the stream with its records, and follow it."""
        self._url = urlsplit(self._process.hear()["url"])
        async with Writer(self._url) as writer:
            await writer.send("PUT", b"")
            # One by one: the reference server keeps what came together as one message.
            for _ in range(held):
                await writer.send("POST", MESSAGE)
        loop = asyncio.get_running_loop()
        for _ in range(readers):
            _, reader = await loop.create_connection(
                lambda: Reader(self), self._url.hostname, self._url.port
            )
            self._readers.append(reader)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(reader.ready for reader in self._readers))

    async def load(self, seconds: float, at_a_time: int) -> Window:
        """Append for so long, so many messages together, until all of it has arrived everywhere.

        Raises:
            RuntimeError: a reader did not get every message once.
        """
        body = array(at_a_time)
        first, events = len(self._sent), self._events()
        self._latencies = []
        # A connection for each load: an idle one may be closed.
        async with Writer(self._url) as writer:
            client = time.process_time_ns()
            cpu = cpu_ns(self._process.pid)
            begun = time.perf_counter()
            while (now := time.perf_counter()) < begun + seconds:
                self._sent += [now] * at_a_time
                await writer.send("POST", body)
            await self._arrival()
            messages = len(self._sent) - first
            return Window(
                messages=messages,
                deliveries=messages * len(self._readers),
                events=self._events() - events,
                elapsed=time.perf_counter() - begun,
                cpu=cpu_ns(self._process.pid) - cpu,
                client=time.process_time_ns() - client,
                latencies=self._latencies,
            )

    def arrived(self, number: int, new: int) -> None:
        """A reader has ``number`` messages now, ``new`` ones among them."""
        self._latencies.append(time.perf_counter() - self._sent[number - 1])
        self._delivered += new
        if self._delivered >= len(self._sent) * len(self._readers):
            self._all_here.set()

    async def _arrival(self) -> None:
        wanted = len(self._sent)
        end = time.perf_counter() + PATIENCE
        while self._delivered < wanted * len(self._readers) and time.perf_counter() < end:
            # It may be set by what came before the last append.
            self._all_here.clear()
            async with asyncio.timeout(PATIENCE):
                await self._all_here.wait()
        if any(reader.messages != wanted for reader in self._readers):
            raise RuntimeError(f"of {wanted} messages not every reader got each once")

    def _events(self) -> int:
        return sum(reader.events for reader in self._readers)


# The comparison


async def compare(readers: int, held: int, folder: Path, *, files: bool) -> list[Row]:
    """A row for each load on each server."""
    urls = {"sqlite": f"sqlite:{folder / 'hub.db'}", "memory": "memory:"}
    commands = {REFERENCE.title: [*REFERENCE.command(), *([str(folder)] if files else [])]}
    for kind, url in urls.items():
        commands[f"Streamhub, {kind}"] = [sys.executable, "-m", "bench.reference", "--hub", url]
    async with AsyncExitStack() as stack:
        servers = {
            title: await stack.enter_async_context(Server(command))
            for title, command in commands.items()
        }
        pin(CLIENT_CPU, os.getpid())
        await asyncio.gather(*(server.connect(readers, held) for server in servers.values()))
        for server in servers.values():
            await server.load(WARM_SECONDS, 1)
        rows = [Row(title, number) for number, title in product(AT_A_TIME, servers)]
        for row in rows * ROUNDS:
            row.windows.append(await servers[row.title].load(SECONDS, row.at_a_time))
    return rows


def shown(found: dict[tuple[int, int], list[Row]]) -> Table:
    table = Table(*COLUMNS, box=box.MARKDOWN)
    for column in table.columns:
        column.justify = "right"
        column.no_wrap = True
    for (readers, held), rows in found.items():
        reference = {row.at_a_time: row for row in rows if row.title == REFERENCE.title}
        for row in rows:
            ratio = row.per_cpu_second / reference[row.at_a_time].per_cpu_second
            verdict = "[green]pass" if ratio >= TIMES else "[red]FAIL"
            if row.title == REFERENCE.title:
                verdict = ""
            table.add_row(str(readers), f"{held:,}", *row.cells(), f"{ratio:.2f}", verdict)
    return table


async def main(folder: str | None, *, files: bool) -> None:
    allowed = os.sched_getaffinity(0)
    found = {}
    for readers, held in product(READERS, HELD):
        os.sched_setaffinity(0, allowed)  # of these a server is given its own
        with tempfile.TemporaryDirectory(dir=folder) as made:
            found[readers, held] = await compare(readers, held, Path(made), files=files)
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(shown(found))
    console.print(f"The reference server's streams were in {'files' if files else 'memory'}.")
    console.print(f"Machine: {describe()}", markup=False, highlight=False)


async def be_a_hub(url: str) -> None:
    """The hub as ``streamhub serve`` runs it, with this store."""
    config = Config.model_validate({"server": {"port": 0}, "store": {"url": url}})
    await serve(config, announce=lambda where: print(json.dumps({"url": where}), flush=True))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--folder", help="where files are written")
    options.add_argument(
        "--files", action="store_true", help="the reference server keeps its streams in files"
    )
    options.add_argument("--hub", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.hub is not None:
        uvloop.run(be_a_hub(asked.hub))
    elif reason := REFERENCE.missing():
        raise SystemExit(f"{REFERENCE.title} not measured: {reason}")
    else:
        open_files()
        uvloop.run(main(asked.folder, files=asked.files))
