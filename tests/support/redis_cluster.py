"""Servers of a test's own that are one Redis Cluster: killed, promoted, and given other slots.

Each primary has a third of all slots. A cluster takes two seconds to begin, so it is kept for the
tests of a file that can share one; no event loop has a part in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from hub.stores.redis.cluster import Cluster
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import SLOTS
from tests.support.patience import PATIENCE, patient
from tests.support.ports import Port
from tests.support.redis_server import Program, RedisServer
from tests.support.server_process import LastingProcess, Process

__all__ = ["ClusterServer", "RedisCluster", "reached_by"]

PRIMARIES: Final = 3

DEAD_SECONDS: Final = patient(2.0)
"""How long a server has to be silent until its replica is promoted."""

COPIED: Final = 100
"""Keys that are moved to another server at a time."""


class ClusterServer(RedisServer):
    """One server of a cluster."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(folder)
        self._bus = Port()
        self._tls = Port() if "tls_cert_file" in settings else None
        self._settings = settings

    async def start(self, **settings: str) -> None:
        await super().start(
            **{
                "cluster_enabled": "yes",
                "cluster_port": str(self._bus.number),
                "cluster_node_timeout": str(round(DEAD_SECONDS * 1000)),
                "cluster_allow_replica_migration": "no",
                "repl_diskless_sync_delay": "0",
                **({} if self._tls is None else {"tls_port": str(self._tls.number)}),
                **self._settings,
                **settings,
            }
        )

    async def _spawn(self, program: Program, words: Sequence[str]) -> Process:
        return LastingProcess([program.path, *words], program.environment)

    async def cluster(self, *words: str) -> str:
        """The reply to a command of ``CLUSTER``, without its first line if it has several."""
        reply = (await self.ask("CLUSTER", *words)).decode()
        assert not reply.startswith("-"), reply
        return reply.partition("\r\n")[2].strip() if reply.startswith("$") else reply.strip()

    async def id(self) -> str:
        return await self.cluster("MYID")

    async def role(self) -> str:
        return (await self.ask("ROLE")).split(b"\r\n")[2].decode()

    @property
    def bus(self) -> int:
        return self._bus.number

    @property
    def served(self) -> int:
        """The port for hubs and other servers; tests need no certificate for the other one."""
        return self.port if self._tls is None else self._tls.number

    def end(self) -> None:
        """End it for good."""
        process, self._process = self._process, None
        if isinstance(process, LastingProcess):
            process.kill()
        for port in (self._port, self._bus, self._tls):
            if port is not None:
                port.release()

    async def stop(self) -> None:
        self.end()


