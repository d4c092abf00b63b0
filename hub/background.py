"""Background tasks that run as long as the hub does, and must not fail silently.

A background task that fails, or is cancelled from outside, is logged, counted and restarted after
a moment. The hub is not ready (`Background.trouble`) until the task has run for a while, so that
an operator notices a task that fails repeatedly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hub.domain.counters import Counters

__all__ = ["Background"]

log = logging.getLogger("hub")

PAUSE_SECONDS: Final = 0.5
"""Between the end of a task and its restart."""

SOUND_SECONDS: Final = 5.0
"""After this time without a failure a task counts as sound again."""


class Background:
    """Runs ``work`` until `stop`; ``what`` names the task."""

    def __init__(
        self, what: str, work: Callable[[], Coroutine[Any, Any, None]], counts: Counters
    ) -> None:
        self._what = what
        self._work = work
        self._counts = counts
        self._stopping = False
        self._failed_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name=self._what)
        self._task.add_done_callback(self._handle_end)

    async def stop(self) -> None:
        """Cancel the task and wait for its end."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def trouble(self) -> str | None:
        """Why the task cannot be relied on at the moment, in a sentence."""
        if self._failed_at is None:
            return None
        if asyncio.get_running_loop().time() - self._failed_at < SOUND_SECONDS:
            return f"the hub failed in {self._what} and tries again: see its log"
        return None

    def _handle_end(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        log.error("%s has ended and is restarted", self._what, exc_info=error)
        self._counts.failures += 1
        loop = asyncio.get_running_loop()
        self._failed_at = loop.time()
        self._restart = loop.call_later(PAUSE_SECONDS, self.start)
