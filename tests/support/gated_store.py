"""A store whose every wait ends when a test says so: for schedules of races."""

from __future__ import annotations

import asyncio

from hub.stores import Keyed
from hub.stores.memory import MemoryStore

__all__ = ["GatedStore"]


class GatedStore(MemoryStore):
    """Waits in each method until one of ``waits`` is released; with ``open`` it does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.open = True
        self.waits: list[asyncio.Future[None]] = []

    def release(self, which: int) -> None:
        """End one wait, if there is any."""
        if self.waits:
            wait = self.waits.pop(which % len(self.waits))
            if not wait.done():
                wait.set_result(None)

    def release_all(self) -> None:
        """End all waits, now and from now on."""
        self.open = True
        while self.waits:
            self.release(0)

    async def load(self, stream: str) -> None:
        await self._wait()

    async def keyed(self, key: str) -> Keyed | None:
        await self._wait()
        return None

    async def waiting_in(self, generation: str) -> str | None:
        await self._wait()
        return await super().waiting_in(generation)

    async def synced(self, stream: str | None = None) -> None:
        await self._wait()

    async def _wait(self) -> None:
        if not self.open:
            self.waits.append(wait := asyncio.get_running_loop().create_future())
            await wait
