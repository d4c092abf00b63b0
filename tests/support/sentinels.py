"""A primary, a replica and three sentinels of a test's own, which promote within seconds.

What sentinels do every second or every ten, these do a few times a second; only how long a server
has to be silent until it counts as dead is as long as a busy machine needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.sentinels import Sentinels
from tests.support.patience import PATIENCE, patient
from tests.support.ports import Port
from tests.support.redis_server import RedisServer, ask, installed
from tests.support.server_process import ServerProcess

__all__ = ["NAME", "WatchedServers"]

NAME: Final = "main"
"""What the sentinels call the primary."""

DEAD_SECONDS: Final = patient(2.0)

HASTE: Final = (
    *("info-period", "300", "ping-period", "500", "publish-period", "300", "ask-period", "300"),
    *("tilt-period", "1000"),
)


class _Sentinel(ServerProcess):
    """One sentinel; tests ask it over a port of their own, which needs no certificate."""

    def __init__(self, folder: Path, primary: int, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self._ports = [Port(), Port()] if "tls-cert-file" in settings else [Port()]
        self.port = self._ports[-1].number
        self._log = folder / "log"
        self._config = folder / "sentinel.conf"
        given = {
            "bind": "127.0.0.1",
            "port": str(self._ports[0].number),
            **({"tls-port": str(self.port)} if self.port != self._ports[0].number else {}),
            "dir": str(folder),
            "logfile": str(self._log),
            **settings,
            "sentinel monitor": f"{NAME} 127.0.0.1 {primary} 2",
            "sentinel down-after-milliseconds": f"{NAME} {round(DEAD_SECONDS * 1000)}",
            "sentinel failover-timeout": f"{NAME} 3000",
        }
        text = "".join(f"{key} {value}\n" for key, value in given.items())
        self._config.write_text(text, "utf-8")

    async def start(self) -> None:
        program = await asyncio.to_thread(installed, "redis")
        self._process = await asyncio.create_subprocess_exec(
            program.path, str(self._config), "--sentinel", env=program.environment
        )
        await _until(self._hastens)

    async def _hastens(self) -> bool:
        assert isinstance(self._process, asyncio.subprocess.Process)
        assert self._process.returncode is None, self._log.read_text("utf-8")
        return await self.ask("SENTINEL", "DEBUG", *HASTE) == b"+OK\r\n"

    async def ask(self, *words: str) -> bytes:
        """The first bytes of a reply; nothing if it does not answer."""
        with suppress(OSError):
            return await ask(self._ports[0].number, *words)
        return b""

    async def stop(self) -> None:
        await self.kill()
        for port in self._ports:
            port.release()


class WatchedServers:
    """Starts them all, and ends them; ``settings`` are those of servers and sentinels.

    ``primary`` and ``replica`` are what they are at the start.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._folder = folder
        self.primary, self.replica = (RedisServer(folder / name) for name in ("first", "second"))
        self.servers = [self.primary, self.replica]
        self._tls = [Port(), Port()] if "tls-cert-file" in self._settings else []
        self.sentinels = [
            _Sentinel(folder / f"sentinel-{number}", self._ports[0], self._settings)
            for number in range(3)
        ]

    @property
    def _ports(self) -> list[int]:
        """Those that hubs, sentinels and the replica use."""
        return [port.number for port in self._tls] or [server.port for server in self.servers]

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all; returns once any sentinel can promote the replica."""
        for server in self.servers:
            await self.come_back(server)
        await self.replica.ask("REPLICAOF", "127.0.0.1", str(self._ports[0]))
        for sentinel in self.sentinels:
            await sentinel.start()
        await self.linked(self.replica)

    async def stop(self) -> None:
        """End all for good."""
        for sentinel in self.sentinels:
            await sentinel.stop()
        for server in self.servers:
            await server.stop()
        for port in self._tls:
            port.release()

    async def come_back(self, server: RedisServer) -> None:
        """Start a server that does not run with what it kept."""
        tls = {"tls-port": str(self.port(server))} if self._tls else {}
        await server.start(**self._settings, **tls)

    async def linked(self, replica: RedisServer) -> None:
        """Return once any sentinel can promote a replica, which has all that there is."""
        await _until(partial(self._linked, replica))

    async def _linked(self, replica: RedisServer) -> bool:
        with suppress(OSError):  # of one that has just become a replica
            linked = b"master_link_status:up" in await replica.ask("INFO", "replication")
            known = [await each.ask("SENTINEL", "REPLICAS", NAME) for each in self.sentinels]
            agreed = [await each.ask("SENTINEL", "CKQUORUM", NAME) for each in self.sentinels]
            return (
                linked
                and all(b"master-link-status\r\n$2\r\nok" in each for each in known)
                and all(b"OK 3 usable" in each for each in agreed)
            )
        return False

    def port(self, server: RedisServer) -> int:
        """Where hubs find a server."""
        return self._ports[self.servers.index(server)]

    @property
    def url(self) -> str:
        """For ``store.url``."""
        kind = "rediss" if self._tls else "redis"
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"{kind}+sentinel://{hosts}/{NAME}"

    def engine(self, **settings: Any) -> RedisEngine:
        """A hub's connection to whichever is the primary, not open yet."""
        urls = [f"redis://127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]
        server = Sentinels(urls, NAME, lambda host, port: f"redis://{host}:{port}")
        return RedisEngine(server, **settings)

    async def part(self) -> None:
        """Let the replica hear of nothing more."""
        await self.primary.ask("ACL", "SETUSER", "default", "-psync", "-sync")
        await self.primary.ask("CLIENT", "KILL", "TYPE", "replica")

        async def parted() -> bool:
            return b"master_link_status:down" in await self.replica.ask("INFO", "replication")

        await _until(parted)

    async def promoted(self, server: RedisServer) -> None:
        """Return once all sentinels name this one."""
        await _until(partial(self._named, server))

    async def promote(self, server: RedisServer) -> None:
        """Let the sentinels promote a replica, while the primary lives."""

        async def begun() -> bool:
            # It refuses for as long as it has not seen the replica for a while.
            return await self.sentinels[0].ask("SENTINEL", "FAILOVER", NAME) == b"+OK\r\n"

        await _until(begun)
        await self.promoted(server)

    async def _named(self, server: RedisServer) -> bool:
        """Whether all sentinels name it."""
        port = f"\r\n{self.port(server)}\r\n".encode()
        asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return all([port in await sentinel.ask(*asked) for sentinel in self.sentinels])


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds of other processes."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - they do not tell
            await asyncio.sleep(0.02)
