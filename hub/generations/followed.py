"""A generation as its stream tells it, for whoever waits for it.

Whoever runs it has an object that changes with every step. Whoever waits reads the events instead,
as every other reader does, and so may be in another process, and sees nothing before it is shown.
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

Met = Callable[[Generation], bool]


class FollowedGeneration:
    """One generation in a stream, read from where its story begins."""

    def __init__(self, stream: FollowedStream, generation: Generation) -> None:
        """Follow a generation of which only the id and the position are used."""
        position = generation.position or Position(0, 0)
        self.seen = Generation.told(generation.id, stream.name, position, ())
        """The generation as far as it has been read."""
        self._stream = stream
        self._next = position.offset
        """The offset of the record that is to be read next."""

    async def until(self, met: Met, *, within: float | None = None) -> bool:
        """Read on until ``met(seen)`` is true, ``within`` seconds at most; whether it is.

        It is asked after each event of the generation, and nothing is read behind the one with
        which it is true. Also false if there is nothing more to come.
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
            await wait.until(self._stream, partial(self._hears, met), within=left)
            if met(self.seen):
                return True

    @property
    def over(self) -> bool:
        """All that there will ever be has been read, or cannot be."""
        stream = self._stream
        return stream.lost or (stream.closed and self._next >= stream.tail)

    async def _catch_up(self, met: Met) -> bool:
        """Read up to the tail, from the store if need be."""
        end = self._stream.tail
        async for records in self._stream.stretches(self._next):
            if self._read(records, met):
                return True
        # What was trimmed or removed in the meantime cannot be read any more.
        self._next = max(self._next, end)
        return False

    def _hears(self, met: Met) -> bool:
        """Read what was just written, in the round in which followers are sent it.

        True if that was what is waited for, or if only `_catch_up` can go on.
        """
        stream = self._stream
        if met(self.seen) or self._next < stream.warm:
            return True
        return self._read(stream.newest(self._next, stream.tail), met) or stream.closed

    def _read(self, records: Iterable[Record], met: Met) -> bool:
        seen = self.seen
        for record in records:
            self._next = record.offset + 1
            event = record.event
            if event is not None and getattr(event, "generation", None) == seen.id:
                seen.hear(event)
                if met(seen):
                    return True
        return False
