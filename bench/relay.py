"""What the hub adds between an upstream and one client, beside LiteLLM's proxy.

``python -m bench.relay``, a minute or two. The upstream (`bench.servers.upstream`) speaks
OpenAI chat completions from bare sockets; the client asks for a streamed completion and
reads it from a bare socket: directly, through a process that only passes bytes on (the
floor), through the hub, and through LiteLLM's proxy where that is installed (``make bench``
puts it into an environment of its own). The server that is measured has one CPU to itself,
everything else is on another.

*CPU per chunk* is the processor time of the whole process for a long answer of chunks of
280 bytes, by the number of chunks: one in each write of the upstream, or five (reads of
1.4 KB). *Time to the first token* is from before the request is written to when the first
byte of text has been read. The upstream begins to answer at once: either as models do, with
more to come after the first token, or with all of it in one write, so that the end has to be
dealt with as well before anything is sent. Every way has one connection that stands already
and has been used; the ways take turns, one request each, so that whatever else happens on the
machine happens to all (LiteLLM in every fifth turn: one of its takes as long as ten others).
What a way adds is its quantile less that of the direct way.

A processor of a virtual machine that has nothing to do is taken away, and what wakes it is
slow: on an idle machine each hop between two processes would cost more than all that is
measured. So both are kept awake, by loops that give way to everything (``SCHED_IDLE``). And
who else runs on the machine would be measured too, in the tail above all; so for the times
the processes go before everybody (``SCHED_FIFO``), where that is allowed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from bench.machine import describe
from bench.process import PROJECT, Process, ahead, cpu_ns, pin

SERVER_CPU, CLIENT_CPU = 0, 1
PATIENCE = 20
"""Seconds that a server may be silent in an answer."""
WARMING, FIRSTS = 100, 1000
"""Requests of each way before the time to the first token is taken, and for it."""

SHORT = {"more comes later": "2-400-1", "one word, whole": "1-0-1"}

ROUNDS = 5
LONG = {
    "one in a write": (3000, 1000, 1),
    "five in a write (1.4 KB)": (10_000, 400, 5),
    "as fast as they go": (20_000, 0, 5),
}
CPU_BAR = 40.0
"""Microseconds of CPU a chunk from the upstream's socket to one subscriber."""

P50_BAR, P99_BAR = 1.0, 3.0
"""Milliseconds that may be added to the time to the first token."""

LITELLM = Path(sys.prefix) / "litellm" / "bin" / "litellm"
START_SECONDS = 90.0


class Way(NamedTuple):
    """A server to ask: where it listens, and whose CPU is counted."""

    title: str
    port: int
    pid: int
    prefix: str
    every: int = 1
    """It takes part in every so-manieth turn."""


class Client:
    """One connection, and one request after another on it."""

    def __init__(self, way: Way) -> None:
        self._way = way

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._way.port, limit=2**20
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, model: str) -> tuple[float, int]:
        """Seconds to the first text, and the chunks of text that came before the end."""
        body = json.dumps(
            {
                "model": self._way.prefix + model,
                "messages": [{"role": "user", "content": "Hello"}],
                "stream": True,
            }
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self._way.port}\r\n"
            "Content-Type: application/json\r\nAuthorization: Bearer bench\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode() + body
        asked = time.perf_counter()
        self._writer.write(request)
        first, chunks, last = 0.0, 0, b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            try:
                async with asyncio.timeout(PATIENCE):
                    read = await self._reader.read(2**18)
            except TimeoutError:
                raise RuntimeError(f"{self._way.title} does not go on after {last!r}") from None
            if not read:
                raise RuntimeError(f"{self._way.title} closed the connection: {last!r}")
            text = read.count(b"~")
            if text and not chunks:
                first = time.perf_counter() - asked
            chunks += text
            last = (last + read)[-200:]
        if b"[DONE]" not in last:
            raise RuntimeError(f"{self._way.title} did not finish: {last!r}")
        return first, chunks


# Servers


@contextmanager
def upstream() -> Iterator[Way]:
    with Process.module("bench.servers.upstream", CLIENT_CPU) as process:
        yield Way("directly", process.hear()["port"], process.pid, "")


@contextmanager
def forward(port: int) -> Iterator[Way]:
    """Bare sockets: the least that a relay can cost."""
    command = [sys.executable, "-m", "bench.servers.forward", str(port)]
    with Process(command, SERVER_CPU) as process:
        yield Way("bare sockets", process.hear()["port"], process.pid, "")


@contextmanager
def streamhub(port: int, folder: Path = PROJECT) -> Iterator[Way]:
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "bench.servers.relay", url]
    with Process(command, SERVER_CPU, folder) as process:
        port = urlsplit(process.hear()["url"]).port or 0
        yield Way("Streamhub", port, process.pid, "bench/")


