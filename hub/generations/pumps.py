"""Tasks that begin the prompts which wait, one for each stream whose queue goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from hub.domain.errors import (
    Draining,
    LimitExceeded,
    StoreError,
    StreamBusy,
    StreamClosed,
    StreamNotFound,
)

__all__ = ["PASSING", "RETRY_SECONDS", "Pumps"]

RETRY_SECONDS: Final = 1.0
"""How long a prompt whose turn it is waits if the hub cannot run it at the moment."""

PASSING: Final = (
    Draining, LimitExceeded, StoreError, StreamBusy, StreamClosed, StreamNotFound
)  # fmt: skip
"""Errors after which it is looked again whether the same prompt can begin."""


class Pumps:
    """Runs ``pump`` for streams by name, until it returns; `close` it in the end."""

    def __init__(self, pump: Callable[[str], Awaitable[None]]) -> None:
        self._pump = pump
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.closed = False
        """Whether no more are started."""

    def start(self, stream: str) -> None:
        """Start the pump of a stream, unless it is at work."""
        if not self.closed and stream not in self._tasks:
            task = asyncio.create_task(self._run(stream), name=f"queue of {stream}")
            self._tasks[stream] = task

    async def _run(self, stream: str) -> None:
        try:
            await self._pump(stream)
        finally:
            # Not in a callback: whoever starts it in between would find it at work.
            del self._tasks[stream]

    async def close(self) -> None:
        """Cancel those that are at work, and start no more."""
        self.closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
