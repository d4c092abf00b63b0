"""``streamhub serve`` as a process: its signals, its sockets, what it says.

async with Process(folder, STREAMHUB_SERVER__DRAIN_SECONDS="30") as hub:
    await hub.start()
    hub.signal(signal.SIGTERM)
    assert await hub.ended() == 0
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.processes import COMMAND, environ

__all__ = ["LOST", "Process", "states"]

LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError)

HAND_OVER = """
import os, sys
for place, number in enumerate(map(int, sys.argv[1].split(","))):
    os.dup2(number, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(place + 1))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A program that hands files over as systemd does, and becomes the one that gets them."""


class Process:
    """A hub on a file in a folder; another in the same folder is for the same file.

    With ``listening`` it is handed these sockets. Every request has a connection of its own.
    """

    def __init__(
        self, folder: Path, *, listening: list[socket.socket] | None = None, **more: str
    ) -> None:
        self._listening = listening or []
        self._config = folder / "config.toml"
        self._config.write_text('[upstreams.demo]\ndialect = "demo"\noptions = { pace = 30 }\n')
        self._held = Port()
        self.port: int = (
            self._listening[0].getsockname()[1] if self._listening else self._held.number
        )
        settings = {
            "STREAMHUB_STORE__URL": f"sqlite:{folder / 'hub.db'}",
            "STREAMHUB_SERVER__PORT": str(self.port),
            "STREAMHUB_SERVER__DRAIN_SECONDS": "0",
        }
        self._environ = environ(**{**settings, **more})
        self._said = folder / f"said-{id(self)}"
        self.process: subprocess.Popen[bytes] | Forked
        self.client: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.client = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.port}",
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        self._held.release()

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        command = ["serve", "--config", str(self._config)]
        with self._said.open("wb") as said:
            if not self._listening:
                file = said.fileno()
                self.process = Forked(
                    "hub.cli:main", *command, output=file, errors=file, env=self._environ
                )
                return
            numbers = [made.fileno() for made in self._listening]
            handed = ",".join(map(str, numbers))
            self.process = subprocess.Popen(
                [sys.executable, "-c", HAND_OVER, handed, *COMMAND, *command],
                env=self._environ,
                stdout=said,
                stderr=said,
                pass_fds=numbers,
            )

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.launch()
        await self.says("Streamhub runs at")

    @property
    def said(self) -> str:
        return self._said.read_text()

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until it says something."""
        async with asyncio.timeout(PATIENCE):
            while (found := re.search(pattern, self.said)) is None:
                assert self.process.poll() is None, self.said
                await asyncio.sleep(0.01)
        return found

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def ended(self) -> int:
        """Wait until it has ended; how it did."""
        async with asyncio.timeout(PATIENCE):
            while (code := self.process.poll()) is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        return code

    async def draining(self) -> None:
        """Wait until it says that it drains, to whoever connects now."""
        await self.answers("/readyz", "draining\n")

    async def answers(self, path: str, text: str) -> None:
        """Wait until a GET is answered with a text in it."""
        async with asyncio.timeout(PATIENCE):
            while text not in (await self.get(path))[1]:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(path) as reply:
            return reply.status, await reply.text()

    async def ask(self, stream: str, prompt: str) -> str:
        """Begin a generation; its name."""
        asked = {"prompt": prompt, "stream": stream}
        async with self.client.post("/v1/generations", json=asked) as reply:
            assert reply.status == 201, await reply.text()
            return str((await reply.json())["id"])

    async def append(self, stream: str, text: str) -> int:
        event = {"type": "message", "role": "user", "text": text}
        async with self.client.post(f"/v1/stream/{stream}", json=[event]) as reply:
            return reply.status

    async def create(self, stream: str) -> None:
        headers = {"Content-Type": "application/json"}
        async with self.client.put(f"/v1/stream/{stream}", headers=headers) as reply:
            assert reply.status == 201

    async def events(self, stream: str) -> list[Any]:
        async with self.client.get(f"/v1/stream/{stream}?offset=-1") as reply:
            assert reply.status == 200
            return list(await reply.json())


def states(port: int) -> dict[str, int]:
    """How many sockets of this machine at a local TCP port are in each state (tcp(7), hex)."""
    found: dict[str, int] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        if int(local.rpartition(":")[2], 16) == port:
            found[state] = found.get(state, 0) + 1
    return found
