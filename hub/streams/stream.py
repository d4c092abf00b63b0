"""A stream: a named, ordered, append-only sequence of records that closes at most once.

Reading is `hub.streams.history`, following is `hub.streams.followed`; this is the part that is
written. Used from one event loop. Writing never waits: followers are served by a flush at the end
of the loop's tick (see `hub.streams.fanout`), the store writes behind. What must be safe before it
is answered is followed by `committed`. What a write depends on is judged in the same turn of the
loop in which it is written.

With ``deliver="committed"`` a record is shown only when the store has it: writers write at
`end`, readers read to `tail`, and a commit moves the tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Conflict, StreamBusy, StreamClosed, StreamNotFound
from hub.domain.events import Event, encode
from hub.domain.outcome import Outcome
from hub.domain.producers import Producers, Stamp
from hub.domain.records import UNREAD, Body, Position, Record, Unread, lean
from hub.domain.stream_settings import JSON, StreamSettings
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Closed,
    Keyed,
    Raised,
    Saved,
    Sequenced,
    Store,
    Trimmed,
)
from hub.stores.memory import MemoryStore
from hub.stores.writer import Beginning
from hub.streams.followed import FollowedStream
from hub.streams.shared_budget import SharedBudget

__all__ = ["JSON", "ActiveWriter", "Body", "Retention", "Stream"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its past a stream keeps: bytes of memory (see `Record.size`), records, and
    producers.

    ``warm_bytes`` of it stay in memory where a store has the rest.
    """

    max_bytes: int = defaults.MAX_BYTES
    max_records: int = defaults.MAX_RECORDS
    warm_bytes: int = defaults.WARM_BYTES
    max_producers: int = defaults.MAX_PRODUCERS


class ActiveWriter(Protocol):
    """A generation that writes in a stream, or is about to."""

    @property
    def id(self) -> str:
        """The generation's id."""

    @property
    def started(self) -> int | None:
        """The offset of its first event; ``None`` before that."""

    def end(self) -> None:
        """Stop at once: when this returns, its last event is written, and it writes no more."""