class RedisCluster:
    """Three primaries, each perhaps with a replica; ``settings`` are those of all servers."""

    def __init__(self, folder: Path, *, replicas: bool = False, **settings: str) -> None:
        def made(kind: str) -> list[ClusterServer]:
            return [ClusterServer(folder / f"{kind}-{at}", settings) for at in range(PRIMARIES)]

        self.primaries = made("primary")
        """Those that are primaries at the start."""
        self.replicas = made("replica") if replicas else []
        self.servers = [*self.primaries, *self.replicas]
        self._formed = False

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()

    async def start(self) -> None:
        """Start all with what they kept; returns once they are a cluster."""
        for server in self.servers:
            if server._process is None:
                await server.start()
        if not self._formed:
            await self._form()
        await self.whole()

    async def _form(self) -> None:
        for number, server in enumerate(self.servers):
            await server.cluster("SET-CONFIG-EPOCH", str(number + 1))
        for number, server in enumerate(self.primaries):
            first, end = (SLOTS * at // PRIMARIES for at in (number, number + 1))
            await server.cluster("ADDSLOTSRANGE", str(first), str(end - 1))
        for server in self.servers[1:]:
            known = self.servers[0]
            await server.cluster("MEET", "127.0.0.1", str(known.served), str(known.bus))
        await _until(partial(self._all, self._knows_all))
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            await replica.cluster("REPLICATE", await primary.id())
        self._formed = True

    async def _knows_all(self, server: ClusterServer) -> bool:
        return f"cluster_known_nodes:{len(self.servers)}" in await server.cluster("INFO")

    async def _all(self, holds: Callable[[ClusterServer], Awaitable[bool]]) -> bool:
        return all([await holds(server) for server in self.servers])

    async def whole(self) -> None:
        """Return once all servers answer, all slots are served, and all replicas are in step."""
        await _until(partial(self._all, self._is_whole))

    async def _is_whole(self, server: ClusterServer) -> bool:
        with suppress(OSError):
            if "cluster_state:ok" not in await server.cluster("INFO"):
                return False
            nodes = await server.cluster("NODES")
            if "fail" in nodes or nodes.count("slave ") != len(self.replicas):
                return False
            said = await server.ask("INFO", "replication")
            return b"role:master" in said or b"master_link_status:up" in said
        return False

    async def empty(self) -> None:
        """Let there be nothing, for the next test."""
        for server in self.primaries:
            await server.ask("FLUSHALL")

    async def kill(self) -> None:
        for server in self.servers:
            await server.kill()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def restart_empty(self) -> None:
        await self.kill()
        for server in self.servers:
            server.forget()
        await self.start()

    def freeze(self) -> None:
        for server in self.servers:
            server.freeze()

    def thaw(self) -> None:
        for server in self.servers:
            server.thaw()

    def end(self) -> None:
        """End all for good."""
        for server in self.servers:
            server.end()

    async def stop(self) -> None:
        self.end()

    @property
    def url(self) -> str:
        """For ``store.url``."""
        hosts = ",".join(f"127.0.0.1:{server.served}" for server in self.servers)
        kind = "redis" if self.servers[0].served == self.servers[0].port else "rediss"
        return f"{kind}+cluster://{hosts}"

    def engine(self, **settings: Any) -> RedisEngine:
        """A hub's connection to it, not open yet."""
        return RedisEngine(reached_by(*(server.port for server in self.servers)), **settings)

    # Which server has what

    async def owner(self, slot: int) -> ClusterServer:
        """The primary of a slot, as it says itself."""
        for server in self.servers:
            with suppress(OSError):
                for line in (await server.cluster("NODES")).splitlines():
                    (
                        _,
                        _,
                        flags,
                        *_,
                    ) = words = line.split()
                    if "myself,master" in flags and _has(words[8:], slot):
                        return server
        raise AssertionError(f"nobody has slot {slot}")

    async def another(self, slot: int) -> ClusterServer:
        """A primary that does not have a slot."""
        owner = await self.owner(slot)
        found = [one for one in self.servers if one is not owner and await one.role() == "master"]
        return found[0]

    async def replica_of(self, primary: ClusterServer) -> ClusterServer:
        """The only replica of a primary."""
        id_ = await primary.id()
        said = (await primary.cluster("NODES")).splitlines()
        (own,) = [line.split()[0] for line in said if line.split()[3] == id_]
        (found,) = [one for one in self.servers if await one.id() == own]
        return found

    async def move(self, slot: int, to: ClusterServer, *, slowly: float = 0.0) -> None:
        """Move a slot as ``redis-cli --cluster reshard`` does; pause before each of its keys."""
        owner = await self.owner(slot)
        assert owner is not to
        await to.cluster("SETSLOT", str(slot), "IMPORTING", await owner.id())
        await owner.cluster("SETSLOT", str(slot), "MIGRATING", await to.id())
        while keys := await _keys_in(owner, slot, 1 if slowly else COPIED):
            await asyncio.sleep(slowly)
            words = ("127.0.0.1", str(to.served), '""', "0", "5000", "KEYS", *keys)
            assert await owner.ask("MIGRATE", *words) in (b"+OK\r\n", b"+NOKEY\r\n")
        for server in (to, owner, *self.servers):
            if await server.role() == "master":
                await server.cluster("SETSLOT", str(slot), "NODE", await to.id())

    async def promoted(self, replica: ClusterServer) -> None:
        """Return once a replica is a primary, and the cluster serves all slots."""

        async def is_primary() -> bool:
            return await replica.role() == "master" and "cluster_state:ok" in await replica.cluster(
                "INFO"
            )

        await _until(is_primary)

    async def part(self, primary: ClusterServer, replica: ClusterServer) -> None:
        """Let a replica hear of no more writes; it still hears whether its primary lives."""
        await primary.ask("ACL", "SETUSER", "default", "-psync", "-sync")
        await primary.ask("CLIENT", "KILL", "TYPE", "replica")

        async def parted() -> bool:
            return b"master_link_status:down" in await replica.ask("INFO", "replication")

        await _until(parted)

    async def promote(self, replica: ClusterServer) -> None:
        """Let a replica take the place of its primary, which lives."""
        await replica.cluster("FAILOVER")
        await self.promoted(replica)


def reached_by(*ports: int) -> Cluster:
    """The cluster of which these servers of this machine are."""
    urls = [f"redis://127.0.0.1:{port}" for port in ports]
    return Cluster(urls, lambda host, port: f"redis://{host}:{port}")


def _has(ranges: Sequence[str], slot: int) -> bool:
    for each in ranges:
        first, _, last = each.partition("-")
        if not each.startswith("[") and int(first) <= slot <= int(last or first):
            return True
    return False


async def _keys_in(server: ClusterServer, slot: int, count: int) -> list[str]:
    said = await server.ask("CLUSTER", "GETKEYSINSLOT", str(slot), str(count))
    return [f'"{key}"' for key in said.decode().split("\r\n")[2::2]]


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds of other processes."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - they do not tell
            await asyncio.sleep(0.02)
