"""A hub's copy of a stream that several hubs write: it is followed here, and can be put back.

The engine (`hub.stores.shared`) decides what is in a stream. A mirror has what the engine accepted,
from its notices, and shows readers nothing else. So a record is shown only once it cannot be
refused any more. A notice that does not join what the mirror has is not applied: the mirror is
loaded again.

The engine may lose what it had accepted, and so what readers have seen. When it is back, the two
copies are compared (`relation`):

    same      nothing was lost
    behind    the mirror lacks what others have written meanwhile: it takes that
    ahead     the engine has lost the rest: the mirror puts it back
    parted    both have something that the other lacks, and the engine's counts: the mirror is given
              up, its readers come back, and those who have seen what is un-written are reset

The past of two copies is compared by their epochs alone. In one epoch a change has one content,
whoever has it. So two copies are the same up to where the first of them ends the last epoch that
both have had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.epochs import Epochs, Life
from hub.domain.errors import Conflict, ProducerGap, RequestError, StreamClosed
from hub.domain.outcome import Outcome
from hub.domain.producers import Producers, Stamp
from hub.domain.queued_prompt import decode_queue
from hub.domain.records import UNREAD, Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Past, Saved
from hub.stores.shared import Entry, Notice, State, Written, is_held
from hub.streams.opened import OpenedStream
from hub.streams.shared_budget import SharedBudget

__all__ = ["Mirror", "Relation", "Version", "relation"]

ENTRY_BYTES: Final = 256 * 1024
ENTRY_RECORDS: Final = 1024
"""The most that is put back as one entry."""

Relation = Literal["same", "behind", "ahead", "parted"]


class Version(NamedTuple):
    """How far a copy of a stream goes: its epochs, its tail, and the number of its last change."""

    epochs: Sequence[Life]
    tail: int
    change: int
    closed: bool = False

    @classmethod
    def of(cls, state: State) -> Version:
        return cls(state.epochs, state.tail, state.change, state.closed)

    @property
    def epoch(self) -> int:
        return self.epochs[-1][0]

    def end(self, epoch: int) -> int:
        """The offset at which an epoch that it has had was over, or the tail."""
        return next((first for later, first in self.epochs if later > epoch), self.tail)


def relation(mine: Version, theirs: Version) -> Relation:
    """What a mirror's copy is to the engine's."""
    if mine.epoch == theirs.epoch:
        if mine.change == theirs.change:
            return "same"
        return "behind" if mine.change < theirs.change else "ahead"
    shared = _shared(mine, theirs)
    if mine.epoch > theirs.epoch:
        return "ahead" if theirs.tail <= shared else "parted"
    if mine.tail > shared:
        return "parted"
    # Whoever was told that it is closed would not come back to hear that it goes on.
    return "parted" if mine.closed and not (theirs.closed and theirs.tail == shared) else "behind"


def _shared(mine: Version, theirs: Version) -> int:
    """The offset up to which two copies of a stream are the same; 0 if that is not known."""
    both = {epoch for epoch, _ in mine.epochs} & {epoch for epoch, _ in theirs.epochs}
    return min(mine.end(max(both)), theirs.end(max(both))) if both else 0


class Mirror(OpenedStream):
    """A stream as the engine had it at its last notice.

    Its newest records, ``kept_bytes`` in memory, are here; older ones are read from the engine, and
    cannot be put back.
    """

    __slots__ = (
        "_began",
        "_epochs",
        "_kept_bytes",
        "_life",
        "_number",
        "_told_run",
        "born",
        "change",
        "closed_by",
        "expires",
        "hidden",
        "node",
        "producers",
        "prompts",
        "queue_version",
        "removed",
        "running",
        "sequence",
    )

    def __init__(
        self,
        name: str,
        state: State,
        past: Past,
        *,
        counts: Counters | None = None,
        cache_budget: SharedBudget | None = None,
        slice_size: int = defaults.SLICE,
        kept_bytes: int = defaults.MAX_BYTES,
    ) -> None:
        records = tuple(_newest(state))
        super().__init__(
            name,
            Saved(state.settings, state.epochs, state.head, state.tail, records, state.closed),
            past,
            counts=counts,
            cache_budget=cache_budget,
            slice_size=slice_size,
        )
        self._kept_bytes = kept_bytes
        self._told_run: Callable[[], None] | None = None
        self.sealed = self.closed
        self.queue_version = self.prompts = ""
        self.queue, self.held = (), False
        self.born = state.born
        """The epoch in which it began; no other stream of its name has the same."""
        self.removed = False
        self._adopt(state)
        self.trim(state.head)  # an entry may begin before it

    def _adopt(self, state: State) -> None:
        self.settings = state.settings
        self._lives = Epochs(state.epochs)
        self._epochs = {epoch for epoch, _ in state.epochs}
        """Also those in which nothing was written, which `Epochs` does not keep."""
        self.change = state.change
        self._life = state.life
        self.producers = dict(state.producers)
        self.closed_by: Stamp | None = state.closed_by
        self.sequence = state.sequence
        self.hidden = state.hidden
        """Deleted, but kept for its forks."""
        self.expires = state.expires
        """When it expires, in milliseconds since 1970."""
        self.running = state.running
        """The generation that runs in it, here or in another hub."""
        self.node = state.node
        """The hub in which it runs."""
        self._number, self._began = state.number, state.began
        self._enqueue(state.queue, state.prompts)

    def _enqueue(self, version: str, prompts: str | None) -> None:
        self.queue_version, self.held = version, is_held(version)
        if prompts is not None and prompts != self.prompts:
            self.prompts, self.queue = prompts, decode_queue(self.name, prompts)

    @property
    def version(self) -> Version:
        return Version(tuple(self._lives), self.tail, self.change, self.closed)

    @property
    def unfinished(self) -> tuple[str, int] | None:
        """The generation that runs in it, and the offset of its `hub.domain.events.Started`."""
        if self.running is None:
            return None
        return self.running, int(self._began.rpartition(":")[2])

    def when_run_changes(self, told: Callable[[], None] | None) -> None:
        """Call ``told`` whenever another generation runs in it, or none, another prompt waits, or
        it is gone.
        """
        self._told_run = told

    @property
    def moves(self) -> bool:
        """Whether the next prompt of its queue begins as soon as nothing runs."""
        return bool(self.queue) and not self.held

    @property
    def busy(self) -> bool:
        """Whether a generation runs in it, or its next prompt is about to."""
        return self.running is not None or self.moves

    def _tell_run(self) -> None:
        if self._told_run is not None:
            self._told_run()

    @property
    def lives(self) -> Epochs:
        """Its epochs, each with its first offset."""
        return self._lives

    def outcome(self) -> Outcome:
        """The end of the stream, for writers."""
        return Outcome(self.position, self.closed, self.settings.content_type)

    def has_been(self, epoch: int) -> bool:
        """Whether the stream was in an epoch since it began."""
        return epoch >= self.born and epoch in self._epochs

    def judge(self, stamp: Stamp | None = None, *, only_close: bool = False) -> Outcome | None:
        """See `hub.streams.opened.OpenedStream.judge`.

        Only what cannot change any more is told here. What seems to be missing may have been
        written over another hub a moment ago, and the engine knows.
        """
        if self.closed:
            again = only_close if stamp is None else stamp == self.closed_by
            if self.removed or not again:
                raise StreamClosed.named(self.name, str(self.position))
            return self._duplicate(stamp)
        try:
            known = stamp is not None and not Producers(self.producers).check(stamp)
        except (ProducerGap, RequestError, Conflict):
            return None
        return self._duplicate(stamp) if known else None

    def _duplicate(self, stamp: Stamp | None) -> Outcome:
        number = None if stamp is None else Producers(self.producers).last(stamp)
        return replace(self.outcome(), duplicate=True, number=number)

    def reveal(self, tail: int, *, closed: bool) -> None:
        self.sealed = closed
        super().reveal(tail, closed=closed)

    def has(self, written: Written) -> bool | None:
        """Whether a change has come here; ``None`` if it never will, because it was lost."""
        if self.epoch == written.epoch:
            return self.change >= written.change
        if self.epoch < written.epoch:
            return False
        return True if self.version.end(written.epoch) >= written.tail else None

    # What the engine tells

    def take(self, notice: Notice, incarnation: int) -> bool:
        """Apply a change; false if it does not join: then the stream has to be loaded again.

        ``incarnation`` is the engine's, in which the change was made.
        """
        if (notice.epoch, notice.change) <= (self.epoch, self.change):
            return True
        joins = notice.change == self.change + 1 and notice.first == self.tail
        if not joins or notice.reload:
            return False
        if notice.removed:
            self.end()
            return True
        self._lives.begin(notice.epoch, notice.first)
        self._epochs.add(notice.epoch)
        self.change, self._life = notice.change, incarnation
        if notice.stamp is not None:
            producer, epoch, number = notice.stamp
            self.producers[producer] = (epoch, number)
        if notice.sequence is not None:
            self.sequence = notice.sequence
        if notice.expires is not None:
            self.expires = notice.expires
        if notice.running is not None:
            self.running = notice.running or None
            self.node, self._began = notice.node or "", notice.began or ""
        if notice.queue is not None:
            self._enqueue(notice.queue, notice.prompts)
        if notice.running is not None or notice.queue is not None:
            self._tell_run()
        if notice.number is not None:
            self._number = notice.number
        if notice.owner is not None:
            self.settings = replace(self.settings, owner=notice.owner or None)
        if notice.closed:
            self.closed_by = notice.closed_by
        self.hidden = self.hidden or notice.hidden
        self._extend(notice.bodies, closed=self.closed or notice.closed)
        if notice.head is not None:
            self.trim(notice.head)
        return True

    def catch_up(self, state: State, bodies: Sequence[bytes]) -> None:
        """Take what a mirror lacks that is *behind*: ``bodies`` are the records from its tail."""
        self._adopt(state)
        self._extend(bodies, closed=state.closed)
        self.trim(state.head)
        self._tell_run()

    def end(self) -> None:
        """The stream was removed: its readers are at its end."""
        self.removed = True
        self.running = None
        self._enqueue("", "")
        self.reveal(self.tail, closed=True)
        self._tell_run()

    def _extend(self, bodies: Iterable[bytes], *, closed: bool) -> None:
        end = self.tail
        for record in _records(self.settings, end, bodies):
            self._records.append(record)
            self.size += record.size
            end += 1
        self._counts.records += end - self.tail
        self.reveal(end, closed=closed)

    # What the engine has lost

    def state(self, held: int | None = None) -> State:
        """The stream as the engine keeps it, with the records that it has lost.

        The engine still has those before offset ``held``; ``None``: it has none. If there are some
        between these and the first that the mirror has, all before that one are lost for good.
        """
        if held is None:
            fork = self.settings.fork
            held = self.head if fork is None else max(self.head, fork.offset)
        start = max(held, self.warm)
        return State(
            settings=self.settings,
            born=self.born,
            epochs=tuple(self._lives),
            life=self._life,
            head=self.head if start == held else start,
            tail=self.tail,
            change=self.change,
            entries=list(_entries(start, self.newest(start, self.tail))),
            producers=self.producers,
            closed=self.closed,
            closed_by=self.closed_by,
            sequence=self.sequence,
            hidden=self.hidden,
            expires=self.expires,
            running=self.running,
            node=self.node,
            number=self._number,
            began=self._began,
            queue=self.queue_version,
            prompts=self.prompts,
        )

    def shrink(self, size: int) -> None:
        """Keep about ``size`` bytes in memory; the newest record stays."""
        self.cool(self._fitting(size, self.tail))

    def _knows(self, epoch: int) -> bool:
        return epoch in self._epochs or super()._knows(epoch)

    def _retain(self) -> None:
        if self.size > self._kept_bytes * 2:
            self.shrink(self._kept_bytes)


def _records(settings: StreamSettings, first: int, bodies: Iterable[bytes]) -> Iterator[Record]:
    event = UNREAD if settings.is_json else None
    for offset, body in enumerate(bodies, first):
        yield Record(offset, body, event)


def _newest(state: State) -> Iterator[Record]:
    """The records that join the tail without a gap."""
    first, joined = state.tail, []
    for entry in reversed(state.entries):
        if entry.end != first:
            break
        first = entry.first
        joined.append(entry)
    for entry in reversed(joined):
        yield from _records(state.settings, entry.first, entry.bodies)


def _entries(first: int, records: Iterable[Record]) -> Iterator[Entry]:
    bodies: list[bytes] = []
    size = 0
    for record in records:
        if bodies and (size + len(record.body) > ENTRY_BYTES or len(bodies) >= ENTRY_RECORDS):
            yield Entry(first, bodies)
            first, bodies, size = first + len(bodies), [], 0
        bodies.append(record.body)
        size += len(record.body)
    if bodies:
        yield Entry(first, bodies)
