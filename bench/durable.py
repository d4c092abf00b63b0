"""What durability costs: the SQLite store measured, beside the store that keeps nothing.

``python -m bench.durable``; all on this machine, the file in a folder of ``TMPDIR`` (or the
one named with ``--folder``), so the appends are as fast as the disk syncs there. What needs
many readers has the hub in a process of its own and readers that only count what they read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import apsw
import uvloop
from aiohttp import web

from hub import HUB, Config, Hub, make_app
from hub.domain.events import Delta, Event, Finished, Message, Started, encode
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.http.sockets import listen
from hub.stores import Appended, Created, Raised
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.writer import Writer

MESSAGE = b"x" * 100
BYTES = StreamSettings("application/octet-stream")
SECONDS = 3.0
SUBSCRIBERS = 1000
TICKS = 250
TICK = 0.02
LONG = 20 * 1024 * 1024
RECORD = 1024
JOINERS = 1000
READ_EACH = 4 * 1024 * 1024
IDLE = 100_000
TURNS = 10_000
TURN = 40
LIVES = 150
PROMPTS = 9


def config(url: str) -> Config:
    return Config.model_validate(
        {
            "store": {"url": url},
            "server": {"drain_seconds": 0.0},
            "streams": {"max_bytes": 2**30, "max_records": 10**7},
            "limits": {"connections": 5000},
        }
    )


@asynccontextmanager
async def hub_on(url: str) -> AsyncIterator[Hub]:
    app = make_app(config(url))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield app[HUB]
    finally:
        await runner.cleanup()


def show(what: str, number: str) -> None:
    print(f"{what:<66}{number:>22}", flush=True)


def share(sorted_numbers: Sequence[float], part: float) -> float:
    return sorted_numbers[min(len(sorted_numbers) - 1, int(part * len(sorted_numbers)))]


# Appends


async def appends(folder: Path) -> None:
    for producers in (1, 50):
        async with hub_on(f"sqlite:{folder / f'appends{producers}.db'}") as hub:
            waits = await _append_for(hub, producers)
        show(
            f"appends acknowledged after the commit, {producers} at a time",
            f"{len(waits) / SECONDS:,.0f} /s",
        )
        waits.sort()
        show(
            "  each waits for its commit, p50 and p99",
            f"{share(waits, 0.5) * 1e3:.2f}, {share(waits, 0.99) * 1e3:.2f} ms",
        )


async def _append_for(hub: Hub, producers: int) -> list[float]:
    waits: list[float] = []
    until = time.perf_counter() + SECONDS

    async def produce(number: int) -> None:
        name = f"s{number}"
        await hub.streams.make(name, BYTES)
        while (begun := time.perf_counter()) < until:
            await hub.streams.write(name, [(MESSAGE, None)])
            await hub.streams.committed(name)
            waits.append(time.perf_counter() - begun)

    await asyncio.gather(*map(produce, range(producers)))
    return waits


# Many readers: the hub in a process of its own


class Child:
    """A hub in a process; it obeys lines and answers each with one."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def ask(self, line: str) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        return [float(part) for part in (await self._process.stdout.readline()).split()]