class Stream(FollowedStream):
    """A stream that is written in this process, one write after the other."""

    _store: Store

    __slots__ = (
        "_cooling",
        "_deferred",
        "_held",
        "_raised",
        "_retention",
        "closed_by",
        "end",
        "ended",
        "expires",
        "forks",
        "gone",
        "hidden",
        "producers",
        "sealed",
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
        moment: SharedBudget | None = None,
        slice_size: int = defaults.SLICE,
        deliver: Literal["at_once", "committed"] = defaults.DELIVER,
        epoch: int = 0,
    ) -> None:
        """Take up a stream as it was kept, or make a new one, in a life of the store."""
        saved = saved or Saved(StreamSettings(), ((epoch, 0),))
        super().__init__(
            name,
            saved,
            store or MemoryStore(),
            counts=counts,
            moment=moment,
            slice_size=slice_size,
        )
        self.end = self.tail
        """The offset of the next record to be written."""
        self.ended = 0
        """An offset before which each generation that has begun has its end, as far as is known."""
        self.sealed = saved.closed
        """Nothing may be written any more."""
        self.writer: ActiveWriter | None = None
        """The generation that writes here: one at a time."""
        self.sequence = saved.sequence
        self.closed_by = saved.closed_by
        self.expires = saved.expires
        """When it expires, in seconds since 1970."""
        self.hidden = saved.hidden
        """Deleted, and kept for its forks."""
        self.gone = False
        """Removed: another may have its name, so nothing is noted of this one."""
        self.forks = saved.forks
        self._deferred = deliver == "committed"
        self._held = 0
        """What was written and is shown once it is committed."""
        self._cooling = False
        self._retention = retention or Retention()
        self.producers = Producers(dict(saved.producers), most=self._retention.max_producers)
        self._raised = epoch <= self.epoch
        if not self._raised:
            self._lives.begin(epoch, self.tail)

    @property
    def in_use(self) -> bool:
        """Somebody is subscribed, or a generation writes here."""
        return self.writer is not None or len(self.fanout) > 0

    # Writing

    def append(self, event: Event, *, safe: bool = False) -> Record:
        """Write an event at the end; ``safe`` shows it to readers only once it is committed.

        Raises:
            StreamClosed, StreamNotFound: nothing may be written any more.
        """
        return self._append(encode(event), lean(event), safe=safe)

    def append_body(self, body: bytes, event: Event | None, *, safe: bool = False) -> Record:
        """Write a record that is already encoded; ``event`` is what its body decodes to."""
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
        """Write records, what their producer has reached, and the close: all or nothing.

        What `judge` knows is not written again.

        Raises:
            StreamBusy: it would close a stream in which something is generated.
            StoreError: nothing can be kept just now.
            HubError: as `judge`.
        """
        known = self.judge(stamp, sequence, only_close=close and not bodies)
        if known is not None:
            return known
        if close and self.writer is not None:
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
        """What becomes of a write whose records do not matter; ``None`` if it is new.

        ``only_close``: it has no records, and closes the stream.

        Raises:
            StreamClosed, StreamNotFound: nothing may be written any more.
            ProducerFenced, ProducerGap, RequestError, Conflict: as
                `hub.domain.producers.Producers.check`.
            Conflict: ``stream_seq``: the sequence is not greater than the last.
        """
        if self.sealed:
            again = only_close if stamp is None else stamp == self.closed_by
            if self.gone or not again:
                self._expect_open()
            return self.outcome(stamp, duplicate=True)
        if stamp is not None and not self.producers.check(stamp):
            return self.outcome(stamp, duplicate=True)
        last = self.sequence
        # Byte by byte (protocol section 5.2); it is kept for the whole stream.
        if sequence is not None and last is not None and sequence.encode() <= last.encode():
            raise Conflict("Stream-Seq must be greater than the last", code="stream_seq")
        return None

    def outcome(self, stamp: Stamp | None = None, *, duplicate: bool = False) -> Outcome:
        """What has become of a write just now."""
        number = None if stamp is None else self.producers.last(stamp)
        end = Position(self.epoch, self.end)
        return Outcome(end, self.sealed, self.settings.content_type, duplicate, number)

    def begin(self, beginning: Beginning) -> Outcome:
        """Write how the generation begins for which `writer` holds it, and note that it runs.

        Raises:
            StreamBusy: it is not held for this generation.
            StreamClosed, StreamNotFound: nothing may be written any more.
            RequestError: an event cannot be written as JSON.
        """
        self._expect_open()
        generation = beginning.generation
        if self.writer is None or self.writer.id != generation:
            raise StreamBusy(f'"{self.name}" is not held for {generation}')
        bodies = [encode(event) for event in beginning.events]
        position = Position(self.epoch, self.end)
        for body, event in zip(bodies, beginning.events, strict=True):
            started = self._append(body, lean(event), safe=False).offset
        self._store.note(Began(self.name, generation, position, started))
        if beginning.key is not None:
            key, fingerprint = beginning.key, beginning.fingerprint
            self._store.note(Keyed(self.name, key, fingerprint, generation, position))
        return self.outcome()

    def _expect_open(self) -> None:
        if self.gone:
            raise StreamNotFound(f'"{self.name}" was deleted')
        if self.sealed:
            raise StreamClosed(
                f'stream "{self.name}" is closed and takes no more records',
                position=str(Position(self.epoch, self.end)),
            )

    def close(self, stamp: Stamp | None = None) -> None:
        """Let nothing more be written. Closing again is nothing.

        What writes here is ended first, so that its last event comes before the end. Readers at
        the tail are told once it is committed: they do not come back to hear that it was not.
        """
        if self.writer is not None:
            self.writer.end()
        if not self.sealed:
            self.sealed = True
            self.closed_by = stamp
            self._store.note(Closed(self.name, stamp))
            self._show(safe=True)

    def abandon(self) -> None:
        """Be gone, because the store cannot keep what is here: whoever reads it is cut off, and
        what writes here is ended.
        """
        self.gone = self.sealed = True
        if self.writer is not None:
            self.writer.end()
        self.lose()

    @property
    def full(self) -> bool:
        """The store holds as much as it may."""
        return self._store.full

    async def space(self) -> None:
        """Wait until the store takes more; for whoever can make a source wait."""
        await self._store.space()

    async def committed(self) -> None:
        """Wait until everything written so far is as safe as the store makes it.

        Raises:
            StoreError: the store cannot say so.
        """
        await self._store.synced(self.name)

    def _show(self, *, safe: bool) -> None:
        """Let readers see what was written: now, or once it and all before it is committed."""
        if safe or self._held or self._deferred:
            self._held += 1
            self._store.after(partial(self._show_held, self.end, closed=self.sealed), self.name)
        else:
            self.reveal(self.end, closed=self.sealed)

    def _show_held(self, end: int, *, closed: bool) -> None:
        self._held -= 1
        self.reveal(end, closed=closed)

    # Keeping

    def shrink(self, size: int) -> None:
        """Have about ``size`` bytes in memory; the newest record stays."""
        self._give_up(self._fitting(size, self._retention.max_records))

    def _retain(self) -> None:
        kept = self._retention
        if self._store.durable:
            if self.tail - self.head > kept.max_records:
                self._forget(self.tail - kept.max_records)
            if self.size > kept.warm_bytes * 2 and not self._cooling:
                self.shrink(kept.warm_bytes)
        elif self.size > kept.max_bytes or self.tail - self.head > kept.max_records:
            self._give_up(self._fitting(kept.max_bytes, kept.max_records))

    def _give_up(self, offset: int) -> None:
        """Let go of records in memory: for good, unless the store has them."""
        if self._store.durable:
            if offset > self.warm and not self._cooling:
                self._cooling = True
                self._store.after(partial(self._cooled, offset), self.name)
        else:
            self._forget(offset)

    def _cooled(self, offset: int) -> None:
        self._cooling = False
        self.cool(offset)
        # More may have been written since than that made space for.
        self._retain()

    def _forget(self, offset: int) -> None:
        if offset > self.head and not self.gone:
            self.trim(offset)
            self._store.note(Trimmed(self.name, self.head))

    # Forking

    def forked(self, offset: int, epoch: int) -> tuple[tuple[int, int], ...]:
        """The lives of a fork at an offset: those of this stream up to there, and its own."""
        mine = self._lives.until(offset)
        own = [] if mine and mine[-1][0] >= epoch else [(epoch, offset)]
        return tuple(mine + own)
