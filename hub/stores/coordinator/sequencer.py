"""Whether each change of a stream is allowed, which offsets it gets, and what is told of it.

It is decided from memory, in one step of the event loop: nothing comes between a check and its
deed. The store is told of it in the same step, so it keeps all of it or nothing. Whoever asked is
answered, and whoever listens hears of it, once the store has committed it
(`hub.stores.coordinator.server`). So nobody is shown what a crash can take back.

An incarnation begins with each start of the coordinator, and each time the store has to leave
something out. A stream's first change in one raises its epoch. It settles for a while, in which
streams of before are only put back: the file may be an older copy, or an empty one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from hub.domain.epochs import Epochs, above
from hub.domain.errors import HubError, StoreError, StreamClosed, StreamNotFound
from hub.domain.producers import Producers, Stamp, check_space
from hub.domain.records import UNREAD, Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Closed,
    Created,
    Ended,
    Hidden,
    Listed,
    OwnerChanged,
    Raised,
    Sequenced,
    Touched,
    Trimmed,
    refusals,
)
from hub.stores.coordinator.changes import Changes, Limits, Settling
from hub.stores.coordinator.held import UNLIMITED, Held
from hub.stores.shared import (
    Bodies,
    DroppedPrompt,
    Entry,
    SourceHold,
    State,
    Tick,
    Ticked,
    Written,
    is_held,
)

__all__ = ["Sequencer"]

HOLD_SECONDS: Final = 60.0
"""How long records are kept for a fork that does not begin."""


class Sequencer(Changes):
    """The operations; each takes the stream that `open` returns, ``None`` if there is none."""

    # Operations on a stream

    def create(
        self,
        held: Held | None,
        source: Held | None,
        name: str,
        limits: Limits,
        settings: StreamSettings,
        bodies: Bodies,
        *,
        close: bool,
        expires: int | None,
        head: int,
        epochs: Sequence[tuple[int, int]],
    ) -> tuple[Written, StreamSettings | None]:
        """See `SharedEngine.create`; ``source`` is that of a fork."""
        if held is not None:
            if held.hidden:
                raise refusals.deleted(name)
            return held.written(duplicate=True), held.settings
        self.settle(limits)
        self._store.admit()
        fork = settings.fork
        if fork is not None:
            if source is None:
                raise StreamNotFound.named(fork.source)
            if (fork.token or name) not in source.holds and name not in source.forks:
                raise refusals.moved(fork.source)  # what it begins with may be gone by now
        epoch = self._store.epoch_above(max((past for past, _ in epochs), default=0))
        tail = 0 if fork is None else fork.offset
        lives = above([*epochs, (epoch, tail)], self._store.last(name))
        made = Held(
            name=name,
            settings=settings,
            born=epoch,
            epochs=Epochs(lives),
            life=self.incarnation,
            head=head,
            tail=tail,
            change=0,
            producers=Producers(most=UNLIMITED),
            expires=expires,
        )
        self._store.note(Created(name, settings, tuple(made.epochs), head))
        if fork is not None and source is not None:
            source.holds.pop(fork.token or name, None)
            source.forks.add(name)
        if expires is not None:
            self._store.note(Touched(name, expires / 1000))
        if close:
            self._close(made, {})
        self._add(made)
        self._append(made, bodies)
        made.change = 1
        self._store.note(made.counted)
        self._tell(made, tail, {"reload": True})
        return made.written(), None

    def write(
        self,
        held: Held | None,
        name: str,
        limits: Limits,
        bodies: Bodies,
        *,
        stamp: Stamp | None,
        sequence: str | None,
        close: bool,
        born: int | None,
    ) -> Written:
        """See `SharedEngine.write`."""
        held = self._writable(held, name, limits, born)
        producers = held.producers
        if held.closed:
            again = stamp == held.closed_by if stamp is not None else close and not bodies
            if not again:
                raise StreamClosed.named(name, str(Position(held.epoch, held.tail)))
            number = None if stamp is None else producers.last(stamp)
            return held.written(duplicate=True, number=number)
        if stamp is not None:
            if stamp.producer not in producers.all:
                owner = held.settings.owner
                check_space(producers.all, stamp.producer, owner, limits.max_producers)
            if not producers.check(stamp):
                return held.written(duplicate=True, number=producers.last(stamp))
        if not _rises(held.sequence, sequence):
            raise refusals.not_rising()
        if close and (held.running is not None or held.queue):
            raise refusals.runs(name)
        self._store.admit()
        told: dict[str, Any] = {}
        self._raise(held)
        self._trim(held, len(bodies), limits, told)
        self._postpone(held, told)
        if sequence is not None:
            held.sequence = told["sequence"] = sequence
            self._store.note(Sequenced(name, sequence))
        if stamp is not None:
            producers.accept(stamp)
            told["stamp"] = stamp
            self._store.note(Accepted(name, stamp))
        if close:
            self._close(held, told, stamp)
        written = self._change(held, told, bodies)
        return written if stamp is None else written._replace(number=stamp.number)

    def delete(
        self, held: Held | None, name: str, limits: Limits, *, born: int | None
    ) -> SourceHold | None:
        """See `SharedEngine.delete`."""
        held = self._writable(held, name, limits, born)
        self._store.admit()
        if not held.needed:
            self._remove(held)
            return SourceHold.of(held.name, held.settings)
        self._hide(held)
        return None

    def touch(self, held: Held | None, name: str, limits: Limits) -> Written:
        """See `SharedEngine.touch`."""
        held = self._writable(held, name, limits)
        if held.settings.ttl is None:
            return held.written()
        self._store.admit()
        told: dict[str, Any] = {}
        self._postpone(held, told)
        return self._change(held, told)

    def set_owner(self, held: Held | None, name: str, limits: Limits, owner: str | None) -> Written:
        """See `SharedEngine.set_owner`."""
        held = self._writable(held, name, limits)
        self._store.admit()
        held.settings = replace(held.settings, owner=owner)
        self._store.note(OwnerChanged(name, owner))
        return self._change(held, {"owner": owner or ""})

    def hold(
        self,
        held: Held | None,
        fork: Held | None,
        limits: Limits,
        hold: SourceHold,
        offset: int,
    ) -> bool:
        """See `SharedEngine.hold`. A hold is not stored: the fork is, once it begins."""
        held = self._writable(held, hold.source, limits)
        if not held.head <= offset <= held.tail:
            return False
        if not _is_fork(fork, hold):
            held.holds[hold.key] = time.monotonic() + HOLD_SECONDS
        return True

    def release(
        self, held: Held | None, fork: Held | None, limits: Limits, hold: SourceHold
    ) -> SourceHold | None:
        """See `SharedEngine.release`. The store has no tokens: it knows whether there is a fork."""
        held = self.found(held, hold.source, limits)
        held.holds.pop(hold.key, None)
        if not _is_fork(fork, hold):
            held.forks.discard(hold.fork)
        if held.needed or not held.hidden:
            return None
        self._store.admit()
        self._remove(held)
        return SourceHold.of(held.name, held.settings)

    # What was lost

    def restore(
        self,
        held: Held | None,
        source: Held | None,
        name: str,
        limits: Limits,
        state: State,
        lost: tuple[int, int] | None,
    ) -> bool:
        """See `SharedEngine.restore`; ``source`` is that of a fork."""
        found = None if held is None else (held.epoch, held.change)
        if found != lost or (held is not None and held.life == self.incarnation):
            return False
        if held is None:
            if self._store.last(name) >= state.epoch:
                return False
            if state.settings.fork is not None and source is None:
                self.settle(limits)  # it may be put back, too
                return False
        note = self._store.note
        made = Held.put_back(name, state)
        if held is None:
            note(Created(name, state.settings, tuple(made.epochs), state.head))
            if source is not None:
                source.forks.add(name)
        else:
            made.forks, made.holds = held.forks, held.holds
            for epoch, first in made.epochs:
                if epoch > held.epoch:
                    note(Raised(name, epoch, first))
            note(Trimmed(name, state.head))
            note(OwnerChanged(name, state.settings.owner))
            if held.running not in (None, state.running):
                note(Ended(name, held.running or "", None))
        event = UNREAD if state.settings.is_json else None
        for entry in state.entries:
            for offset, body in enumerate(entry.bodies, entry.first):
                if held is None or offset >= held.tail:
                    note(Appended(name, Record(offset, body, event)))
        for producer, (epoch, number) in state.producers.items():
            note(Accepted(name, Stamp(producer, epoch, number)))
        if state.sequence is not None:
            note(Sequenced(name, state.sequence))
        if state.closed:
            note(Closed(name, state.closed_by))
        if state.hidden:
            note(Hidden(name))
        if state.expires is not None:
            note(Touched(name, state.expires / 1000))
        if state.queue or (held is not None and held.queue):
            self._note_queue(made)
        if state.running is not None:
            epoch, first, started = map(int, state.began.split(":"))
            note(Began(name, state.running, Position(epoch, first), started))
        note(made.counted)
        self._add(made)
        self._tell(made, made.tail, {"reload": True})
        return True

    # Generations

    def begin(
        self,
        held: Held | None,
        name: str,
        limits: Limits,
        generation: str,
        node: str,
        tail: int,
        bodies: Bodies,
        *,
        queue: tuple[str, str] | None,
        begun: bool,
    ) -> Written | None:
        """See `SharedEngine.begin`; ``begun``: the store has it already."""
        held = self._writable(held, name, limits)
        if begun or self._begun.get(generation) == name:
            return None
        if held.closed:
            raise StreamClosed.named(name, str(Position(held.epoch, held.tail)))
        if held.running is not None:
            raise refusals.busy(name)
        if held.tail != tail:
            raise refusals.moved(name)
        if queue is not None and queue[0] != held.queue:
            raise refusals.requeued(name)
        if queue is None and held.queue and not is_held(held.queue):
            raise refusals.busy(name)
        self._store.admit()
        self._raise(held)
        started = tail + len(bodies) - 1
        held.running, held.node, held.number = generation, node, len(bodies)
        held.began = f"{held.epoch}:{tail}:{started}"
        told: dict[str, Any] = {
            "running": generation,
            "node": node,
            "number": held.number,
            "began": held.began,
        }
        self._trim(held, len(bodies), limits, told)
        self._postpone(held, told)
        if held.queue:
            self._enqueue(held, told, held.prompts if queue is None else queue[1], hold=False)
        written = self._change(held, told, bodies)
        self._store.note(Began(name, generation, Position(held.epoch, tail), started))
        self._remember(generation, name)
        return written

    def ticks(
        self, held: Sequence[Held | None], ticks: Sequence[Tick], limits: Limits
    ) -> list[Ticked]:
        """See `SharedEngine.tick`.

        Raises:
            Settling: all have to be asked again; those that were written have other numbers then.
        """
        self._store.admit()
        found: list[Ticked] = []
        waits = 0
        for one, tick in zip(held, ticks, strict=True):
            try:
                found.append(self._tick(one, tick, limits))
            except Settling as settling:
                waits = max(waits, settling.milliseconds)
        if waits:
            raise Settling(waits)
        return found

    def _tick(self, held: Held | None, tick: Tick, limits: Limits) -> Ticked:
        try:
            held = self._writable(held, tick.stream, limits)
        except HubError:
            return Ticked()
        if held.running != tick.generation:
            return Ticked()
        if held.number != tick.number:
            return Ticked(number=held.number)
        held.number += len(tick.bodies)
        told: dict[str, Any] = {"number": held.number}
        self._raise(held)
        self._trim(held, len(tick.bodies), limits, told)
        return Ticked(self._change(held, told, tick.bodies), cancelled=held.cancelled)

    def end(
        self,
        held: Held | None,
        name: str,
        limits: Limits,
        generation: str,
        bodies: Bodies,
        *,
        number: int | None,
        close: bool,
        queue: str | None,
        hold: bool,
    ) -> Ticked:
        """See `SharedEngine.end`."""
        held = self._writable(held, name, limits)
        if held.running != generation:
            return Ticked()
        if number is not None and number != held.number:
            return Ticked(number=held.number)
        if queue not in (None, held.queue):
            return Ticked(requeued=True)
        self._store.admit()
        told: dict[str, Any] = {"running": ""}
        self._raise(held)
        self._postpone(held, told)
        if close:
            self._close(held, told)
        if hold and held.queue:
            self._enqueue(held, told, held.prompts, hold=True)
        held.stop_running()
        written = self._change(held, told, bodies)
        self._store.note(Ended(name, generation, held.tail - 1))
        return Ticked(written)

    def queue(
        self,
        held: Held | None,
        name: str,
        limits: Limits,
        version: str,
        bodies: Bodies,
        prompts: tuple[str, str],
        *,
        hold: bool,
        added: str | None,
        begun: bool,
        dropped: DroppedPrompt | None,
    ) -> Written | None:
        """See `SharedEngine.queue`; ``begun``: the store has what is ``added`` already."""
        held = self._writable(held, name, limits)
        if begun or (added is not None and self._begun.get(added) == name):
            return None
        if held.closed:
            raise StreamClosed.named(name, str(Position(held.epoch, held.tail)))
        if held.queue != version:
            raise refusals.requeued(name)
        self._store.admit()
        self._raise(held)
        text, rest = prompts
        if rest:
            text += f"{Position(held.epoch, held.tail)}{rest}"
        told: dict[str, Any] = {}
        self._trim(held, len(bodies), limits, told)
        self._postpone(held, told)
        self._enqueue(held, told, text, hold=hold)
        written = self._change(held, told, bodies)
        if dropped is not None:
            generation, epoch, first = dropped
            self._store.note(Began(name, generation, Position(epoch, first), first))
            self._store.note(Ended(name, generation, held.tail - 1))
            self._remember(generation, name)
        return written

    def cancel(self, held: Held | None, name: str, limits: Limits, generation: str) -> str | None:
        """See `SharedEngine.cancel`."""
        held = self._writable(held, name, limits)
        if held.running != generation:
            return None
        self._store.admit()
        held.cancelled = True
        self._store.note(held.counted)
        return held.node

    # What is read

    async def committed(self, name: str) -> None:
        """Wait until what was changed of a stream is committed.

        Raises:
            StoreError: ``store_full``: that is not possible at the moment.
        """
        if not self._store.pending(name):
            return
        if (why := self._store.trouble) is not None:
            raise StoreError(
                f'"{name}" has changes that cannot be stored: {why}', code="store_full"
            )
        await self._store.synced(name)

    async def load(self, held: Held, limit: int) -> State:
        """A stream as it is at the call, with its newest records; see `SharedEngine.load`."""
        state = held.state()
        await self.committed(held.name)
        if not limit:
            return state
        found = await self._store.newest(held.name, state.tail, limit)
        return replace(state, entries=_entries(found))

    async def read(self, held: Held, offset: int, limit: int) -> list[Entry]:
        """See `SharedEngine.read`."""
        await self.committed(held.name)
        found = await self._store.read(held.name, offset, max(limit, 1))
        if not held.needed:
            # What was trimmed is deleted gradually.
            found = [record for record in found if record.offset >= held.head]
        return _entries(found)

    async def listed(
        self, prefix: str, after: str, limit: int, owner: str | None, limits: Limits
    ) -> list[Listed]:
        """See `SharedEngine.listed`."""
        self.settle(limits)
        if owner is None:
            return await self._store.listed(prefix, after, limit, time.time())
        return await self._store.owned(owner, prefix, after, limit, time.time())

    async def begun(self, name: str, generation: str) -> bool:
        """Whether a generation has begun in a stream, or was dropped."""
        found = await self._store.locate(generation)
        if found is not None and found.stream == name:
            return True
        return self._begun.get(generation) == name

    async def heal(
        self, held: Held | None, version: tuple[int, int], entries: Sequence[Entry]
    ) -> bool:
        """See `SharedEngine.heal`."""
        if held is None or (held.epoch, held.change) != version:
            return False
        await self._store.heal(held.name, list(_records(entries)))
        return True


def _is_fork(fork: Held | None, hold: SourceHold) -> bool:
    """Whether the stream that has the name of a fork now is one of the same source."""
    found = None if fork is None else fork.settings.fork
    return found is not None and found.source == hold.source


def _rises(old: str | None, new: str | None) -> bool:
    """Whether a sequence may come after another: byte by byte."""
    return new is None or old is None or new.encode() > old.encode()


def _records(entries: Iterable[Entry]) -> Iterable[Record]:
    for entry in entries:
        for offset, body in enumerate(entry.bodies, entry.first):
            yield Record(offset, body, None)


def _entries(records: Iterable[Record]) -> list[Entry]:
    """Records that join are one entry."""
    found: list[tuple[int, list[bytes]]] = []
    expected = None
    for record in records:
        if record.offset != expected:
            found.append((record.offset, []))
        found[-1][1].append(record.body)
        expected = record.offset + 1
    return [Entry(first, bodies) for first, bodies in found]