@asynccontextmanager
async def child(url: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.durable",
        "--hub",
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield Child(process, int(await process.stdout.readline()))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def be_a_hub(url: str) -> None:
    """The other side of `Child`."""
    app = make_app(config(url))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, _socket()).start()
    print(runner.addresses[0][1], flush=True)
    hub = app[HUB]
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.startswith("publish"):
            print(await _publish(hub), flush=True)
        elif line.startswith("fill"):
            stream, _ = await hub.streams.create("long")
            event = Delta("g", text="x" * (RECORD - 60))
            for _ in range(LONG // RECORD):
                await stream.space()
                stream.append(event)
            await stream.committed()
            print(len(stream._records), stream.tail, flush=True)
        elif line.startswith("cpu"):
            print(_cpu(), hub.counts.catch_ups, flush=True)
        else:
            await hub.streams.create("live")
            print(0, flush=True)
    await runner.cleanup()


async def _publish(hub: Hub) -> str:
    """Append a chunk a tick; the processor time that took, and how many deliveries it made."""
    stream, _ = await hub.streams.create("live")
    event = Delta("g", text="x" * 60)
    await asyncio.sleep(0.2)
    cpu, before = _cpu(), hub.counts.deliveries
    begun = time.perf_counter()
    for tick in range(TICKS):
        stream.append(event)
        await asyncio.sleep(max(0.0, begun + (tick + 1) * TICK - time.perf_counter()))
    return f"{_cpu() - cpu} {hub.counts.deliveries - before}"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _socket() -> socket.socket:
    return listen("127.0.0.1", 0, notsent_lowat=16384)[0]


class Counting(asyncio.Protocol):
    """Follows a stream and counts the bytes."""

    def __init__(self, path: str, enough: float = float("inf")) -> None:
        self._path = path
        self._enough = enough
        self.read = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        self._transport.write(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        if self.read >= self._enough and not self.done.done():
            self.done.set_result(None)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def readers(port: int, path: str, count: int, enough: float) -> list[Counting]:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, protocol = await loop.create_connection(
            lambda: Counting(path, enough), "127.0.0.1", port
        )
        made.append(protocol)
    return made


async def fan_out(folder: Path) -> None:
    costs: dict[str, list[float]] = {"memory": [], "sqlite": []}
    async with contextlib.AsyncExitStack() as stack:
        hubs = {}
        for kind, url in (("memory", "memory:"), ("sqlite", f"sqlite:{folder / 'fan.db'}")):
            hubs[kind] = await stack.enter_async_context(child(url))
            await hubs[kind].ask("create")
            await readers(
                hubs[kind].port, "/v1/live/live?format=ndjson&from=now", SUBSCRIBERS, 1e18
            )
        await asyncio.sleep(1.0)
        # In turns, so that whatever else the machine does meets both.
        for _ in range(3):
            for kind, hub in hubs.items():
                cpu, deliveries = await hub.ask("publish")
                costs[kind].append(cpu / deliveries * 1e6)
    least = {kind: min(found) for kind, found in costs.items()}
    show(
        f"processor time of a delivery, {SUBSCRIBERS:,} readers, memory and SQLite",
        f"{least['memory']:.2f}, {least['sqlite']:.2f} µs",
    )
    show(
        "  added by the store (no more than 10 % is wanted)",
        f"{(least['sqlite'] / least['memory'] - 1) * 100:+.1f} %",
    )


async def replay(folder: Path) -> None:
    async with child(f"sqlite:{folder / 'replay.db'}") as hub:
        held, records = await hub.ask("fill")
        before, built = await hub.ask("cpu")
        begun = time.perf_counter()
        joined = await readers(
            hub.port, "/v1/live/long?format=ndjson&from=start", JOINERS, READ_EACH
        )
        await asyncio.gather(*(one.done for one in joined))
        took = time.perf_counter() - begun
        after, frames = await hub.ask("cpu")
    total = sum(one.read for one in joined) / 1e6
    show(
        f"replay of a stream of {LONG // 2**20} MB to {JOINERS:,} who join at once",
        f"{total / took:,.0f} MB/s",
    )
    show(
        f"  ({READ_EACH // 2**20} MB each; of the hub's processor; frames built)",
        f"{total / (after - before):,.0f} MB/s; {frames - built:,.0f}",
    )
    show("  records of it in the hub's memory", f"{held:,.0f} of {records:,.0f}")


# Reading a long stream


async def tails(folder: Path) -> None:
    url = f"sqlite:{folder / 'tails.db'}"
    lengths = {"short": 100, "long": 100_000}
    async with hub_on(url) as hub:
        for name, length in lengths.items():
            await hub.streams.make(name, BYTES)
            for start in range(0, length, 1000):
                await hub.streams.write(name, [(MESSAGE, None)] * min(1000, length - start))
                await hub.streams.committed(name)
        warm = {name: await _tail(hub, name, 2000) for name in lengths}
    cold: dict[str, float] = dict.fromkeys(lengths, float("inf"))
    for _ in range(5):
        async with hub_on(url) as hub:
            await hub.streams.create("other", BYTES)
            for name in lengths:
                cold[name] = min(cold[name], await _tail(hub, name, 1))
    for what, found in (("in memory", warm), ("right after a restart", cold)):
        show(
            f"the last 50 records of 100 and of 100,000, {what}",
            f"{found['short'] * 1e6:.0f}, {found['long'] * 1e6:.0f} µs",
        )


async def _tail(hub: Hub, name: str, times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        stream = await hub.streams.open(name)
        batch = await stream.fetch(stream.tail - 50, 2**20)
        assert len(batch.records) == 50
    return (time.perf_counter() - begun) / times


# Prompts in a long conversation


async def prompts(folder: Path) -> None:
    """From the prompt to where its upstream is asked, first after a restart and then again."""
    for lives in (1, LIVES):
        path = folder / f"prompts{lives}.db"
        await _with_conversation(path, lives)
        cold, warm = [], []
        for _ in range(PROMPTS):
            async with hub_on(f"sqlite:{path}") as hub:
                cold.append(await _prompt(hub))
                warm.append(await _prompt(hub))
        show(
            f"a prompt in {TURNS:,} records and {lives} epochs, after a restart, and the next",
            f"{statistics.median(cold) * 1e3:.1f}, {statistics.median(warm) * 1e3:.1f} ms",
        )


async def _prompt(hub: Hub) -> float:
    begun = time.perf_counter()
    generation = await hub.generations.start(GenerationRequest(stream="long", prompt="And then?"))
    took = time.perf_counter() - begun
    await hub.generations.cancel(generation.id)
    return took


async def _with_conversation(path: Path, lives: int) -> None:
    store = SQLiteStore(path)
    await store.start()
    store.note(Created("long", StreamSettings(), ((1, 0),)))
    for number in range(TURNS):
        of, place = divmod(number, TURN)
        named = f"gen_{of:020}"
        event: Event = Delta(named, text="token ")
        if place == 0:
            event = Message("user", "What came then, and what after that?")
        elif place == 1:
            event = Started(named, "demo")
        elif place == TURN - 1:
            event = Finished(named)
        if number and number % -(-TURNS // lives) == 0:
            store.note(Raised("long", 1 + number, number))
        store.note(Appended("long", Record(number, encode(event), event)))
    await store.synced()
    await store.stop()


# Idle streams


async def idle(folder: Path) -> None:
    found = {}
    for count in (0, IDLE):
        path = folder / f"idle{count}.db"
        await _with_streams(path, count)
        store = SQLiteStore(path)
        begun = time.perf_counter()
        await store.start()
        found[count] = time.perf_counter() - begun
        cpu = time.process_time()
        await asyncio.sleep(1.0)
        spent = time.process_time() - cpu
        await store.stop()
    show(
        f"start with no streams and with {IDLE:,}",
        f"{found[0] * 1e3:.0f}, {found[IDLE] * 1e3:.0f} ms",
    )
    show(f"  processor time of {IDLE:,} idle streams", f"{spent * 1e3:.1f} ms/s")


async def _with_streams(path: Path, count: int) -> None:
    store = SQLiteStore(path)
    await store.start()
    await store.stop()
    database = apsw.Connection(str(path))
    changes = [Created(f"idle/{number}", StreamSettings(), ((0, 0),)) for number in range(count)]
    Writer(database).write(changes)
    database.close()


async def main(folder: Path) -> None:
    await appends(folder)
    await fan_out(folder)
    await replay(folder)
    await tails(folder)
    await prompts(folder)
    await idle(folder)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--folder", help="where the files are written")
    options.add_argument("--hub", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.hub is not None:
        uvloop.run(be_a_hub(asked.hub))
    else:
        with tempfile.TemporaryDirectory(dir=asked.folder) as made:
            uvloop.run(main(Path(made)))
