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
import logging
import sys
import time
from pathlib import Path
from typing import Any, Self

import aiohttp

from hub.config.schema import Config
from hub.server.serve import run, serve
from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port

__all__ = ["LOST", "Mortal", "serve_config"]

LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def serve_config() -> None:
    """What runs in the process: the hub of a configuration in JSON."""
    config = Config.model_validate_json(sys.argv[1])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    run(serve(config, announce=lambda _: None))


class Mortal:
    """``config`` is that of the hub, without the port; what it logs goes to ``log``."""

    def __init__(self, config: dict[str, Any], *, log: Path | None = None) -> None:
        self._port = Port()
        self._log = log
        server = {**config.get("server", {}), "port": self._port.number}
        self._config = json.dumps({**config, "server": server})
        self._client: aiohttp.ClientSession
        self._hub: Forked | None = None
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
        self._client = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=10))
        await self.again()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        if self._hub is not None:
            self._hub.kill()
            await self._hub.ended()
        self._port.release()

    async def again(self) -> int:
        """A new hub once the one before is dead, and has been waited for until it is ready.

        Gives how the one before ended.
        """
        ended = 0
        if self._hub is not None:
            ended = await self._hub.ended()
            self.deaths += 1
        with contextlib.ExitStack() as stack:
            log = 2 if self._log is None else stack.enter_context(self._log.open("ab")).fileno()
            self._hub = Forked(f"{__name__}:serve_config", self._config, output=log, errors=log)
        self.pid = self._hub.pid
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
