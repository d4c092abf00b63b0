"""The past of a stream: its records, where each of its lives began, and what is kept.

Position = epoch + offset. Offsets never start again, so a tail only grows; the epoch tells
which life of the stream wrote the record at an offset. When a process dies, records that a
reader saw but the store had not yet taken are gone, and the next life writes others at
those offsets. Recovery therefore raises the epoch and notes where it begins (`hub.domain.epochs`),
and a reader whose position lies beyond that beginning is told to go back (`Reset`). Any
other reader just goes on: up to there both lives are the same.

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
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from hub.domain.epochs import Epochs, Life
from hub.domain.errors import Conflict
from hub.domain.events import Event
from hub.domain.records import RECORD_BYTES, Position, Record
from hub.frames.coalesce import boundary
from hub.frames.encoder import Batch
from hub.stores import Past, Saved
from hub.streams.shared_budget import SharedBudget

__all__ = ["From", "History", "Place", "Reset"]

From = Position | Literal["start", "now"]

WALK: Final = 4096
"""Records looked at for one batch; a batch is bounded in bytes, and this many are enough."""

EVENTS_BYTES: Final = 256 * 1024
"""How much is read at a time when all of a stream is."""

READS: Final = 32
READ_BYTES: Final = 64 * 1024
"""So many reads of the store, of so many bytes or more, are remembered for a moment."""

LEAD: Final = 3
"""Bytes of a UTF-8 character that can stand before the one that completes it."""

_GONE: Final = Record(-1, b"", None)
"""Stands for a trimmed record until the list is shortened."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A reader cannot go on from where it was; ``reason`` is ``trimmed`` or ``unwritten``."""

    position: Position
    """Where it goes on. What it has from there on is void, and is to be forgotten.

    ``trimmed``: the head, which is beyond all that the reader has. Between the two is a gap.

    ``unwritten``: a place up to which the reader has what there is, and between two of the
    events that it was sent. Not simply where the lost records began: a reader that lagged was
    sent many deltas as one (`hub.frames.coalesce`), and this place may lie inside of one. It would
    forget all of it and be sent only the second half again. No store can say how it was sent
    what, and that is not asked: no merged delta crosses a `hub.frames.coalesce.boundary`, so the
    last boundary before the loss is a place that every reader has, over every transport, with the
    very text that it was told there as the position (its epoch is that of the record before it, or
    the reader's own, if that is earlier); or it is the first position of all. It may be before the
    head: then a second reset, ``trimmed``, follows the first.
    """

    reason: Literal["trimmed", "unwritten"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader starts to read, and the reset it must be told of first, if any."""

    offset: int
    reset: Reset | None = None


class History:
    """What a stream was, as its readers see it."""

    __slots__ = (
        "_lives",
        "_reads",
        "_records",
        "_rested",
        "_skip",
        "_store",
        "closed",
        "head",
        "moment",
        "name",
        "settings",
        "size",
        "tail",
        "warm",
    )

    def __init__(
        self, name: str, saved: Saved, store: Past, moment: SharedBudget | None = None
    ) -> None:
        self.name = name
        self.moment = moment or SharedBudget()
        self.settings = saved.settings
        self.closed = saved.closed
        """Nothing comes after the tail."""
        self.head = saved.head
        self.tail = max(saved.tail, saved.head)
        self.warm = self.tail - len(saved.records)
        """The oldest offset whose record is in memory."""
        self.size = sum(record.size for record in saved.records)
        """Bytes of memory that the records in it take."""
        self._reads: dict[int, asyncio.Future[list[Record]]] = {}
        """What was read from the store, by its first offset: used since `rest`, and before."""
        self._rested: dict[int, asyncio.Future[list[Record]]] = {}
        self._lives = Epochs(saved.epochs)
        self._records = list(saved.records)
        # Places of dropped records at the front of the list: dropping one costs O(1).
        self._skip = 0
        self._store = store

    @property
    def epoch(self) -> int:
        """The present life."""
        return self._lives.last[0]

    @property
    def life(self) -> Life:
        """The present life: its epoch and its first offset."""
        return self._lives.last

    @property
    def position(self) -> Position:
        """The position of the tail: the next record to be read."""
        return Position(self.epoch, self.tail)

    @property
    def last(self) -> Record | None:
        """The newest record, if it is in memory."""
        return (
            self._records[self._skip + self.tail - self.warm - 1] if self.tail > self.warm else None
        )

    @property
    def near(self) -> int:
        """The oldest offset from which on `between` has all that there is, as has `fetch`."""
        far = self.settings.is_text and self.warm > self.head
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
            back = boundary(lost)
            epoch = min(start.epoch, self._lives.of(back - 1)) if back else 0
            return Place(back, Reset(Position(epoch, back), "unwritten"))
        if start.offset < self.head:
            return Place(self.head, self.trimmed())
        return Place(start.offset)

    def expect_events(self) -> None:
        """Refuse a stream that cannot hold events.

        Raises:
            Conflict: ``not_json``: its records are bytes.
        """
        if not self.settings.is_json:
            raise Conflict(
                f'"{self.name}" holds {self.settings.content_type}, not events: '
                f"use /v1/stream/{self.name}",
                code="not_json",
            )

    def trimmed(self) -> Reset:
        """What a reader is told whose place has been trimmed away."""
        return Reset(Position(self._lives.of(self.head - 1), self.head), "trimmed")

    def position_at(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        return Position(self._lives.of(offset), offset)

    # Reading

    async def fetch(self, offset: int, limit: int) -> Batch:
        """The records from ``offset`` until they have ``limit`` bytes, wherever they are.

        At least one if there is one; never across the start of an epoch.
        """
        found = await self._from(offset, limit)
        end = self._lives.end(offset)
        if end is not None:
            del found[end - offset :]
        return self._batch(offset, found, limit, await self._lead(offset))

    async def _from(self, offset: int, limit: int) -> list[Record]:
        """Some of the records from ``offset`` on, of any lives, about ``limit`` bytes or more."""
        if offset >= self.warm:
            return self._slice(offset, offset + WALK)
        held = self._remembered(offset)
        if not held:
            held = await self._read(offset, max(limit, READ_BYTES))
        skipped = offset - held[0].offset if held else 0
        # What was trimmed in the meantime begins later; what is not shown yet is not read either.
        end = skipped + min(WALK, self.tail - offset)
        return held[skipped:end] if skipped >= 0 else []

    def _remembered(self, offset: int) -> list[Record]:
        """What was read a moment ago and has an offset: a read goes across lives, batches do not.

        So the cost of reading is that of the records, however many lives wrote them.
        """
        for reads in (self._reads, self._rested):
            for start, reading in reads.items():
                found = _result(reading)
                if found and found[0].offset <= offset <= found[-1].offset:
                    if start not in self._reads and self._has_room(found):
                        self._reads[start] = reading
                    return found
        return []

    async def _read(self, offset: int, limit: int) -> list[Record]:
        """From the store, once for all who read the same at about the same time."""
        reading = self._reads.get(offset)
        if reading is None:
            reading = asyncio.ensure_future(self._store.read(self.name, offset, limit))
            self._reads[offset] = reading
            reading.add_done_callback(partial(self._keep_if_room, offset))
        # Whoever leaves meanwhile leaves the others their reading.
        return await asyncio.shield(reading)

    def _keep_if_room(self, start: int, reading: asyncio.Future[list[Record]]) -> None:
        """Whoever asks for the same in a moment is given it, if there is room for it."""
        if self._reads.get(start) is reading and not self._has_room(_result(reading)):
            del self._reads[start]

    def _has_room(self, found: list[Record]) -> bool:
        if not found or len(self._reads) > READS:
            return False
        # What comes from the store is not decoded: it takes its body and a record.
        return self.moment.admits(
            RECORD_BYTES * len(found) + sum([len(record.body) for record in found])
        )

    def rest(self) -> None:
        """Let go of what was read and is not used any more; called about once a second."""
        if self._reads or self._rested:
            self._rested, self._reads = self._reads, {}

    async def events(self, start: int = 0) -> AsyncIterator[Event]:
        """The events from an offset, or the head if that is later, to the tail as it then is."""
        async for records in self.stretches(start):
            for record in records:
                event = record.event
                if event is not None:
                    yield event

    async def stretches(self, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        """The records from an offset, or the head if that is later, to the tail as it then is:
        as many at a time as are read at once.
        """
        offset = max(start, self.head)
        while offset < self.tail:
            records = await self._from(offset, EVENTS_BYTES)
            if records:
                offset = records[-1].offset + 1
                yield records
            elif offset >= self.head:
                return  # removed while it was read
            else:
                offset = self.head

    def newest(self, start: int, end: int) -> list[Record]:
        """The records from ``start``, which is `warm` or later, up to ``end``."""
        return self._slice(start, end)

    def between(self, start: int, end: int) -> Batch:
        """The newest records, from ``start`` up to ``end``, all of the present epoch.

        ``start`` is `near` or later.
        """
        before = self._slice(max(self.warm, start - LEAD), start) if self.settings.is_text else []
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
        after = Position(self._lives.of(offset), offset + len(records))
        return Batch(self.name, records, after, lead, after.offset == self.tail)

    async def _lead(self, offset: int) -> bytes:
        """The last bytes before ``offset``, of text, where a character may have begun."""
        held = b""
        while self.settings.is_text and len(held) < LEAD and offset > self.head:
            offset -= 1
            if offset >= self.warm:
                found = self._slice(offset, offset + 1)
            elif read := self._remembered(offset):
                found = [read[offset - read[0].offset]]
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

    def _unwritten_after(self, position: Position) -> int | None:
        """Up to where a reader at ``position`` has what there is, if it saw what no longer is."""
        if position > self.position or (position.offset and not self._lived(position.epoch)):
            # Written by no life that we know of: nothing tells where its past left ours.
            return 0
        begins = self._lives.after(position.epoch)
        return begins if begins is not None and position.offset > begins else None

    def _lived(self, epoch: int) -> bool:
        """Whether it is one of ours: records were written in it, or may have been and are lost."""
        return epoch in self._lives or self._store.lived(epoch)


def _result(reading: asyncio.Future[list[Record]]) -> list[Record]:
    """What was read; nothing if that goes on, or failed."""
    done = reading.done() and not reading.cancelled() and reading.exception() is None
    return reading.result() if done else []
