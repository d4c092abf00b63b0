"""A hub without its transports, for tests with several of them in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hub.backends import HubLimits, SharedBackend, SharedStore
from hub.domain.counters import Counters
from hub.domain.events import TERMINALS, Event
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.generations.admission import RunLimits
from hub.stores.memory import MemoryCredentials
from hub.streams.mirrors import Mirrors
from hub.upstreams.registry import Upstreams
from tests.support.fake_upstream import FakeUpstream
from tests.support.shared_servers import SharedServer

__all__ = ["Node", "StartNode"]

SETTLE: Final = 0.2


class Node:
    """A hub without its transports, over one upstream."""

    def __init__(self, server: SharedServer, name: str, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.counts = Counters()
        self.allowance = MemoryBudget(2**30)
        self.backend = SharedBackend(
            SharedStore(
                lambda known: server.engine(known=known, settle_seconds=SETTLE),
                lambda _: MemoryCredentials(),
                name,
            ),
            Upstreams({upstream.name: upstream}, upstream.name),
            HubLimits(runs=RunLimits(generations=10)),
            allowance=self.allowance,
            counts=self.counts,
        )
        self.runs = self.backend.runs
        self._work: list[asyncio.Task[None]] = []

    @property
    def mirrors(self) -> Mirrors:
        return self.backend._mirrors

    async def start(self) -> None:
        await self.backend.start()
        self._work = [asyncio.create_task(work()) for work in self.backend.work.values()]

    async def stop(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self.backend.drain(0.0)
        await self.backend.stop()
        assert self.runs.active == 0
        assert self.allowance.held == 0

    async def ask(self, prompt: str | None = "Hi", **fields: Any) -> Generation:
        return await self.runs.start(GenerationRequest(prompt, **fields))

    async def events(self, stream: str) -> list[Event]:
        mirror = await self.backend.streams.open(stream)
        return [event async for event in mirror.events()]

    async def ends(self, stream: str) -> list[str]:
        found = [event for event in await self.events(stream) if isinstance(event, TERMINALS)]
        return [type(event).__name__ for event in found]


StartNode = Callable[..., Awaitable[Node]]
