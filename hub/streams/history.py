"""The past of a stream: its records, where each of its epochs began, and what is kept.

A position is an epoch and an offset. Offsets never start again, so a tail only grows; the epoch
says in which life of the stream the record at an offset was written. When a process dies, records
that a reader saw but the store had not yet committed are lost, and the next epoch has others at
those offsets. Recovery therefore raises the epoch and notes where it begins
(`hub.domain.epochs`), and a reader whose position lies beyond that beginning is reset (`Reset`).
Any other reader goes on: up to there both epochs are the same.

::

     head              warm                    tail
      │  in the store   │  in memory            │
      ▼                 ▼                       ▼
    ──■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■── next
      fetch reads here  read is enough here

Records before the head are trimmed; a reader who asks for one is reset to the head. With a store
that keeps nothing, warm equals head. There is never a silent hole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from hub.domain.epochs import Epochs, Life
from hub.domain.errors import Conflict, Gone
from hub.domain.events import Event
from hub.domain.records import RECORD_BYTES, Position, Record
from hub.frames.coalesce import boundary
from hub.frames.encoder import Batch
from hub.stores import Past, Saved
from hub.streams.shared_budget import SharedBudget
from hub.streams.turns import next_turn

__all__ = ["From", "History", "Place", "Reset"]

From = Position | Literal["start", "now"]

WALK: Final = 4096
"""The most records of one batch, which is also bounded in bytes."""

EVENTS_BYTES: Final = 256 * 1024
"""Bytes that are read at a time when a whole stream is read."""

SLICE: Final = 256
"""The most records that a walk reads before others have a turn: some milliseconds of work."""

READS: Final = 32
READ_BYTES: Final = 64 * 1024
"""How many reads of the store are cached, and how many bytes each has at least."""

LEAD: Final = 3
"""Bytes of a UTF-8 character that can come before its last byte."""

_GONE: Final = Record(-1, b"", None)
"""Replaces a dropped record until the list is shortened."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A reader cannot go on from its position; ``reason`` is ``trimmed`` or ``unwritten``."""

    position: Position
    """Where it goes on. The reader must forget what it has from there on.

    ``trimmed``: the head, which is beyond all that the reader has. Between the two is a gap.

    ``unwritten``: a place before the lost records that lies between two events which the reader
    was sent. Not simply where the lost records began: a reader that lagged was sent many deltas
    as one (`hub.frames.coalesce`), and that place may lie within one. The reader would forget the
    whole delta and be sent only its second half again. But no merged delta crosses a
    `hub.frames.coalesce.boundary`. So every reader has been at the last boundary before the loss,
    over every transport, with this very position (its epoch is that of the record before it, or
    the reader's own if that is earlier); or it is the first position of all. It may be before the
    head: then a second reset, ``trimmed``, follows.
    """

    reason: Literal["trimmed", "unwritten"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader begins, and the reset that it must be sent first, if any."""

    offset: int
    reset: Reset | None = None


class History:
    """The records of a stream, for its readers."""

    __slots__ = (
        "_lives",
        "_old_reads",
        "_reads",
        "_records",
        "_skip",
        "_store",
        "cache_budget",
        "closed",
        "head",
        "name",
        "settings",
        "size",
        "tail",
        "warm",
    )

    def __init__(
        self, name: str, saved: Saved, store: Past, cache_budget: SharedBudget | None = None
    ) -> None:
        self.name = name
        self.cache_budget = cache_budget or SharedBudget()
        self.settings = saved.settings
        self.closed = saved.closed
        """Whether the stream ends at the tail."""
        self.head = saved.head
        self.tail = max(saved.tail, saved.head)
        self.warm = self.tail - len(saved.records)
        """The oldest offset whose record is in memory."""
        self.size = sum(record.size for record in saved.records)
        """Bytes of memory that the records in it take."""
        self._reads: dict[int, asyncio.Future[list[Record]]] = {}
        """Reads of the store by their first offset, used since the last `age_reads`."""
        self._old_reads: dict[int, asyncio.Future[list[Record]]] = {}
        self._lives = Epochs(saved.epochs)
        self._records = list(saved.records)
        # The number of dropped records at the front of the list: dropping one costs O(1).
        self._skip = 0
        self._store = store

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self._lives.last[0]

    @property
    def first_epoch(self) -> int:
        """The first epoch that is known of it."""
        return next(iter(self._lives))[0]

    @property
    def life(self) -> Life:
        """The present epoch and its first offset."""
        return self._lives.last

    @property
    def position(self) -> Position:
        """The position of the tail."""
        return Position(self.epoch, self.tail)

    @property
    def last(self) -> Record | None:
        """The newest record, if it is in memory."""
        return (
            self._records[self._skip + self.tail - self.warm - 1] if self.tail > self.warm else None
        )

    @property
    def near(self) -> int:
        """The oldest offset from which `between` gives the same as `fetch`."""
        far = self.settings.is_text and self.warm > self.head
        return self.warm + LEAD if far else self.warm

    # Places

    def place(self, start: From) -> Place:
        """Where a reader begins that asks for a position, ``"start"`` or ``"now"``."""
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
        """Check that the stream can hold events.

        Raises:
            Conflict: ``not_json``: its records are bytes.
        """
        if not self.settings.is_json:
            raise Conflict(
                f'"{self.name}" holds {self.settings.content_type}, not events: '
                f"use /v1/stream/{self.name}",
                code="not_json",
            )

    def lives_until(self, offset: int) -> tuple[Life, ...]:
        """The epochs that had begun at an offset, with their first offsets."""
        return tuple(self._lives.until(offset))

    def lived(self, epoch: int) -> bool:
        """See `hub.stores.Past.lived`."""
        return self._store.lived(epoch)

    def trimmed(self) -> Reset:
        """The reset of a reader whose place has been trimmed."""
        return Reset(Position(self._lives.of(self.head - 1), self.head), "trimmed")

    def position_at(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        return Position(self._lives.of(offset), offset)

    # Reading

    async def fetch(self, offset: int, limit: int) -> Batch:
        """Records from ``offset`` on until they have ``limit`` bytes, from memory or the store.

        At least one if there is one; all of one epoch.
        """
        found = await self._from(offset, limit)
        end = self._lives.end(offset)
        if end is not None:
            del found[end - offset :]
        return self._batch(offset, found, limit, await self._lead(offset))

    async def _from(self, offset: int, limit: int) -> list[Record]:
        """Records from ``offset`` on, of any epochs, about ``limit`` bytes or more."""
        if offset >= self.warm:
            return self.newest(offset, offset + WALK)
        found = self._cached(offset)
        if not found:
            found = await self._read(offset, max(limit, READ_BYTES))
        skipped = offset - found[0].offset if found else 0
        # The store may have trimmed more meanwhile, and may have records not shown yet.
        end = skipped + min(WALK, self.tail - offset)
        return found[skipped:end] if skipped >= 0 else []

    def _cached(self, offset: int) -> list[Record]:
        """A recent read of the store that has an offset.

        A read spans epochs and a batch does not, so this bounds the cost of reading many epochs.
        """
        for reads in (self._reads, self._old_reads):
            for start, reading in reads.items():
                found = _result(reading)
                if found and found[0].offset <= offset <= found[-1].offset:
                    if start not in self._reads and self._has_room(found):
                        self._reads[start] = reading
                    return found
        return []

    async def _read(self, offset: int, limit: int) -> list[Record]:
        """Read from the store, once for all readers of the same records at about the same time."""
        reading = self._reads.get(offset)
        if reading is None:
            reading = asyncio.ensure_future(self._store.read(self.name, offset, limit))
            self._reads[offset] = reading
            reading.add_done_callback(partial(self._keep_if_room, offset))
        # A reader that is cancelled does not cancel the others.
        return await asyncio.shield(reading)

    def _keep_if_room(self, start: int, reading: asyncio.Future[list[Record]]) -> None:
        if self._reads.get(start) is reading and not self._has_room(_result(reading)):
            del self._reads[start]

    def _has_room(self, found: list[Record]) -> bool:
        if not found or len(self._reads) > READS:
            return False
        # Records from the store are not decoded.
        size = RECORD_BYTES * len(found) + sum([len(record.body) for record in found])
        return self.cache_budget.admits(size)

    def age_reads(self) -> None:
        """Drop cached reads that were not used since the last call, about a second ago."""
        if self._reads or self._old_reads:
            self._old_reads, self._reads = self._reads, {}

    async def events(self, start: int = 0) -> AsyncIterator[Event]:
        """The events from an offset, or the head if that is later, to the tail at the time."""
        async for records in self.stretches(start):
            for record in records:
                event = record.event
                if event is not None:
                    yield event

    async def stretches(self, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        """The records from an offset, or the head if that is later, to the tail at the time, in
        slices.

        The loop serves others after each but the last. Whatever walks over a stream should do it
        with this, or with what is made of it: `events`, `batches`.
        """
        offset = max(start, self.head)
        begun = False
        while offset < self.tail:
            records = await self._from(offset, EVENTS_BYTES)
            if records:
                for part in _slices(records):
                    if begun:
                        await next_turn()
                    begun = True
                    yield part
                offset = records[-1].offset + 1
            elif offset >= self.head:
                return  # the stream was removed meanwhile
            else:
                offset = self.head

    async def batches(self, start: int) -> AsyncIterator[Batch]:
        """The records from an offset to the tail at the time, as `stretches`, each batch of one
        epoch; of a stream of events.

        Raises:
            Gone: ``position_trimmed``: some of them are no longer kept.
        """
        offset = start
        async for records in self.stretches(start):
            if records[0].offset != offset:
                break
            last = records[-1].offset
            while offset <= last:
                end = self._lives.end(offset)
                first = offset - records[0].offset
                part = records[first : None if end is None else first + end - offset]
                after = Position(self._lives.of(offset), offset + len(part))
                offset = after.offset
                yield Batch(self.name, list(part), after, latest=offset == self.tail)
        if offset < self.tail:
            raise Gone("the records at this offset are no longer kept", code="position_trimmed")

    def newest(self, start: int, end: int) -> list[Record]:
        """The records from ``start``, which is `warm` or later, up to ``end``."""
        shift = self._skip - self.warm
        return self._records[start + shift : min(end, self.tail) + shift]

    def between(self, start: int, end: int) -> Batch:
        """The records of the present epoch from ``start``, which is `near` or later, to ``end``."""
        before = self.newest(max(self.warm, start - LEAD), start) if self.settings.is_text else []
        lead = b"".join([record.body for record in before])[-LEAD:]
        after = Position(self.epoch, end)
        return Batch(self.name, self.newest(start, end), after, lead, end == self.tail)

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
        """The last bytes of a text before ``offset``, in which a character may begin."""
        lead = b""
        while self.settings.is_text and len(lead) < LEAD and offset > self.head:
            offset -= 1
            if offset >= self.warm:
                found = self.newest(offset, offset + 1)
            elif read := self._cached(offset):
                found = [read[offset - read[0].offset]]
            else:
                found = await self._store.read(self.name, offset, 1)
            if not found:
                break
            lead = found[0].body[-LEAD:] + lead
        return lead[-LEAD:]

    # Keeping

    def trim(self, offset: int) -> None:
        """Drop the records before ``offset``; the caller notes it with the store."""
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
        """The offset from which on the records fit; at least the newest one stays."""
        over = self.size - max_bytes
        offset = max(self.warm, self.tail - max_records)
        freed = sum(record.size for record in self.newest(self.warm, offset))
        while freed < over and offset < self.tail - 1:
            freed += self._records[self._skip + offset - self.warm].size
            offset += 1
        return offset

    def _unwritten_after(self, position: Position) -> int | None:
        """Where the lost records begin that a reader at ``position`` saw, if there are any."""
        epoch, offset = position
        if position > self.position or (offset and not self._knows(epoch)):
            return 0  # where the records of an unknown epoch part from ours is unknown
        begins = self._lives.after(epoch)
        return begins if begins is not None and offset > begins else None

    def _knows(self, epoch: int) -> bool:
        """Whether the stream was in an epoch, or could have been."""
        return epoch in self._lives or self._store.lived(epoch)


def _slices(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Records in parts of at most `SLICE`, and of about `EVENTS_BYTES` or less."""
    begin = size = 0
    for at, record in enumerate(records):
        size += len(record.body)
        if at > begin and (at - begin == SLICE or size > EVENTS_BYTES):
            yield records[begin:at]
            begin, size = at, len(record.body)
    yield records[begin:]


def _result(reading: asyncio.Future[list[Record]]) -> list[Record]:
    """The records of a read; none if it is not done, or failed."""
    done = reading.done() and not reading.cancelled() and reading.exception() is None
    return reading.result() if done else []
