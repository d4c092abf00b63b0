"""Hubs on one shared engine, in one process, each with connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from hub.domain.errors import StoreError
from hub.stores.shared import SharedEngine
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.wait import until
from tests.support.patience import PATIENCE
from tests.support.shared_servers import Engines

__all__ = ["Nodes", "back", "bodies", "shown"]

SETTLE: Final = 0.3


class Nodes:
    """Starts nodes on a server, and stops all of them."""

    def __init__(self, server: Engines, *, settle_seconds: float = SETTLE) -> None:
        self._server = server
        self._settle_seconds = settle_seconds
        self._nodes: list[Mirrors] = []

    async def start(self, **settings: Any) -> Mirrors:
        """Another node; ``settings`` are those of `Mirrors`."""
        self._nodes.append(Mirrors(self._connect, **settings))
        await self._nodes[-1].start()
        return self._nodes[-1]

    def _connect(self, known: Mapping[int, int]) -> SharedEngine:
        return self._server.engine(known=known, settle_seconds=self._settle_seconds)

    async def stop(self) -> None:
        for node in self._nodes:
            await node.stop()


async def bodies(mirror: Mirror) -> list[bytes]:
    """All records, also those that are not in memory."""
    return [record.body async for part in mirror.stretches() for record in part]


async def shown(mirror: Mirror, tail: int) -> list[bytes]:
    """The records once there are so many."""
    async with asyncio.timeout(PATIENCE):
        assert await until(mirror, lambda: mirror.tail >= tail)
    return await bodies(mirror)


async def back(node: Mirrors) -> SharedEngine:
    """The engine, once the node is connected again and has compared its mirrors."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(StoreError):
                engine = node.engine
                if all(held.waiting is None for held in node._held.values()):
                    return engine
            await asyncio.sleep(0.01)
