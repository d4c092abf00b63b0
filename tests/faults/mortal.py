"""A hub that dies and comes back, at one address, on one file.

::

    async with Mortal(config) as hub:          # a new one runs
        os.kill(hub.pid, signal.SIGKILL)
        await hub.again()                      # the next one serves
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.patience import PATIENCE
from tests.support.ports import Port

__all__ = ["LOST", "Mortal"]

LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Mortal:
    """``config`` is that of the hub, without the port; what it logs goes to ``log``."""

    def __init__(self, config: dict[str, Any], *, log: Path | None = None) -> None:
        self._port = Port()
        self._log = log
        server = {**config.get("server", {}), "port": self._port.number}
        self._config = json.dumps({**config, "server": server})
        self._client: aiohttp.ClientSession
        self.pid = 0
        self.deaths = 0
        self.slowest = 0.0
        """The longest that it took to come back, in seconds."""

    @property
    def port(self) -> int:
        return self._port.number

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            log = None if self._log is None else stack.enter_context(self._log.open("ab"))
            self._nursery = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.faults.nursery",
                self._config,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self._client = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=10))
        await self.again()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        await self._nursery.wait()
        self._port.release()

    async def again(self) -> int:
        """A new hub once the one before is dead, and has been waited for until it is ready.

        Gives how the one before ended.
        """
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(b"\n")
        async with asyncio.timeout(PATIENCE):
            answer = await self._nursery.stdout.readline()
        if self.pid:
            self.deaths += 1
        pid, ended = map(int, answer.split())
        self.pid = pid
        self.slowest = max(self.slowest, await self.ready())
        return ended

    async def ready(self) -> float:
        """Wait until it is; how many seconds that took."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < PATIENCE:
            with contextlib.suppress(*LOST):
                async with self._client.get("/readyz") as reply:
                    if reply.status == 200:
                        return waited
            await asyncio.sleep(0.005)
        raise AssertionError("the hub does not come back")
