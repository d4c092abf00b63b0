"""The lease of this hub among others, and the end of generations whose hub has died.

A hub renews its lease several times while it lasts. One that does not is taken for dead: another
hub ends its generations as interrupted. If it only stood still, it finds that its generations are
over when it goes on, and nothing that it writes is taken. A hub that is still connected has
longer (`hub.stores.shared.CONNECTED_LEASES`): it may be busy for a second, and the connections of
a process that was killed are closed at once.

No lease ends while the engine is away, because nobody could renew one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from hub.domain import defaults
from hub.domain.errors import Gone, HubError, InvalidName, StoreError, StreamNotFound
from hub.domain.events import encode
from hub.generations.recovery import interrupted
from hub.streams.mirrors import Mirrors

__all__ = ["Leases", "interrupt"]

log = logging.getLogger("hub.runs")

RENEWALS: Final = 4
"""How often a lease is renewed while it lasts."""


class Leases:
    """Renews the lease of the hub with the name ``node``; `run` it in a task.

    ``take_on`` goes on with a stream in which another hub has left a generation.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        node: str,
        *,
        seconds: float = defaults.LEASE,
        take_on: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._mirrors = mirrors
        self._node = node
        self._seconds = seconds
        self._take_on = take_on
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Renew the lease, and end what other hubs have left, until cancelled."""
        try:
            while True:
                try:
                    for dead in await self._mirrors.engine.renew(self._node, self._seconds):
                        self._end_in_task(dead)
                except StoreError as error:
                    log.debug("the lease is not renewed: %s", error)
                await asyncio.sleep(self._seconds / RENEWALS)
        finally:
            tasks = list(self._ending.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self) -> None:
        """End the lease of this hub, if none of its generations is left."""
        with suppress(StoreError):
            await self._mirrors.engine.forget(self._node)

    def _end_in_task(self, dead: str) -> None:
        if dead not in self._ending:
            task = self._ending[dead] = asyncio.create_task(self._end(dead))
            task.add_done_callback(lambda _: self._ending.pop(dead, None))

    async def _end(self, dead: str) -> None:
        """End all generations of a hub; what fails is tried again after another lease."""
        log.warning("hub %s is gone: its generations are interrupted", dead)
        try:
            engine = self._mirrors.engine
            for stream, generation in await engine.runs(dead):
                await interrupt(self._mirrors, stream, generation)
                if self._take_on is not None:
                    await self._take_on(stream)  # before it is struck, or nobody would
                await engine.strike(dead, stream, generation)
            await engine.forget(dead)
        except HubError as error:
            log.warning("generations of hub %s have no end yet: %s", dead, error)


async def interrupt(mirrors: Mirrors, stream: str, generation: str) -> None:
    """Write the end of a generation that nobody runs, if it has none.

    Raises:
        StoreError: that is not known.
    """
    try:
        engine, mirror = mirrors.engine, await mirrors.fresh(stream)
        running = mirror.unfinished
        if running is None or running[0] != generation:
            return  # it has ended, or never began
        terminal = await interrupted(mirror, generation, running[1])
        await engine.end(stream, generation, [encode(terminal)], close=stream == generation)
    except (StreamNotFound, Gone, InvalidName):
        log.info("the stream of generation %s is gone", generation)
