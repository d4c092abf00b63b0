"""The streams there are: opened by name, bounded in number and memory, forgotten in time."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from typing import Final

from hub.counts import Counts
from hub.errors import InvalidName, LimitExceeded, StreamNotFound
from hub.stores import Created, Removed, Saved, Store
from hub.stream import JSON, Retention, Stream

__all__ = ["StreamLimits", "Streams"]

# One or more segments of unreserved characters (RFC 3986 section 2.3) and a few more that
# need no escape in a path; no empty segment, and none that begins with a dot.
_NAME: Final = re.compile(
    r"[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*(?:/[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*)*"
)
RESERVED: Final = "__ds"
"""The prefix of the Durable Streams Protocol's own addresses."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds on all streams together; times in seconds, sizes in bytes."""

    streams: int = 10_000
    total_bytes: int = 512 * 1024 * 1024
    name_length: int = 200
    keep_closed: float = 3600.0
    keep_idle: float = 86400.0


class _Kept:
    """A stream, and since when nothing has happened to it."""

    __slots__ = ("since", "stream", "tail")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tail = stream.tail
        self.since = math.inf  # until it is looked at for the first time

    def look(self, now: float) -> None:
        if self.stream.tail != self.tail or self.stream.in_use or self.since > now:
            self.tail = self.stream.tail
            self.since = now


class Streams:
    """The registry of streams."""

    def __init__(
        self,
        store: Store,
        *,
        retention: Retention,
        limits: StreamLimits,
        slice_size: int,
        counts: Counts,
    ) -> None:
        self._store = store
        self._retention = retention
        self._limits = limits
        self._slice_size = slice_size
        self._counts = counts
        self._kept: dict[str, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of all records that are kept."""
        return sum(kept.stream.size for kept in self._kept.values())

    async def open(self, name: str) -> Stream:
        """A stream that there is.

        Raises:
            InvalidName: no stream can have this name.
            StreamNotFound: none has.
        """
        stream = await self._find(name)
        if stream is None:
            raise StreamNotFound(
                f'no stream is called "{name}": it begins with its first append or generation'
            )
        return stream

    async def create(self, name: str) -> Stream:
        """The stream of a name, begun if there is none.

        Raises:
            InvalidName: no stream can have this name.
            LimitExceeded: there are as many streams as there may be.
        """
        stream = await self._find(name)
        if stream is not None:
            return stream
        if len(self._kept) >= self._limits.streams:
            raise LimitExceeded("the hub holds as many streams as it may: try again later")
        epoch = self._store.epoch()
        self._store.note(Created(name, JSON, epoch))
        return self._keep(name, Saved(JSON, ((epoch, 0),), (), closed=False))

    async def flushed(self) -> None:
        """Wait until all that is written by now has been offered to its followers."""
        for stream, end in [(kept.stream, kept.stream.tail) for kept in self._kept.values()]:
            while not stream.fanout.flushed(end):  # noqa: ASYNC110 - a pass goes by turns of the loop
                await asyncio.sleep(0)

    def sweep(self, now: float) -> None:
        """Forget streams that closed or fell silent long ago, and what does not fit into memory.

        ``now`` is the loop's clock; called about once a second.
        """
        for name, kept in list(self._kept.items()):
            kept.look(now)
            limit = self._limits.keep_closed if kept.stream.closed else self._limits.keep_idle
            if now - kept.since > limit:
                self._forget(name)
        self._fit(now)

    def _fit(self, now: float) -> None:
        """Back under the total: closed streams go first, then idle ones, the oldest before."""
        over = self.size - self._limits.total_bytes
        if over <= 0:
            return
        unused = [kept for kept in self._kept.values() if not kept.stream.in_use]
        unused.sort(key=lambda kept: (not kept.stream.closed, kept.since))
        for kept in unused:
            if kept.stream.closed or kept.since < now:
                over -= kept.stream.size
                self._forget(kept.stream.name)
            if over <= 0:
                return
        # All that is left is in use: everybody gives the same part of the past.
        share = self._limits.total_bytes / (self._limits.total_bytes + over)
        for kept in self._kept.values():
            kept.stream.shrink(int(kept.stream.size * share))

    def _forget(self, name: str) -> None:
        self._kept.pop(name).stream.close()
        self._store.note(Removed(name))

    async def _find(self, name: str) -> Stream | None:
        self._check(name)
        kept = self._kept.get(name)
        if kept is not None:
            return kept.stream
        saved = await self._store.load(name)
        # Somebody else may have opened it while the store was read.
        kept = self._kept.get(name)
        if kept is not None:
            return kept.stream
        if saved is None:
            return None
        return self._keep(name, saved)

    def _check(self, name: str) -> None:
        if len(name) > self._limits.name_length:
            raise InvalidName(f"a stream name has at most {self._limits.name_length} characters")
        if _NAME.fullmatch(name) is None or name.split("/")[0] == RESERVED:
            raise InvalidName(
                "a stream name is letters, digits and . _ ~ : @ + - in segments divided by /"
            )

    def _keep(self, name: str, saved: Saved) -> Stream:
        stream = Stream(
            name,
            content_type=saved.content_type,
            epochs=saved.epochs,
            records=saved.records,
            closed=saved.closed,
            store=self._store,
            retention=self._retention,
            counts=self._counts,
            slice_size=self._slice_size,
        )
        self._kept[name] = _Kept(stream)
        return stream
