"""Tasks that run as long as the hub does, and must not end unseen.

A background task that fails is logged, counted and begun again after a moment, also when
somebody cancelled it from outside. Until it has run for a while the hub is not ready
(`Background.trouble`), so that an operator learns of a task that fails again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from hub.domain.counters import Counters

__all__ = ["Background"]

log = logging.getLogger("hub")

PAUSE_SECONDS: Final = 0.5
"""Between the end of a task and its new beginning."""

SOUND_SECONDS: Final = 5.0
"""A task that has run for so long since its last failure is trusted again."""


class Background:
    """One task: ``work`` runs until `stop`; ``what`` says what is not done while it does not."""

    def __init__(self, what: str, work: Callable[[], Awaitable[None]], counts: Counters) -> None:
        self._what = what
        self._work = work
        self._counts = counts
        self._stopping = False
        self._failed_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._what)
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the task and wait until it has ended."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def trouble(self) -> str | None:
        """Why this is not to be relied on just now, in a sentence."""
        if self._failed_at is None:
            return None
        if asyncio.get_running_loop().time() - self._failed_at < SOUND_SECONDS:
            return f"the hub failed in {self._what}, and tries again: its log says more"
        return None

    async def _run(self) -> None:
        await self._work()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        log.error("%s has ended and begins again", self._what, exc_info=error)
        self._counts.failures += 1
        loop = asyncio.get_running_loop()
        self._failed_at = loop.time()
        self._again = loop.call_later(PAUSE_SECONDS, self.start)
