"""What was found in streams, so that no request looks for the same again.

A request that looks for something reads the stream to its tail, and notes on the way what others
will look for. The next one goes on where it stopped. Only one at a time walks over a stream, and
the others find what it leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from hashlib import blake2b
from typing import Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from hub.domain.records import Record
from hub.streams.followed import FollowedStream
from hub.streams.frozen import FrozenStream

__all__ = ["Index", "Indexes", "key_of", "note"]

NAMES: Final = 50_000
"""The most that is noted of one kind in a stream; of more, the newest is."""

STREAMS: Final = 200
ENTRIES: Final = 100_000
"""The streams whose notes are kept, those that were read last, and all that is in these."""

LONGEST: Final = 64
"""Characters of a name that is kept as it is."""

V = TypeVar("V")


class Index(Protocol):
    """Notes on the records of one stream."""

    def __len__(self) -> int:
        """How many there are."""

    def add(self, record: Record, /) -> None:
        """Note what is needed of the next record."""


T = TypeVar("T", bound=Index)


class _Read(Generic[T]):
    """The notes on a stream in an epoch, up to an offset."""

    def __init__(self, index: T, epoch: int) -> None:
        self.index = index
        self.epoch = epoch
        self.offset = 0
        self.lock = asyncio.Lock()


class Indexes(Generic[T]):
    """The indexes of the streams that were read last; ``make`` makes an empty one."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: WeakKeyDictionary[FollowedStream, _Read[T]] = WeakKeyDictionary()

    @property
    def entries(self) -> int:
        """All notes."""
        return sum(len(read.index) for read in self._kept.values())

    async def of(self, stream: FollowedStream, *, anew: bool = False) -> T:
        """The index of a stream up to its tail; of a frozen one, that of the stream that it is of.

        It may have notes on records before the head, and not know that others take their place
        then: ``anew`` it is made of what is kept now.
        """
        if isinstance(stream, FrozenStream):
            stream = stream.of
        if anew:
            self._kept.pop(stream, None)
        while True:
            read = self._kept.pop(stream, None)
            if read is None or read.epoch != stream.epoch:
                read = _Read(self._make(), stream.epoch)
            self._kept[stream] = read
            async with read.lock:
                async for records in stream.stretches(read.offset):
                    for record in records:
                        read.index.add(record)
                    read.offset = records[-1].offset + 1
            self._evict()
            if read.epoch == stream.epoch:
                return read.index

    def _evict(self) -> None:
        entries = self.entries
        while self._kept and (entries > ENTRIES or len(self._kept) > STREAMS):
            entries -= len(self._kept.pop(next(iter(self._kept))).index)


def key_of(name: str) -> str:
    """A name, or a digest of a long one."""
    if len(name) <= LONGEST:
        return name
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


def note(notes: MutableMapping[str, V], key: str, value: V) -> None:
    """Note something last, and forget what was noted first if it is too much."""
    notes.pop(key, None)
    notes[key] = value
    if len(notes) > NAMES:
        del notes[next(iter(notes))]
