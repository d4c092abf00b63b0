"""States of translations at places in streams, from which readers in the middle go on.

A reader that begins in the middle needs the translation of all records before (see
`hub.protocols.conversation.view`). So that this is not done again for each request, copies of the
state are kept every so many records: a later reader goes on from the nearest one. Only one reader
of the same view walks at a time, and the others find what it leaves.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from hub.protocols.conversation.view import Translation
from hub.streams.followed import FollowedStream
from hub.streams.frozen import FrozenStream

__all__ = ["Checkpoints"]

View = tuple[str, ...]
"""The name of a view among those of a stream."""

SPACING: Final = 1024
"""Records between two states, at least."""

STATES: Final = 128
"""The most states of one view. Beyond it every other one is dropped."""

STATE_BYTES: Final = 64 * 1024
"""The most bytes of one state; a larger one is not kept."""

VIEWS: Final = 16
"""The views of one stream that are kept, those that were used last."""

STREAMS: Final = 200
BYTES: Final = 16 * 1024 * 1024
"""The streams whose views are kept, and the bytes of all their states."""


class States:
    """The states of one view of a stream."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.lock = asyncio.Lock()
        self.size = 0
        self._spacing = SPACING
        self._offsets: list[int] = []
        self._states: list[Translation] = []

    def before(self, offset: int, begin: int) -> tuple[int, Translation] | None:
        """The last state between a place and an offset, and where it is."""
        row = bisect_right(self._offsets, offset) - 1
        if row < 0 or self._offsets[row] <= begin:
            return None
        return self._offsets[row], self._states[row].copy()

    def keep(self, offset: int, state: Translation) -> None:
        """Keep a copy of the state at an offset, if it is time for one."""
        if offset % self._spacing or (self._offsets and offset <= self._offsets[-1]):
            return
        size = state.size
        if size > STATE_BYTES:
            return
        self._offsets.append(offset)
        self._states.append(state.copy())
        self.size += size
        if len(self._offsets) > STATES:
            self._spacing *= 2
            kept = [row for row, at in enumerate(self._offsets) if at % self._spacing == 0]
            self._offsets = [self._offsets[row] for row in kept]
            self._states = [self._states[row] for row in kept]
            self.size = sum(state.size for state in self._states)


class Checkpoints:
    """The states of views, of the streams that were read last."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[FollowedStream, OrderedDict[View, States]]
        self._kept = WeakKeyDictionary()

    @property
    def size(self) -> int:
        """The bytes of all states."""
        return sum(states.size for views in self._kept.values() for states in views.values())

    @asynccontextmanager
    async def of(self, stream: FollowedStream, view: View) -> AsyncIterator[States]:
        """The states of a view, for one reader at a time."""
        if isinstance(stream, FrozenStream):
            stream = stream.of  # it has the same records
        views = self._kept.pop(stream, OrderedDict())
        self._kept[stream] = views
        states = views.get(view)
        if states is None or states.epoch != stream.epoch:
            states = views[view] = States(stream.epoch)
        views.move_to_end(view)
        if len(views) > VIEWS:
            views.popitem(last=False)
        try:
            async with states.lock:
                yield states
        finally:
            self._evict()

    def _evict(self) -> None:
        size = self.size
        while self._kept and (size > BYTES or len(self._kept) > STREAMS):
            oldest = self._kept.pop(next(iter(self._kept)))
            size -= sum(states.size for states in oldest.values())
