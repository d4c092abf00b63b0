"""Tasks that belong to an object: it starts them, notices when one fails, and ends all of them.

The loop itself only refers to tasks weakly, and says nothing of one that failed until it is
collected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from hub.domain.counters import Counters

__all__ = ["OwnedTasks"]


class OwnedTasks:
    """Tasks that run until they end, or until `stop`.

    The failure of one is logged by ``log``, as that of ``what``, and counted.
    """

    def __init__(self, what: str, log: logging.Logger, counts: Counters | None = None) -> None:
        self._what = what
        self._log = log
        self._counts = counts
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("%s has failed", self._what, exc_info=error)
            if self._counts is not None:
                self._counts.failures += 1

    async def stop(self) -> None:
        """Cancel those that are left, and wait for their ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
