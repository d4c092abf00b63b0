"""The past of a stream: its records, where each of its lives began, and what is kept.

Position = epoch + offset. Offsets never start again, so a tail only grows; the epoch tells
which life of the stream wrote the record at an offset. When a process dies, records that a
reader saw but the store had not yet taken are gone, and the next life writes others at
those offsets. Recovery therefore raises the epoch and notes where it begins, and a reader
whose position lies beyond that beginning is told to go back to it (`Reset`). Any other
reader just goes on: up to there both lives are the same.

::

     head              warm                    tail
      │  in the store   │  in memory            │
      ▼                 ▼                       ▼
    ──■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■── next
      fetch reads here  read is enough here

Records before the head are trimmed; a reader who asks for one is reset to the head. With a
store that keeps nothing, warm and head are one. There is no silent hole.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from hub.encoders import Batch
from hub.errors import Conflict
from hub.events import Event
from hub.moment import Moment
from hub.records import Position, Record
from hub.stores import Saved, Store

__all__ = ["From", "History", "Place", "Reset"]

From = Position | Literal["start", "now"]

WALK: Final = 4096
"""Records looked at for one batch; a batch is bounded in bytes, and this many are enough."""

EVENTS_BYTES: Final = 256 * 1024
"""How much is read at a time when all of a stream is."""

READS: Final = 64
"""Reads of the store that are remembered for a moment, of some 64 KB each."""

LEAD: Final = 3
"""Bytes of a UTF-8 character that can stand before the one that completes it."""

_GONE: Final = Record(-1, b"", None)
"""Stands for a trimmed record until the list is shortened."""


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


class History:
    """What a stream was, as its readers see it."""

    __slots__ = (
        "_epochs",
        "_records",
        "_skip",
        "_store",
        "closed",
        "head",
        "meta",
        "moment",
        "name",
        "reads",
        "size",
        "tail",
        "warm",
    )

    def __init__(self, name: str, saved: Saved, store: Store, moment: Moment | None = None) -> None:
        self.name = name
        self.moment = moment or Moment()
        self.meta = saved.meta
        self.closed = saved.closed
        """Nothing comes after the tail."""
        self.head = saved.head
        self.tail = max(saved.tail, saved.head)
        self.warm = self.tail - len(saved.records)
        """The oldest offset whose record is in memory."""
        self.size = sum(record.size for record in saved.records)
        """Bytes of memory that the records in it take."""
        self.reads: dict[tuple[int, int], asyncio.Future[list[Record]]] = {}
        """What was read from the store, until the stream is next looked after."""
        self._epochs = list(saved.epochs)
        self._records = list(saved.records)
        # Places of dropped records at the front of the list: dropping one costs O(1).
        self._skip = 0
        self._store = store

    @property
    def epoch(self) -> int:
        """The present life."""
        return self._epochs[-1][0]

    @property
    def epochs(self) -> tuple[tuple[int, int], ...]:
        """Pairs (epoch, its first offset), rising."""
        return tuple(self._epochs)

    @property
    def position(self) -> Position:
        """The position of the tail: the next record to be read."""
        return Position(self._epochs[-1][0], self.tail)

    @property
    def last(self) -> Record | None:
        """The newest record, if it is in memory."""
        return (
            self._records[self._skip + self.tail - self.warm - 1] if self.tail > self.warm else None
        )

    @property
    def near(self) -> int:
        """The oldest offset from which on `between` has all that there is, as has `fetch`."""
        far = self.meta.is_text and self.warm > self.head
        return self.warm + LEAD if far else self.warm

    # Places

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

    def expect_events(self) -> None:
        """Refuse a stream that cannot hold events.

        Raises:
            Conflict: ``not_json``: its records are bytes.
        """
        if not self.meta.is_json:
            raise Conflict(
                f'"{self.name}" holds {self.meta.content_type}, not events: '
                f"use /v1/stream/{self.name}",
                code="not_json",
            )

    def trimmed(self) -> Reset:
        """What a reader is told whose place has been trimmed away."""
        return self._reset(self.head, "trimmed")

    def position_at(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        return Position(self._epochs[self._life(offset)][0], offset)

    # Reading

    async def fetch(self, offset: int, limit: int) -> Batch:
        """The records from ``offset`` until they have ``limit`` bytes, wherever they are.

        At least one if there is one; never across the start of an epoch.
        """
        if offset >= self.warm:
            found = self._slice(offset, min(self._end_of_life(offset), offset + WALK))
        else:
            found = await self._read(offset, limit)
            if found and found[0].offset != offset:
                found = []  # trimmed in the meantime
            found = found[: self._end_of_life(offset) - offset]
        return self._batch(offset, found, limit, await self._lead(offset))

    async def _read(self, offset: int, limit: int) -> list[Record]:
        """From the store, once for all who read the same at about the same time."""
        reading = self.reads.get((offset, limit))
        if reading is None:
            reading = asyncio.ensure_future(self._store.read(self.name, offset, limit))
            if len(self.reads) < READS:
                self.reads[offset, limit] = reading
                reading.add_done_callback(partial(self._remember, (offset, limit)))
        # Whoever leaves meanwhile leaves the others their reading.
        return await asyncio.shield(reading)

    def _remember(self, key: tuple[int, int], reading: asyncio.Future[list[Record]]) -> None:
        """Whoever asks for the same in a moment is given it, if there is room for it."""
        if self.reads.get(key) is not reading:
            return
        read = not reading.cancelled() and reading.exception() is None
        if not (read and self.moment.admits(sum(record.size for record in reading.result()))):
            del self.reads[key]

    async def events(self, start: int = 0) -> AsyncIterator[Event]:
        """The events from an offset, or the head if that is later, to the tail as it then is."""
        offset = max(start, self.head)
        while offset < self.tail:
            batch = await self.fetch(max(offset, self.head), EVENTS_BYTES)
            if not batch.records and batch.position.offset >= self.head:
                return  # removed while it was read
            for record in batch.records:
                event = record.event
                if event is not None:
                    yield event
            offset = batch.position.offset

    def newest(self, start: int, end: int) -> list[Record]:
        """The records from ``start``, which is `warm` or later, up to ``end``."""
        return self._slice(start, end)

    def between(self, start: int, end: int) -> Batch:
        """The newest records, from ``start`` up to ``end``, all of the present epoch.

        ``start`` is `near` or later.
        """
        before = self._slice(max(self.warm, start - LEAD), start) if self.meta.is_text else []
        lead = b"".join([record.body for record in before])[-LEAD:]
        after = Position(self.epoch, end)
        return Batch(self.name, self._slice(start, end), after, lead, end == self.tail)

    def _batch(self, offset: int, found: Sequence[Record], limit: int, lead: bytes) -> Batch:
        size = 0
        records: list[Record] = []
        for record in found:
            if records and size + len(record.body) > limit:
                break
            records.append(record)
            size += len(record.body)
        after = Position(self._epochs[self._life(offset)][0], offset + len(records))
        return Batch(self.name, records, after, lead, after.offset == self.tail)

    async def _lead(self, offset: int) -> bytes:
        """The last bytes before ``offset``, of text, where a character may have begun."""
        held = b""
        while self.meta.is_text and len(held) < LEAD and offset > self.head:
            offset -= 1
            if offset >= self.warm:
                found = self._slice(offset, offset + 1)
            else:
                found = await self._store.read(self.name, offset, 1)
            if not found:
                break
            held = found[0].body[-LEAD:] + held
        return held[-LEAD:]

    # Keeping

    def trim(self, offset: int) -> None:
        """Forget the records before ``offset``, in memory; the store is told by the caller."""
        self.head = max(self.head, min(offset, self.tail))
        self.cool(self.head)

    def cool(self, offset: int) -> None:
        """Drop the records before ``offset`` from memory."""
        drop = min(offset, self.tail) - self.warm
        for row in range(self._skip, self._skip + max(drop, 0)):
            self.size -= self._records[row].size
            self._records[row] = _GONE
        if drop > 0:
            self.warm += drop
            self._skip += drop
            if self._skip * 2 >= len(self._records):
                del self._records[: self._skip]
                self._skip = 0

    def _fitting(self, max_bytes: int, max_records: int) -> int:
        """The offset from which on the records fit; the newest always does."""
        over = self.size - max_bytes
        offset = max(self.warm, self.tail - max_records)
        freed = sum(record.size for record in self._slice(self.warm, offset))
        while freed < over and offset < self.tail - 1:
            freed += self._records[self._skip + offset - self.warm].size
            offset += 1
        return offset

    def _slice(self, start: int, end: int) -> list[Record]:
        shift = self._skip - self.warm
        return self._records[start + shift : min(end, self.tail) + shift]

    # Lives

    def _life(self, offset: int) -> int:
        return bisect_right(self._epochs, offset, key=_first_offset) - 1

    def _end_of_life(self, offset: int) -> int:
        row = self._life(offset) + 1
        return self._epochs[row][1] if row < len(self._epochs) else self.tail

    def _unwritten_after(self, position: Position) -> int | None:
        """Where a reader at ``position`` must go back to, if it saw what no longer is."""
        if position > self.position or (position.offset and not self._lived(position.epoch)):
            # Written by no life that we know of: nothing tells where its past left ours.
            return self.head
        begins = self._start_after(position.epoch)
        return begins if begins is not None and position.offset > begins else None

    def _lived(self, epoch: int) -> bool:
        """Whether it is one of ours: records were written in it, or may have been and are lost."""
        row = bisect_left(self._epochs, epoch, key=_number)
        ours = row < len(self._epochs) and self._epochs[row][0] == epoch
        return ours or self._store.lived(epoch)

    def _start_after(self, epoch: int) -> int | None:
        """The first offset of the first life after ``epoch``."""
        return next((first for later, first in self._epochs if later > epoch), None)

    def _reset(self, offset: int, reason: Literal["trimmed", "unwritten"]) -> Reset:
        return Reset(self.position_at(offset), reason)


def _number(epoch: tuple[int, int]) -> int:
    return epoch[0]


def _first_offset(epoch: tuple[int, int]) -> int:
    return epoch[1]
