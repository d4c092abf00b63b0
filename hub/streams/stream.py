"""A stream: a named, ordered, append-only sequence of records that closes at most once.

Reading is in `hub.streams.history`, following in `hub.streams.followed`; this is the part that is
written. It is used from one event loop. Writing never waits: followers are served at the end of
the loop's tick (see `hub.streams.fanout`), and the store writes behind. `Stream.committed` waits
until a write is safe. A write is checked in the same iteration of the loop in which it is made.

With ``deliver="committed"`` a record is shown only when the store has committed it: writers
append at `end`, readers read up to `tail`, and a commit moves the tail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Conflict, StreamBusy, StreamClosed, StreamNotFound
from hub.domain.events import Dropped, Event, encode, now
from hub.domain.outcome import Outcome
from hub.domain.producers import Producers, Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import UNREAD, Body, Position, Record, Unread, lean
from hub.domain.stream_settings import JSON, StreamSettings
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Closed,
    Keyed,
    QueueSet,
    Raised,
    Saved,
    Sequenced,
    Store,
    Trimmed,
)
from hub.stores.memory import MemoryStore
from hub.stores.writer import Beginning
from hub.streams.opened import OpenedStream
from hub.streams.shared_budget import SharedBudget

__all__ = ["JSON", "ActiveWriter", "Body", "Retention", "Stream"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its past a stream keeps: bytes of memory (see `Record.size`), records, and
    producers. ``warm_bytes`` stay in memory if the store has the rest.
    """

    max_bytes: int = defaults.MAX_BYTES
    max_records: int = defaults.MAX_RECORDS
    warm_bytes: int = defaults.WARM_BYTES
    max_producers: int = defaults.MAX_PRODUCERS


class ActiveWriter(Protocol):
    """A generation that holds a stream to write in it."""

    @property
    def id(self) -> str:
        """The generation's id."""

    @property
    def started(self) -> int | None:
        """The offset of its first event; ``None`` before that."""

    def end(self) -> None:
        """Write the terminal event now, and nothing after it."""


