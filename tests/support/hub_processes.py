"""Hubs in processes of their own that share a Redis: started, asked, frozen and killed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson

from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.processes import environ
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.sentinels import WatchedServers

__all__ = ["ENDS", "JSON", "LONG", "STORY", "TEXT", "HubProcess", "Hubs"]

JSON: Final = {"Content-Type": "application/json"}
TEXT: Final = {"Content-Type": "text/plain"}

ENDS: Final = ("finished", "failed", "cancelled", "interrupted")
"""The types of the events that end a generation."""

STORY: Final = {"stream": "chat", "prompt": "/story"}
"""Asks the demo for an answer that takes its time."""

LONG: Final = {"stream": "chat", "prompt": "long"}
"""The demo answers it for minutes: until a test ends it, however busy the machine is."""


class HubProcess:
    """``streamhub serve`` over the store of a URL, and a client for it."""

    def __init__(self, folder: Path, name: str, url: str, **more: str) -> None:
        self.name = name
        self._port = Port()
        self.port = self._port.number
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / f"{name}.toml"
        self.config.write_text('[upstreams.demo]\ndialect = "demo"\noptions = { pace = 50 }\n')
        own = {
            "STREAMHUB_STORE__URL": url,
            "STREAMHUB_NODE__NAME": name,
            "STREAMHUB_SERVER__PORT": str(self.port),
            "STREAMHUB_SERVER__LIST_STREAMS": "true",
            "STREAMHUB_SERVER__DRAIN_SECONDS": "0",
        }
        self._environ = environ(**{**own, **more})
        self._log = folder / f"{name}.log"
        self.process: Forked | None = None
        self.client: aiohttp.ClientSession

    async def start(self) -> None:
        self.client = aiohttp.ClientSession(self.url)
        await self._run()

    async def restart(self) -> None:
        """Let it end as an operator would, and start it again; returns once it is ready."""
        self.send(signal.SIGTERM)
        assert self.process is not None
        await self.process.ended()
        await self._run()

    async def _run(self) -> None:
        with self._log.open("ab") as log:
            self.process = Forked(
                "hub.cli:main",
                *("serve", "--config", str(self.config)),
                output=log.fileno(),
                errors=log.fileno(),
                env=self._environ,
            )
        await self.until_ready()

    async def until_ready(self, status: int = 200) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self._ready() != status:
                assert self.process is not None
                assert self.process.poll() is None, self._log.read_text("utf-8")
                await asyncio.sleep(0.02)

    async def _ready(self) -> int:
        try:
            async with self.client.get("/readyz") as response:
                return response.status
        except (aiohttp.ClientError, OSError):
            return 0

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> str:
        """End it; what it said."""
        process, self.process = self.process, None
        if process is None:
            return ""
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        await process.ended()
        await self.client.close()
        self._port.release()
        return self._log.read_text("utf-8")

    async def ask(self, method: str, path: str, *, status: int | None = None, **given: Any) -> Any:
        """The JSON of a response, or its bytes; with ``status`` it must have that one."""
        async with self.client.request(method, path, **given) as response:
            body = await response.read()
            assert status is None or response.status == status, (response.status, body)
            json = body and response.content_type == "application/json"
            return orjson.loads(body) if json else body

    async def events(self, stream: str) -> list[dict[str, Any]]:
        """All events of a stream, as this hub has them."""
        found: list[dict[str, Any]] = await self.ask("GET", f"/v1/stream/{stream}", status=200)
        return found


class Hubs:
    """Several of them over one server, what sentinels watch, or a cluster; all are stopped in the
    end.
    """

    def __init__(self, folder: Path, server: RedisServer | WatchedServers | RedisCluster) -> None:
        self._folder = folder
        self._url = server.url
        self._started: list[HubProcess] = []

    async def start(self, *names: str, **more: str) -> list[HubProcess]:
        hubs = [HubProcess(self._folder, name, self._url, **more) for name in names]
        self._started += hubs
        await asyncio.gather(*(hub.start() for hub in hubs))
        return hubs

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for hub in self._started:
            await hub.stop()
