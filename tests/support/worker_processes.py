"""``streamhub serve --workers`` as a process with its children: started, asked and killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson

from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.processes import environ

__all__ = ["Workers"]


class Workers:
    """Several workers over a store in a folder; each request may reach any of them."""

    def __init__(self, folder: Path, count: int = 2, **more: str) -> None:
        self.folder = folder
        self._count = count
        self._port = Port()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._config = folder / "workers.toml"
        self._config.write_text('[upstreams.demo]\ndialect = "demo"\noptions = { pace = 100 }\n')
        self._environ = environ(
            STREAMHUB_STORE__URL=f"sqlite:{folder / 'hub.db'}",
            STREAMHUB_SERVER__PORT=str(self._port.number),
            **{"STREAMHUB_SERVER__DRAIN_SECONDS": "0", **more},
        )
        self._log = folder / "workers.log"
        self.process: Forked

    async def __aenter__(self) -> Self:
        # No connection is used twice, so that all workers are asked.
        self.client = aiohttp.ClientSession(
            self.url, connector=aiohttp.TCPConnector(force_close=True, limit=0)
        )
        # What another start has said is not this one's.
        with self._log.open("wb") as log:
            self.process = Forked(
                "hub.cli:main",
                *("serve", "--workers", str(self._count), "--config", str(self._config)),
                output=log.fileno(),
                errors=log.fileno(),
                env=self._environ,
            )
        await self.until_said("Streamhub runs at")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            workers = self.pids()
            self.process.kill()
            await self.process.ended()
            await until_gone(workers)
        await self.client.close()
        self._port.release()

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8")

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in self.said:
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.02)

    def pids(self) -> dict[str, int]:
        """The processes of the workers, by their names."""
        return {
            words[words.index("hub.server.worker") + 1]: int(words[0])
            for words in processes()
            if int(words[1]) == self.process.pid and "hub.server.worker" in words
        }

    async def until_others(self, before: dict[str, int], *, but: int = 0) -> dict[str, int]:
        """The workers, once all are there and none ``but`` so many is one of before."""
        async with asyncio.timeout(PATIENCE):
            while True:
                now = self.pids()
                if len(now) == self._count and len(now.items() & before.items()) <= but:
                    return now
                await asyncio.sleep(0.05)

    def sockets(self) -> list[str]:
        """The names of all sockets in the folder."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_socket())

    async def ask(self, method: str, path: str, *, status: int | None = None, **given: Any) -> Any:
        """The JSON of a response, or its bytes; with ``status`` it must have that one."""
        async with self.client.request(method, path, **given) as response:
            body = await response.read()
            assert status is None or response.status == status, (response.status, body)
            json = body and response.content_type == "application/json"
            return orjson.loads(body) if json else body

    async def stop(self) -> int:
        """Stop it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.ended()


def processes() -> list[list[str]]:
    """All processes: id, parent and the words of the command."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, check=True, text=True
    )
    return [line.split() for line in listed.stdout.splitlines()]


async def until_gone(workers: dict[str, int]) -> None:
    """Wait until these processes have ended."""
    wanted = {str(pid) for pid in workers.values()}
    async with asyncio.timeout(PATIENCE):
        while True:
            if not any(one[0] in wanted and "hub.server.worker" in one for one in processes()):
                return
            await asyncio.sleep(0.05)