class Stream(OpenedStream):
    """A stream that is written in this process, one write after the other."""

    _store: Store

    __slots__ = (
        "_cooling",
        "_deferred",
        "_deferred_shows",
        "_raised",
        "_retention",
        "closed_by",
        "end",
        "expires",
        "forks",
        "gone",
        "hidden",
        "producers",
        "sequence",
        "writer",
    )

    def __init__(
        self,
        name: str,
        saved: Saved | None = None,
        *,
        store: Store | None = None,
        retention: Retention | None = None,
        counts: Counters | None = None,
        cache_budget: SharedBudget | None = None,
        slice_size: int = defaults.SLICE,
        deliver: Literal["at_once", "committed"] = defaults.DELIVER,
        epoch: int = 0,
    ) -> None:
        """Load a stream as saved, or create one, in an ``epoch`` of the store."""
        saved = saved or Saved(StreamSettings(), ((epoch, 0),))
        super().__init__(
            name,
            saved,
            store or MemoryStore(),
            counts=counts,
            cache_budget=cache_budget,
            slice_size=slice_size,
        )
        self.end = self.tail
        """The offset of the next record to write."""
        self.sealed = saved.closed
        self.writer: ActiveWriter | None = None
        """The generation that writes here; only one at a time."""
        self.sequence = saved.sequence
        self.closed_by = saved.closed_by
        self.expires = saved.expires
        """When it expires, in seconds since 1970."""
        self.hidden = saved.hidden
        """Deleted, but kept for its forks."""
        self.gone = False
        """Removed: another stream may have its name, so nothing more is noted with the store."""
        self.forks = saved.forks
        self.queue, self.held = saved.queue, saved.held
        self.size += _size(self.queue)
        self._deferred = deliver == "committed"
        self._deferred_shows = 0
        """The number of writes that are shown once they are committed."""
        self._cooling = False
        self._retention = retention or Retention()
        self.producers = Producers(dict(saved.producers), most=self._retention.max_producers)
        self._raised = epoch <= self.epoch
        if not self._raised:
            self._lives.begin(epoch, self.tail)

    @property
    def in_use(self) -> bool:
        """Whether somebody is subscribed, or a generation writes here or is about to."""
        return self.busy or len(self.fanout) > 0

    @property
    def busy(self) -> bool:
        """Whether a generation writes here, or a queued one is about to."""
        return self.writer is not None or self.moves

    @property
    def moves(self) -> bool:
        """Whether the next prompt of its queue begins as soon as nothing runs."""
        return bool(self.queue) and not self.held

    def has_been(self, epoch: int) -> bool:
        """See `hub.streams.opened.OpenedStream.has_been`."""
        return epoch == self.epoch

    @property
    def unfinished(self) -> tuple[str, int] | None:
        """The generation that writes here and the offset of its first event, once it has one."""
        writer = self.writer
        return None if writer is None or writer.started is None else (writer.id, writer.started)

    # Writing

    def append(self, event: Event, *, safe: bool = False) -> Record:
        """See `hub.stores.writer.Appender.append`."""
        return self._append(encode(event), lean(event), safe=safe)

    def append_body(self, body: bytes, event: Event | None, *, safe: bool = False) -> Record:
        """Append an encoded record; ``event`` is what its body decodes to."""
        return self._append(body, None if event is None else UNREAD, safe=safe)

    def _append(self, body: bytes, event: Event | Unread | None, *, safe: bool) -> Record:
        self._expect_open()
        if not self._raised:
            self._raised = True
            self._store.note(Raised(self.name, *self.life))
        record = Record(self.end, body, event)
        self._store.note(Appended(self.name, record))
        self._records.append(record)
        self.end += 1
        self.size += record.size
        self._counts.records += 1
        self._show(safe=safe)
        return record

    def write(
        self,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
    ) -> Outcome:
        """See `hub.stores.writer.Writer.write`; a duplicate is not written again."""
        known = self.judge(stamp, sequence, only_close=close and not bodies)
        if known is not None:
            return known
        if close and self.busy:
            raise StreamBusy(f'a generation runs in "{self.name}": cancel it, or wait for its end')
        self._store.admit()
        for body, event in bodies:
            self.append_body(body, event)
        if stamp is not None:
            self.producers.accept(stamp)
            self._store.note(Accepted(self.name, stamp))
        if sequence is not None:
            self.sequence = sequence
            self._store.note(Sequenced(self.name, sequence))
        if close:
            self.close(stamp)
        return self.outcome(stamp)

    def judge(
        self,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        *,
        only_close: bool = False,
    ) -> Outcome | None:
        """Check a write; returns the outcome of a duplicate, ``None`` for a new one.

        ``only_close``: it closes the stream without writing records.

        Raises:
            StreamClosed, StreamNotFound: the stream takes no more records.
            ProducerFenced, ProducerGap, RequestError, Conflict: as
                `hub.domain.producers.Producers.check`.
            Conflict: ``stream_seq``: the sequence is not greater than the last.
        """
        if self.sealed:
            again = only_close if stamp is None else stamp == self.closed_by
            if self.gone or not again:
                self._expect_open()
            return self.outcome(stamp, duplicate=True)
        if stamp is not None and not self.producers.check(stamp, self.settings.owner):
            return self.outcome(stamp, duplicate=True)
        last = self.sequence
        # Byte by byte, for the whole stream (protocol section 5.2).
        if sequence is not None and last is not None and sequence.encode() <= last.encode():
            raise Conflict("Stream-Seq must be greater than the last", code="stream_seq")
        return None

    def outcome(self, stamp: Stamp | None = None, *, duplicate: bool = False) -> Outcome:
        """The outcome of a write that was just made."""
        number = None if stamp is None else self.producers.last(stamp)
        end = Position(self.epoch, self.end)
        return Outcome(end, self.sealed, self.settings.content_type, duplicate, number)

    def begin(self, beginning: Beginning) -> Outcome:
        """See `hub.stores.writer.Writer.begin`."""
        self._expect_open()
        generation = beginning.generation
        if self.writer is None or self.writer.id != generation:
            raise StreamBusy(f'"{self.name}" is not held for {generation}')
        queued = beginning.queued
        if queued is not None and self.queue[:1] != (queued,):
            raise Conflict("it is not the next prompt of the queue any more", code="not_queued")
        bodies = [encode(event) for event in beginning.events]
        position = Position(self.epoch, self.end)
        for body, event in zip(bodies, beginning.events, strict=True):
            started = self._append(body, lean(event), safe=False).offset
        self._store.note(Began(self.name, generation, position, started))
        if beginning.key is not None:
            key, fingerprint = beginning.key, beginning.fingerprint
            self._store.note(Keyed(self.name, key, fingerprint, generation, position))
        if self.queue:
            # With what was held back before: another answer may end well.
            self.set_queue(self.queue if queued is None else self.queue[1:], held=False)
        return self.outcome()

    def set_queue(self, queue: Iterable[QueuedPrompt], *, held: bool) -> None:
        """Let these prompts wait, in this order; the caller writes the events that tell of it."""
        queue = tuple(queue)
        self.size += _size(queue) - _size(self.queue)
        self.queue = queue
        self.held = held and bool(self.queue)
        if not self.gone:
            self._store.note(QueueSet(self.name, self.queue, self.held))

    def _expect_open(self) -> None:
        if self.gone:
            raise StreamNotFound(f'"{self.name}" was deleted')
        if self.sealed:
            raise StreamClosed.named(self.name, str(Position(self.epoch, self.end)))

    def close(self, stamp: Stamp | None = None) -> None:
        """Let nothing more be written; does nothing if the stream is closed.

        A generation that writes here is ended first, so that its terminal event comes before the
        close, and what waits is dropped. Readers are told once the close is committed, because they
        would not come back to learn that it was lost.
        """
        if self.writer is not None:
            self.writer.end()
        if not self.sealed:
            self.drop(self.queue)
            self.sealed = True
            self.closed_by = stamp
            self._store.note(Closed(self.name, stamp))
            self._show(safe=True)

    def drop(
        self,
        prompts: Iterable[QueuedPrompt],
        *,
        code: str = "",
        message: str = "",
        hold: bool = False,
    ) -> None:
        """Take prompts out of the queue; ``code`` and ``message`` say why they cannot begin.

        With ``hold`` the others wait until somebody sends one of them.
        """
        dropped = [one.generation for one in prompts]
        if dropped:
            left = [one for one in self.queue if one.generation not in dropped]
            held = self.held or hold
            for one in dropped:
                self.append(Dropped(one, code, message, now(), {"held": True} if held else {}))
            self.set_queue(left, held=held)

    def abandon(self) -> None:
        """Give the stream up, because the store cannot keep it: cut off its readers, and end the
        generation that writes here.
        """
        self.gone = self.sealed = True
        if self.writer is not None:
            self.writer.end()
        self.lose()

    @property
    def full(self) -> bool:
        return self._store.full

    async def space(self) -> None:
        await self._store.space()

    async def committed(self) -> None:
        """Wait until everything written so far is safe; see `hub.stores.Store.synced`."""
        await self._store.synced(self.name)

    def _show(self, *, safe: bool) -> None:
        """Show readers what was written: now, or once it and all before it is committed."""
        if safe or self._deferred_shows or self._deferred:
            self._deferred_shows += 1
            self._store.after(partial(self._show_deferred, self.end, closed=self.sealed), self.name)
        else:
            self.reveal(self.end, closed=self.sealed)

    def _show_deferred(self, end: int, *, closed: bool) -> None:
        self._deferred_shows -= 1
        self.reveal(end, closed=closed)

    # Keeping

    def shrink(self, size: int) -> None:
        """Keep about ``size`` bytes in memory; the newest record stays."""
        self._release(self._fitting(size, self._retention.max_records))

    def _retain(self) -> None:
        kept = self._retention
        if self._store.durable:
            if self.tail - self.head > kept.max_records:
                self._forget(self.tail - kept.max_records)
            if self.size > kept.warm_bytes * 2 and not self._cooling:
                self.shrink(kept.warm_bytes)
        elif self.size > kept.max_bytes or self.tail - self.head > kept.max_records:
            self._release(self._fitting(kept.max_bytes, kept.max_records))

    def _release(self, offset: int) -> None:
        """Drop the records before ``offset`` from memory, and entirely if the store lacks them."""
        if self._store.durable:
            if offset > self.warm and not self._cooling:
                self._cooling = True
                self._store.after(partial(self._cool_committed, offset), self.name)
        else:
            self._forget(offset)

    def _cool_committed(self, offset: int) -> None:
        self._cooling = False
        self.cool(offset)
        # More may have been written meanwhile than this made space for.
        self._retain()

    def _forget(self, offset: int) -> None:
        if offset > self.head and not self.gone:
            self.trim(offset)
            self._store.note(Trimmed(self.name, self.head))

    # Forking

    def forked(self, offset: int, epoch: int) -> tuple[tuple[int, int], ...]:
        """The epochs of a fork at an offset: those of this stream up to there, and its own."""
        mine = self._lives.until(offset)
        own = [] if mine and mine[-1][0] >= epoch else [(epoch, offset)]
        return tuple(mine + own)


def _size(queue: tuple[QueuedPrompt, ...]) -> int:
    return sum(prompt.size for prompt in queue)
