"""Reading ahead: several sources, each read in a task of its own, a bounded number of items.

A pipeline's step that must wait for two things at once (an item or a timer, this source or
that one) cannot do so by cancelling the read it waits for: the item that was on its way
would be lost, and the source with it. So the reads go on in tasks, and only the wait for
what they brought is given up.

Each source is opened, read and closed in one task from first to last, as sources that hold
a timeout or a task group across their items need it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Batches", "Prefetch"]

T = TypeVar("T")

Batches = AsyncGenerator[Iterable[T], None]
"""What a source or a step of a pipeline gives: the items of one read at a time."""


class Prefetch(Generic[T]):
    """The items of all sources as they come, at most ``ahead`` of them waiting to be taken."""

    def __init__(self, sources: Iterable[Batches[T]], ahead: int) -> None:
        self._free = asyncio.Semaphore(ahead)
        self._came: deque[T] = deque()
        self._news = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()
        self._ended: deque[asyncio.Task[None]] = deque()
        for lots in sources:
            read = asyncio.create_task(self._read(lots))
            read.add_done_callback(self._note_end)
            self._reads.add(read)

    async def __aenter__(self) -> Prefetch[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def take(self, most: int, until: float | None = None) -> list[T] | None:
        """The items that are here, at least one and at most ``most``, oldest first.

        An empty list when every source has ended; ``None`` when it is ``until`` (a time of
        the event loop's clock) and nothing has come. Cancelled, it loses no item.

        Raises:
            Exception: what a source raised, after all items that came before it.
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
            Exception: the first error that closing a source gave.
        """
        reads = [read for read in self._reads if not read.done()]
        for read in reads:
            read.cancel()
        # Cancelled in turn, gather passes that on, yet still waits for all of them.
        for outcome in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _read(self, lots: Batches[T]) -> None:
        async with aclosing(lots):
            async for lot in lots:
                for item in lot:
                    await self._free.acquire()
                    self._came.append(item)
                    self._news.set()

    def _note_end(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._ended.append(read)
        if not read.cancelled():
            read.exception()  # seen: whoever leaves early is not told what he did not ask for
        self._news.set()