@contextmanager
def litellm(endpoint: int) -> Iterator[Way | None]:
    if not LITELLM.exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        listed = {
            "model_list": [
                {
                    "model_name": "*",
                    "litellm_params": {
                        "model": "openai/*",
                        "api_base": f"http://127.0.0.1:{endpoint}/v1",
                        "api_key": "bench",
                    },
                }
            ],
            "litellm_settings": {"telemetry": False},
        }
        Path(folder, "config.yaml").write_text(json.dumps(listed))  # JSON is YAML
        # It would ask the network for prices otherwise.
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        # On loopback, for a minute, before an upstream that says one word.
        os.environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
        command = [str(LITELLM), "--config", f"{folder}/config.yaml", "--port", str(port)]
        with Process([*command, "--host", "127.0.0.1"], SERVER_CPU) as process:
            _wait_for(port)
            yield Way("LiteLLM", port, process.pid, "", every=5)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError("LiteLLM's proxy did not start")


AWAKE = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True: pass
"""


@contextmanager
def _awake() -> Iterator[None]:
    """Let no processor sleep meanwhile."""
    command = [sys.executable, "-c", AWAKE]
    with Process(command, SERVER_CPU), Process(command, CLIENT_CPU):
        yield


# Figures


async def _firsts(ways: list[Way], model: str) -> dict[str, list[float]]:
    """Milliseconds to the first token, by the title of the way."""
    held: dict[str, list[float]] = {way.title: [] for way in ways}
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(way)) for way in ways]
        stack.enter_context(ahead([os.getpid(), *(way.pid for way in ways)]))
        for turn in range(WARMING + FIRSTS):
            for way, client in zip(ways, clients, strict=True):
                if turn % way.every:
                    continue
                seconds, _ = await client.ask(model)
                if turn >= WARMING:
                    held[way.title].append(seconds * 1e3)
    return held


async def cost(way: Way, chunks: int, rate: int, together: int) -> float:
    """Microseconds of CPU a chunk of one answer."""
    async with Client(way) as client:
        before = cpu_ns(way.pid)
        _, came = await client.ask(f"{chunks}-{rate}-{together}")
        assert came == chunks, f"{way.title}: {came} chunks of {chunks}"
        return (cpu_ns(way.pid) - before) / chunks / 1e3


async def _cost(way: Way, load: tuple[int, int, int]) -> float:
    """The median of a few answers."""
    return median([await cost(way, *load) for _ in range(ROUNDS)])


async def _measure(console: Console) -> None:
    with ExitStack() as stack:
        stack.enter_context(_awake())
        direct = stack.enter_context(upstream())
        floor = stack.enter_context(forward(direct.port))
        hub = stack.enter_context(streamhub(direct.port))
        peer = stack.enter_context(litellm(direct.port))
        others = [] if peer is None else [peer]
        for title, model in SHORT.items():
            times = await _firsts([direct, floor, hub, *others], model)
            console.print(_first_table(f"to the first token: {title}", times))
        table = Table("µs of CPU a chunk", "Streamhub", f"≤ {CPU_BAR:g}", box=box.MARKDOWN)
        for way in (floor, *others):
            table.add_column(way.title)
            table.add_column("ratio")
        for title, load in LONG.items():
            own = await _cost(hub, load)
            cells = [title, f"{own:.1f}", "met" if own <= CPU_BAR else "NOT MET"]
            for way in (floor, *others):
                its = await _cost(way, load)
                cells += [f"{its:.1f}", f"{its / own:.2g} ×"]
            table.add_row(*cells)
        console.print(table)
        if not others:
            console.print("LiteLLM is not installed: `make bench` installs it")


def _first_table(title: str, times: dict[str, list[float]]) -> Table:
    table = Table(title, "p50 ms", "p99 ms", "added p50", "added p99", "bar", box=box.MARKDOWN)
    floor = _quantiles(times["directly"])
    for title, held in times.items():
        p50, p99 = _quantiles(held)
        more = p50 - floor[0], p99 - floor[1]
        met = more[0] <= P50_BAR and more[1] <= P99_BAR
        bar = "" if title != "Streamhub" else "met" if met else "NOT MET"
        table.add_row(title, f"{p50:.2f}", f"{p99:.2f}", f"{more[0]:.2f}", f"{more[1]:.2f}", bar)
    return table


def _quantiles(held: list[float]) -> tuple[float, float]:
    cuts = quantiles(held, n=100)
    return cuts[49], cuts[98]


def main() -> None:
    console = Console(width=120)
    console.print(describe())
    pin(CLIENT_CPU, os.getpid())
    gc.disable()  # its pauses would be measured; those of the servers are their own
    uvloop.run(_measure(console))


if __name__ == "__main__":
    main()
