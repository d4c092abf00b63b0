"""A generation as its stream tells it, for code that waits for it.

The code that runs a generation has an object that changes with every step. Code that waits for one
reads its events instead, as every other reader does. So it may be in another process, and sees
nothing before it is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from hub.domain.generation import Generation
from hub.domain.records import Position, Record
from hub.streams import wait
from hub.streams.followed import FollowedStream

__all__ = ["FollowedGeneration"]

Condition = Callable[[Generation], bool]


class FollowedGeneration:
    """One generation in a stream, read from its first event on."""

    def __init__(self, stream: FollowedStream, generation: Generation) -> None:
        """Follow the generation with this id, from its position."""
        position = generation.position or Position(0, 0)
        self.seen = Generation.told(generation.id, stream.name, position, ())
        """The generation as far as it has been read."""
        self._stream = stream
        self._next = position.offset
        """The offset of the next record to read."""

    async def until(self, met: Condition, *, within: float | None = None) -> bool:
        """Read until ``met(seen)`` is true; false after ``within`` seconds, or if no more comes.

        The condition is checked after each event of the generation, and nothing is read after the
        event that meets it.
        """
        if met(self.seen):
            return True
        time = asyncio.get_running_loop().time
        until = None if within is None else time() + within
        while True:
            if await self._catch_up(met):
                return True
            left = None if until is None else until - time()
            if self.over or (left is not None and left <= 0):
                return False
            await wait.until(self._stream, partial(self._read_new, met), within=left)
            if met(self.seen):
                return True

    @property
    def over(self) -> bool:
        """Whether everything has been read, or the rest never can be."""
        stream = self._stream
        return stream.lost or (stream.closed and self._next >= stream.tail)

    async def _catch_up(self, met: Condition) -> bool:
        """Read up to the tail, from the store where needed."""
        end = self._stream.tail
        async for records in self._stream.stretches(self._next):
            if self._read(records, met):
                return True
        # Records that were trimmed or removed in the meantime are skipped.
        self._next = max(self._next, end)
        return False

    def _read_new(self, met: Condition) -> bool:
        """Read new records in the round in which followers are sent them.

        True if the condition is met, or if only `_catch_up` can continue.
        """
        stream = self._stream
        if met(self.seen) or self._next < stream.warm:
            return True
        return self._read(stream.newest(self._next, stream.tail), met) or stream.closed

    def _read(self, records: Iterable[Record], met: Condition) -> bool:
        seen = self.seen
        for record in records:
            self._next = record.offset + 1
            event = record.event
            if event is not None and getattr(event, "generation", None) == seen.id:
                seen.hear(event)
                if met(seen):
                    return True
        return False
