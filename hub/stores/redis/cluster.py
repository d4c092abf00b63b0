"""Which servers of a cluster are primaries, and which of them has a slot.

A cluster divides all keys into slots, and each slot has one primary. It may get another: its
replica, if it is gone, or any other server that an operator moves it to. The servers of a cluster
do not learn of that at the same moment. Each primary has a number, the epoch of its configuration,
which rises whenever it claims a slot; so for each slot the claim with the highest one counts,
whoever tells of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from hub.stores.redis.client import Commands, unavailable
from hub.stores.redis.keys import SLOTS
from hub.stores.redis.watch import Watch

__all__ = ["Cluster", "ClusterState", "ClusterWatch", "Layout"]

PRIMARY: Final = "master"
REPLICA: Final = "slave"
UNKNOWN: Final = frozenset(("handshake", "noaddr"))
"""Flags of servers of which nothing is known yet, or any more."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Some servers of a cluster, and how the others are reached that they name."""

    urls: Sequence[str] = field(repr=False)  # with a password, perhaps
    url_of: Callable[[str, int], str]
    """The URL of the server at a host and port."""
    found: list[str] = field(default_factory=list, repr=False)
    """The URLs of all servers as they were named last: those of ``urls`` may be gone by now."""


class _Server(NamedTuple):
    """A server, as one of them sees it."""

    url: str
    primary: str
    """The id of its primary; empty if it is one."""
    id: str
    epoch: int
    slots: tuple[tuple[int, int], ...]
    """Ranges of the slots that it has, with their last ones."""
    gone: bool
    itself: bool
    """It is the one that says so."""

    @classmethod
    def parse(cls, line: str, asked: str, url_of: Callable[[str, int], str]) -> Self:
        """Read a line of ``CLUSTER NODES``.

        ``asked`` is the URL of the server that says so, which may not know its own host.
        """
        id_, address, flags, primary, _, _, epoch, _, *slots = line.split()
        host, _, port = address.partition(",")[0].partition("@")[0].rpartition(":")
        # What it is announced as, if it is: certificates are for names.
        host = address.partition(",")[2].partition(",")[0] or host
        kinds = flags.split(",")
        return cls(
            url=url_of(host, int(port)) if host else asked,
            primary="" if PRIMARY in kinds else primary,
            id=id_,
            epoch=int(epoch),
            # Those in brackets are being moved, and are still where they were.
            slots=tuple(map(_range, (each for each in slots if not each.startswith("[")))),
            gone="fail" in kinds,
            itself="myself" in kinds,
        )


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


class Layout:
    """Which primary has each slot."""

    def __init__(self, servers: Sequence[_Server]) -> None:
        """``servers`` are what any of them says of any of them."""
        owners = [""] * SLOTS
        for server in sorted(set(servers), key=lambda one: one.epoch):
            if not server.primary:
                for first, last in server.slots:
                    owners[first : last + 1] = [server.url] * (last + 1 - first)
        self._owners = owners
        self.primaries = tuple(sorted(set(owners) - {""}))
        """The URLs of those that have slots."""

    def url_at(self, slot: int) -> str:
        """The URL of the primary that has a slot.

        Raises:
            StoreError: ``store_unavailable``: none has it.
        """
        if not self._owners[slot]:
            missing = self._owners.count("")
            raise unavailable(f"no server of the cluster has slot {slot} ({missing} in all)")
        return self._owners[slot]

    def agrees(self, other: Layout, slots: Iterable[int]) -> bool:
        """Whether both have these slots at the same primaries."""
        return all(self._owners[slot] == other._owners[slot] for slot in slots)

    def has(self, url: str, slot: int) -> bool:
        """Whether a slot is that of a primary."""
        return self._owners[slot] == url


class ClusterState(NamedTuple):
    """What there is of servers in a cluster."""

    primaries: int
    replicas: int
    alone: tuple[str, ...]
    """The addresses of primaries without a replica."""
    silent: tuple[str, ...]
    """The addresses of servers that do not answer."""

    def __str__(self) -> str:
        primaries = "1 primary" if self.primaries == 1 else f"{self.primaries} primaries"
        replicas = "1 replica" if self.replicas == 1 else f"{self.replicas} replicas"
        silent = f"; no answer from {', '.join(self.silent)}" if self.silent else ""
        return f"cluster of {primaries} and {replicas}{silent}"


class ClusterWatch(Watch[tuple[_Server, ...]]):
    """Asks all servers of a cluster until it is closed; `open` it first."""

    noun = "a server of the cluster"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__([*cluster.urls, *cluster.found])
        self._cluster = cluster

    async def layout(self) -> Layout:
        """Where each slot is.

        Raises:
            StoreError: ``store_unavailable``: no server knows it now; otherwise the message says
                what to change.
        """
        await self._answered()
        self._cluster.found[:] = [one.url for one in self._named]
        return self.newest

    @property
    def newest(self) -> Layout:
        """Where each slot is, as far as any server has told."""
        return Layout([one for answer in self._answers.values() for one in answer])

    async def changed(self) -> None:
        """Return once any server tells something else than before, or nothing any more."""
        await self._heard()

    @property
    def state(self) -> ClusterState:
        servers = self._named
        primaries = {one.id for one in servers if not one.primary and one.slots}
        replicas = [one for one in servers if one.primary and not one.gone]
        alone = primaries - {one.primary for one in replicas}
        urls = {one.url for one in servers}
        silent = [one for one in servers if one.gone or one.url in self._silent]
        unnamed = [url for url in self._silent if url not in urls and not servers]
        return ClusterState(
            len(primaries),
            len(replicas),
            tuple(sorted(_address(one.url) for one in servers if one.id in alone)),
            tuple(sorted({*(_address(one.url) for one in silent), *map(_address, unnamed)})),
        )

    @property
    def _named(self) -> list[_Server]:
        """Each server, as whoever has heard the most recent claim sees it."""
        answers = self._answers.values()
        newest = max(answers, key=lambda answer: max(one.epoch for one in answer), default=())
        return list(newest)

    @property
    def _enough(self) -> bool:
        # A majority knows of every promotion. One that stands still is not waited for.
        return super()._enough or 2 * len(self._answers) > len(self._urls)

    async def _answer(self, url: str, commands: Commands) -> tuple[_Server, ...]:
        lines = (await commands.ask("CLUSTER", "NODES")).decode().splitlines()
        known = [line for line in lines if UNKNOWN.isdisjoint(line.split()[2].split(","))]
        return tuple(map(partial(_Server.parse, asked=url, url_of=self._cluster.url_of), known))

    def _take(self, url: str, answer: tuple[_Server, ...]) -> None:
        if self._is_strange(answer):
            self._fail(url, unavailable("a server is not of the same cluster as the others"))
            return
        for server in answer:
            if server.url not in self._urls and not server.gone:
                self._urls.append(server.url)
                self._tasks.append(asyncio.create_task(self._run(server.url)))
        super()._take(url, answer)

    def _is_strange(self, answer: tuple[_Server, ...]) -> bool:
        """Whether a server was taken out of the cluster, and perhaps into another one."""
        known = {one.id for said in self._answers.values() for one in said}
        others = {one.id for one in answer if not one.itself}
        return not known <= {one.id for one in answer} and known.isdisjoint(others)


def _address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
