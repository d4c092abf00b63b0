"""Reads several sources ahead, each in a task of its own, up to a number of items.

A step that waits for two things at once (an item or a timer, one source or another) cannot cancel
the read that it waits for: the item on its way would be lost, and the source with it. So reads run
in tasks, and only the wait for their items is given up.

Each source is opened, read and closed in one task, as sources need that hold a timeout or a task
group across their items.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

__all__ = ["Batches", "Prefetch"]

T = TypeVar("T")

Batches = AsyncGenerator[Iterable[T], None]
"""The items of a source or of a pipeline's step, those of one read at a time."""


class Prefetch(Generic[T]):
    """The items of all sources as they come; at most ``ahead`` of them wait to be taken."""

    def __init__(self, sources: Iterable[Batches[T]], ahead: int) -> None:
        self._free = asyncio.Semaphore(ahead)
        self._came: deque[T] = deque()
        self._news = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()
        self._ended: deque[asyncio.Task[None]] = deque()
        for source in sources:
            read = asyncio.create_task(self._read(source))
            read.add_done_callback(self._note_end)
            self._reads.add(read)

    async def __aenter__(self) -> Prefetch[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def take(self, most: int, until: float | None = None) -> list[T] | None:
        """The items that have come, oldest first: at least one and at most ``most``.

        Gives an empty list when every source has ended, and ``None`` when nothing has come until
        ``until`` (a time of the event loop's clock). A cancel loses no item.

        Raises:
            Exception: the error of a source, after all items that came before it.
        """
        while not self._came:
            while self._ended:
                self._ended.popleft().result()
            if not self._reads:
                return []
            self._news.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return None
        taken = [self._came.popleft() for _ in range(min(most, len(self._came)))]
        for _ in taken:
            self._free.release()
        return taken

    async def aclose(self) -> None:
        """Stop the reads and wait until each has closed its source.

        Raises:
            Exception: the first error from closing a source.
        """
        reads = [read for read in self._reads if not read.done()]
        for read in reads:
            read.cancel()
        # If this is cancelled, gather cancels the reads again, and still waits for all of them.
        for outcome in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _read(self, source: Batches[T]) -> None:
        async with aclosing(source):
            async for batch in source:
                for item in batch:
                    await self._free.acquire()
                    self._came.append(item)
                    self._news.set()

    def _note_end(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._ended.append(read)
        if not read.cancelled():
            read.exception()  # retrieved: nobody may ask for it after leaving early
        self._news.set()
