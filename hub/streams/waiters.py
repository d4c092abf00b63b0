"""Waiters for streams that do not exist yet.

When the stream begins, the first waiters are called in the same step, before anything is written.
If there are very many, the others follow in slices with iterations of the loop between them; they
also read the stream from its start, so they miss nothing. If the stream is removed before their
turn, they wait for the next one of its name.
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
"""Waiters called within one iteration of the loop."""


class Waiter(Protocol):
    """Waits for a stream that does not exist yet."""

    def begun(self, stream: FollowedStream) -> None:
        """Called once when the stream has begun; never waits, never raises."""


class StreamWaiters:
    """The waiters of all streams, by name."""

    __slots__ = ("_beginning", "_waiters")

    def __init__(self) -> None:
        self._waiters: dict[str, dict[Waiter, None]] = {}
        self._beginning: dict[str, FollowedStream] = {}
        """Streams of which not all waiters have been told."""

    def __len__(self) -> int:
        return sum(map(len, self._waiters.values()))

    def __contains__(self, name: str) -> bool:
        """Whether a stream of this name is waited for, or not all of its waiters were called."""
        return name in self._waiters or name in self._beginning

    @property
    def names(self) -> frozenset[str]:
        """The names of the streams that are waited for, or not all of whose waiters were called."""
        return frozenset([*self._waiters, *self._beginning])

    def add(self, name: str, waiter: Waiter) -> None:
        """Call the waiter when a stream of this name begins."""
        self._waiters.setdefault(name, {})[waiter] = None

    def remove(self, name: str, waiter: Waiter) -> None:
        """Do not call the waiter."""
        waiters = self._waiters.get(name, {})
        waiters.pop(waiter, None)
        if not waiters:
            self._waiters.pop(name, None)

    def begun(self, stream: FollowedStream) -> None:
        """Call all waiters of a stream, because it has begun."""
        self._beginning[stream.name] = stream
        self._tell(stream)

    def gone(self, stream: FollowedStream) -> None:
        """Call no more waiters of a stream, because it was removed."""
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
                log.exception("a waiter for stream %s failed", stream.name)
        if waiters:
            asyncio.get_running_loop().call_soon(self._tell, stream)
        else:
            del self._beginning[stream.name]
