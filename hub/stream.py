"""A stream: a named, ordered, append-only sequence of records that closes at most once.

Position = epoch + offset. Offsets never start again, so a tail only grows; the epoch tells
which life of the stream wrote the record at an offset. When a process dies, records that a
reader saw but the store had not yet taken are gone, and the next life writes others at
those offsets. Recovery therefore raises the epoch and notes where it begins, and a reader
whose position lies beyond that beginning is told to go back to it (`Reset`). Any other
reader just goes on: up to there both lives are the same.

Old records are trimmed when the stream holds more than its `Retention`; a reader who asks
for one of them is reset to the oldest kept. There is no silent hole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hub.counts import Counts
from hub.encoders import Batch
from hub.errors import StreamClosed
from hub.events import Event, encode
from hub.fanout import Fanout, Follower
from hub.records import Position, Record
from hub.stores import Appended, Closed, Store, Trimmed
from hub.stores.memory import MemoryStore

__all__ = ["JSON", "From", "Place", "Reset", "Retention", "Stream"]

JSON: Final = "application/json"

From = Position | Literal["start", "now"]

_GONE: Final = Record(-1, b"", None)
"""Stands where a trimmed record stood, so that the record itself takes no memory."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its past a stream keeps: bytes of record bodies, and records."""

    max_bytes: int = 16 * 1024 * 1024
    max_records: int = 100_000


