"""Sources that record what becomes of them, and a way to cancel a task at each of its waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

__all__ = ["Recorded", "cancelled_at_every_wait", "generated", "nothing_left"]

T = TypeVar("T")


class Recorded(Generic[T]):
    """A source of ``items`` that waits ``wait`` seconds before each, then fails or ends.

    ``read`` counts the items it has given, ``closed`` how often it was closed, which takes
    a turn of the loop, as closing a socket may. ``waiting`` is set while it hangs, ``left``
    once it is closed. ``wait=None`` never waits.
    """

    delimited = False

    def __init__(
        self,
        items: Iterable[T],
        *,
        wait: float | None = 0,
        fails: Exception | None = None,
        hangs: bool = False,
    ) -> None:
        self._items = iter(items)
        self._wait = wait
        self._fails = fails
        self._hangs = hangs
        self.read = 0
        self.opened = 0
        self.closed = 0
        self.waiting = asyncio.Event()
        self.left = asyncio.Event()

    def __aiter__(self) -> Self:
        self.opened += 1
        return self

    async def __anext__(self) -> T:
        if self._wait is not None:
            await asyncio.sleep(self._wait)
        for item in self._items:
            self.read += 1
            return item
        if self._fails is not None:
            raise self._fails
        if self._hangs:
            self.waiting.set()
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1
        self.left.set()
        await asyncio.sleep(0)


async def generated(source: Recorded[T]) -> AsyncIterator[T]:
    """The same source as an asynchronous generator, which closes in another way."""
    try:
        async for item in source:
            yield item
    finally:
        await source.aclose()


def nothing_left() -> bool:
    """No task runs but the one that asks."""
    return asyncio.all_tasks() == {asyncio.current_task()}


async def cancelled_at_every_wait(
    run: Callable[[], Awaitable[Any]], check: Callable[[], None], most: int = 200
) -> int:
    """Run again and again, each time cancelled one turn of the loop later.

    ``check`` is called after each; gives how many cancels there were.
    """
    for turns in range(most):
        task = asyncio.ensure_future(run())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            await task
            check()
            return turns
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        check()
    return most
