"""Who waits for which stream to begin.

When it does, the first who wait are told in the same step, before anything is written; if
they are very many, the others follow in slices with turns of the loop between them. They
too read it from its start, so it makes no difference to what they get. If it goes again before
it is their turn, they wait for the next of its name.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import Final, Protocol

from hub.streams.followed import FollowedStream

__all__ = ["StreamWaiters", "Waiter"]

log = logging.getLogger("hub.streams")

SLICE: Final = 250
"""Waiters told without a turn of the loop."""


class Waiter(Protocol):
    """Somebody who waits for a stream that is not there yet."""

    def begun(self, stream: FollowedStream) -> None:
        """It has just begun; never waits, never raises. Told once."""


class StreamWaiters:
    """The waiters, by the name of the stream."""

    __slots__ = ("_beginning", "_waiters")

    def __init__(self) -> None:
        self._waiters: dict[str, dict[Waiter, None]] = {}
        self._beginning: dict[str, FollowedStream] = {}
        """Streams that not all who wait have been told of."""

    def __len__(self) -> int:
        return sum(map(len, self._waiters.values()))

    def add(self, name: str, waiter: Waiter) -> None:
        """Tell the waiter when a stream of this name begins."""
        self._waiters.setdefault(name, {})[waiter] = None

    def remove(self, name: str, waiter: Waiter) -> None:
        """It waits no longer."""
        waiters = self._waiters.get(name, {})
        waiters.pop(waiter, None)
        if not waiters:
            self._waiters.pop(name, None)

    def begun(self, stream: FollowedStream) -> None:
        """A stream has begun: all who wait for it are told."""
        self._beginning[stream.name] = stream
        self._tell(stream)

    def gone(self, stream: FollowedStream) -> None:
        """It was deleted: nobody is told of it any more."""
        if self._beginning.get(stream.name) is stream:
            del self._beginning[stream.name]

    def _tell(self, stream: FollowedStream) -> None:
        if self._beginning.get(stream.name) is not stream:
            return
        waiters = self._waiters.get(stream.name, {})
        for waiter in list(islice(waiters, SLICE)):
            self.remove(stream.name, waiter)
            try:
                waiter.begun(stream)
            except Exception:
                log.exception("somebody who waited for stream %s was not told", stream.name)
        if waiters:
            asyncio.get_running_loop().call_soon(self._tell, stream)
        else:
            del self._beginning[stream.name]