@dataclass(frozen=True, slots=True)
class Reset:
    """A reader cannot go on from where it was; ``reason`` is ``trimmed`` or ``unwritten``."""

    position: Position
    reason: Literal["trimmed", "unwritten"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader starts to read, and the reset it must be told of first, if any."""

    offset: int
    reset: Reset | None = None


class Stream:
    """Records in memory, and the fan-out of those that come.

    Used from one event loop. `append` and `close` never wait: subscribers are served by a
    flush at the end of the loop's tick (see `hub.fanout`).
    """

    __slots__ = (
        "_counts",
        "_epochs",
        "_kept",
        "_records",
        "_retention",
        "_skip",
        "_store",
        "closed",
        "content_type",
        "fanout",
        "head",
        "name",
        "tail",
        "writing",
    )

    def __init__(
        self,
        name: str,
        *,
        store: Store | None = None,
        retention: Retention | None = None,
        counts: Counts | None = None,
        slice_size: int = 250,
        content_type: str = JSON,
        epochs: Sequence[tuple[int, int]] = ((0, 0),),
        records: Sequence[Record] = (),
        closed: bool = False,
    ) -> None:
        """Make a stream, or take one up again with the records that were kept.

        ``epochs`` are pairs (epoch, its first offset), rising.
        """
        self.name = name
        self.content_type = content_type
        self.closed = closed
        self.writing = False
        """A generation writes here: one at a time."""
        self.head = records[0].offset if records else epochs[-1][1]
        self.tail = self.head + len(records)
        self._epochs = list(epochs)
        self._records = list(records)
        # Places of trimmed records at the front of the list, dropped in bulk: a trim costs O(1).
        self._skip = 0
        self._kept = sum(len(record.body) for record in records)
        self._store = store or MemoryStore()
        self._retention = retention or Retention()
        self._counts = counts if counts is not None else Counts()
        self.fanout = Fanout(self, self._counts, slice_size)

    @property
    def size(self) -> int:
        """Bytes of the record bodies that are kept."""
        return self._kept

    @property
    def epoch(self) -> int:
        """The present life."""
        return self._epochs[-1][0]

    @property
    def position(self) -> Position:
        """The position of the tail: the next record to be written."""
        return Position(self.epoch, self.tail)

    @property
    def in_use(self) -> bool:
        """Somebody is subscribed, or a generation writes here."""
        return self.writing or len(self.fanout) > 0

    @property
    def last(self) -> Record | None:
        """The newest record that is kept."""
        return self._records[-1] if self.tail > self.head else None

    # Writing

    def append(self, event: Event) -> Record:
        """Write an event at the tail.

        Raises:
            StreamClosed: nothing may be written any more.
        """
        return self.append_body(encode(event), event)

    def append_body(self, body: bytes, event: Event | None) -> Record:
        """Write a record that is already encoded; ``event`` is what its body decodes to."""
        if self.closed:
            raise StreamClosed(f'stream "{self.name}" is closed and takes no more records')
        record = Record(self.tail, body, event)
        self._records.append(record)
        self.tail += 1
        self._kept += len(body)
        self._counts.records += 1
        self._store.note(Appended(self.name, record))
        retention = self._retention
        if self._kept > retention.max_bytes or self.tail - self.head > retention.max_records:
            self._trim_to(retention.max_bytes)
        self.fanout.mark()
        return record

    def close(self) -> None:
        """Let nothing more be written; readers at the tail are told. Closing again is nothing."""
        if not self.closed:
            self.closed = True
            self._store.note(Closed(self.name))
            self.fanout.mark()

    def trim(self, offset: int) -> None:
        """Forget the records before ``offset``."""
        drop = min(offset, self.tail) - self.head
        for place in range(self._skip, self._skip + max(drop, 0)):
            self._kept -= len(self._records[place].body)
            self._records[place] = _GONE
        if drop > 0:
            self.head += drop
            self._skip += drop
            self._store.note(Trimmed(self.name, self.head))
            if self._skip * 2 >= len(self._records):
                del self._records[: self._skip]
                self._skip = 0

    def shrink(self, size: int) -> None:
        """Forget the oldest records until the rest has ``size`` bytes; the newest stays."""
        self._trim_to(size)

    def _trim_to(self, max_bytes: int) -> None:
        """Drop the oldest until the stream fits; the newest record always stays."""
        over_bytes = self._kept - max_bytes
        head = max(self.head, self.tail - self._retention.max_records)
        freed = sum(len(record.body) for record in self._slice(self.head, head))
        while freed < over_bytes and head < self.tail - 1:
            freed += len(self._records[self._skip + head - self.head].body)
            head += 1
        self.trim(head)

    # Reading

    def place(self, start: From) -> Place:
        """Where reading from a position, the ``"start"`` or ``"now"`` begins."""
        if start == "start":
            return Place(self.head)
        if start == "now":
            return Place(self.tail)
        lost = self._unwritten_after(start)
        if lost is not None:
            return Place(max(lost, self.head), self._reset(max(lost, self.head), "unwritten"))
        if start.offset < self.head:
            return Place(self.head, self._reset(self.head, "trimmed"))
        return Place(start.offset)

    def trimmed(self) -> Reset:
        """What a reader is told whose place has been trimmed away."""
        return self._reset(self.head, "trimmed")

    def read(self, offset: int, limit: int) -> Batch:
        """The records from ``offset``, until they have ``limit`` bytes; at least one if there is.

        ``offset`` lies between head and tail. A batch never goes across the start of an epoch.
        """
        row = bisect_right(self._epochs, offset, key=_first_offset) - 1
        end = self._epochs[row + 1][1] if row + 1 < len(self._epochs) else self.tail
        size = 0
        records: list[Record] = []
        for record in self._walk(offset, end):
            if records and size + len(record.body) > limit:
                break
            records.append(record)
            size += len(record.body)
        return Batch(self.name, records, Position(self._epochs[row][0], offset + len(records)))

    def events(self) -> Iterator[Event]:
        """The events of all records that are kept."""
        held = self._slice(self.head, self.tail)
        return (record.event for record in held if record.event is not None)

    def between(self, start: int, end: int) -> Batch:
        """The newest records, from ``start`` up to ``end``, all of the present epoch."""
        return Batch(self.name, self._slice(start, end), Position(self.epoch, end))

    def position_at(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        row = bisect_right(self._epochs, offset, key=_first_offset) - 1
        return Position(self._epochs[row][0], offset)

    # Following

    def subscribe(self, follower: Follower) -> None:
        """Serve a follower from its place on. One step: history and live have no seam."""
        self.fanout.add(follower)

    def unsubscribe(self, follower: Follower) -> None:
        """Serve it no more; it may have been dropped already."""
        self.fanout.remove(follower)

    def _unwritten_after(self, position: Position) -> int | None:
        """Where a reader at ``position`` must go back to, if it saw what no longer is."""
        if position > self.position:
            # Written by no life that we know of: nothing tells where its past left ours.
            return self.head
        begins = self._start_after(position.epoch)
        return begins if begins is not None and position.offset > begins else None

    def _start_after(self, epoch: int) -> int | None:
        """The first offset of the first life after ``epoch``."""
        return next((first for later, first in self._epochs if later > epoch), None)

    def _reset(self, offset: int, reason: Literal["trimmed", "unwritten"]) -> Reset:
        return Reset(self.position_at(offset), reason)

    def _slice(self, start: int, end: int) -> list[Record]:
        shift = self._skip - self.head
        return self._records[start + shift : end + shift]

    def _walk(self, start: int, end: int) -> Sequence[Record]:
        # A batch has bytes, so it never needs more than this many records at a time.
        return self._slice(start, min(end, start + 4096))


def _first_offset(epoch: tuple[int, int]) -> int:
    return epoch[1]
