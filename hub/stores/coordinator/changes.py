"""The streams in a coordinator's memory, and what every change of one consists of.

A stream stays in memory while it is used. It is changed there and noted with the store in one step
of the event loop; what was changed is told once the store has committed it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from hub.domain.errors import StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.queued_prompt import decode_queue
from hub.domain.records import UNREAD, Record
from hub.stores import (
    Appended,
    Closed,
    Ended,
    Hidden,
    QueueSet,
    Raised,
    Removed,
    Touched,
    Trimmed,
    refusals,
)
from hub.stores.coordinator.codec import notice_message
from hub.stores.coordinator.held import Held
from hub.stores.coordinator.nodes import Nodes
from hub.stores.sequenced import SequencedStore
from hub.stores.shared import Bodies, Written, is_held, queue_version

__all__ = ["Changes", "Limits", "Settling", "now"]

IDLE_SECONDS: Final = 60.0
STREAMS: Final = 20_000
"""A stream leaves memory that was not used for so long, or earlier if there are more."""

SWEPT: Final = 250
"""Streams that a sweep looks at before it lets others go on."""

BEGUN: Final = 10_000
"""Generations that are remembered beside the store, which may not have committed them yet."""


class Limits(NamedTuple):
    """What holds for whoever asks."""

    settle_seconds: float
    max_records: int
    max_producers: int


class Settling(Exception):
    """Others may still put back what was lost, for so many more milliseconds."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds


class Changes:
    """The streams of a store, which it has to itself."""

    def __init__(self, store: SequencedStore) -> None:
        self.store = self._store = store
        self._streams: OrderedDict[str, Held] = OrderedDict()
        """Those in memory; the one that was used last is the last."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._begun: OrderedDict[str, str] = OrderedDict()
        self._told: list[tuple[str, bytes]] = []
        self._since = 0.0
        """When the incarnation began to settle."""
        self._returned = False
        """A hub has come back that knows an earlier one."""
        self.incarnation = 0
        self.nodes = Nodes()

    async def start(self) -> None:
        """Begin with what the store has.

        Raises:
            StoreError: it cannot be used; the message says what to do.
        """
        for one in await self._store.start():
            held = await self.open(one.stream)
            if held is not None and held.running == one.generation:
                self.nodes.enlist(held.node, one.stream, one.generation)
        self._begin_incarnation(self._store.life)

    def _begin_incarnation(self, number: int) -> None:
        self.incarnation = number
        self._since = time.monotonic()
        self._returned = False

    def greet(self, known: int) -> None:
        """Note that a hub has connected that knows an incarnation; 0: none.

        The first one that comes back has something to put back, and so may others that will need
        as long as it did. Hubs that begin wait for nobody.
        """
        if 0 < known < self.incarnation and not self._returned:
            self._returned = True
            self._since = time.monotonic()

    async def begin_incarnation(self, above: int) -> None:
        """Begin another one, above all that anybody has seen; streams are loaded anew.

        Raises:
            StoreError: nothing can be stored at the moment.
        """
        number = await self._store.begin_life(max(above, self.incarnation))
        self._streams.clear()
        self._begun.clear()
        self._told.clear()
        for name in list(self._store.rejected):
            self._store.readmit(name)
        self._begin_incarnation(number)

    def told(self) -> list[tuple[str, bytes]]:
        """What was changed since the last call: names of streams, each with a message."""
        told, self._told = self._told, []
        return told

    # Streams in memory

    def loaded(self, name: str) -> Held | None:
        """A stream in memory, which is now used."""
        held = self._streams.get(name)
        if held is not None:
            held.used = time.monotonic()
            self._streams.move_to_end(name)
            if self._expired(held):
                if not held.needed:
                    self._remove(held)
                    fork = held.settings.fork
                    if fork is not None and (source := self._streams.get(fork.source)) is not None:
                        source.forks.discard(name)  # nobody else releases it
                    return None
                if not held.hidden:
                    self._hide(held)
        return held

    def _expired(self, held: Held) -> bool:
        return held.expires is not None and held.expires <= now()

    async def open(self, name: str) -> Held | None:
        """A stream, from the store if it is not in memory.

        Raises:
            StoreError: it cannot be read.
        """
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            if name not in self._streams:
                kept = await self._store.kept(name)
                if kept is None:
                    return None
                self._add(Held.of(name, kept))
            return self.loaded(name)

    def _add(self, held: Held) -> None:
        held.used = time.monotonic()
        self._streams[held.name] = held
        if len(self._streams) > STREAMS:
            self._leave(next(iter(self._streams.values())))

    def _leave(self, held: Held) -> None:
        """Let a stream leave memory, unless something of it is only there."""
        if not held.holds and not self._store.pending(held.name):
            del self._streams[held.name]

    async def sweep(self) -> None:
        """Let streams leave memory that are not used, and remove those that have expired.

        Called about once a second.

        Raises:
            StoreError: nothing can be stored at the moment.
        """
        second = time.monotonic()
        for count, held in enumerate(list(self._streams.values()), start=1):
            if count % SWEPT == 0:
                await asyncio.sleep(0)
            if self._streams.get(held.name) is not held:
                continue
            for fork in [name for name, end in held.holds.items() if end < second]:
                del held.holds[fork]
            if second - held.used > IDLE_SECONDS:
                self._leave(held)
        for name in await self._store.expired(time.time()):
            found = self._streams.get(name) or await self.open(name)
            if found is None:
                continue
            if found.needed and not found.hidden and self._expired(found):
                self._hide(found)
            elif found.hidden or self._expired(found):
                await self._remove_with_sources(found)

    async def _remove_with_sources(self, held: Held | None) -> None:
        """Remove a stream, and the sources that were only kept for it."""
        while held is not None:
            fork = held.settings.fork
            # Before it is removed, as another fork may begin under its name after that.
            source = None if fork is None else await self.open(fork.source)
            if held.needed or self._streams.get(held.name) is not held:
                return
            self._remove(held)
            if source is None:
                return
            source.forks.discard(held.name)
            held = source if source.hidden else None

    # What is refused

    def _settling(self, limits: Limits) -> int:
        left = self._since + limits.settle_seconds - time.monotonic()
        return max(0, min(round(left * 1000), round(limits.settle_seconds * 1000)))

    def found(self, held: Held | None, name: str, limits: Limits) -> Held:
        """A stream, if there is one.

        Raises:
            Settling: perhaps there is one again soon.
            StreamNotFound: there is none.
        """
        if held is None:
            self.settle(limits)
            raise StreamNotFound.named(name)
        return held

    def settle(self, limits: Limits) -> None:
        """
        Raises:
            Settling: others may still put something back.
        """
        left = self._settling(limits)
        if left:
            raise Settling(left)

    def _writable(
        self, held: Held | None, name: str, limits: Limits, born: int | None = None
    ) -> Held:
        """A stream that may be changed; with ``born`` only that one is meant."""
        found = self.found(held, name, limits)
        if found.life != self.incarnation:
            self.settle(limits)
        if found.hidden:
            raise refusals.deleted(name)
        if born is not None and born != found.born:
            raise StreamNotFound.named(name)
        return found

    # What is changed

    def _raise(self, held: Held) -> None:
        """Begin an epoch, if this is the first change in this incarnation."""
        if held.life != self.incarnation:
            epoch = max(self.incarnation, held.epoch + 1)
            held.epochs.begin(epoch, held.tail)
            held.life = self.incarnation
            self._store.note(Raised(held.name, epoch, held.tail))

    def _change(self, held: Held, told: Mapping[str, Any], bodies: Bodies = ()) -> Written:
        """Write records, count the change, and tell of it. The state has all the rest already."""
        self._raise(held)
        first = held.tail
        self._append(held, bodies)
        held.change += 1
        self._store.note(held.counted)
        self._tell(held, first, told, bodies)
        return held.written()

    def _append(self, held: Held, bodies: Bodies) -> None:
        event = UNREAD if held.settings.is_json else None
        for offset, body in enumerate(bodies, held.tail):
            self._store.note(Appended(held.name, Record(offset, body, event)))
        held.tail += len(bodies)

    def _tell(self, held: Held, first: int, told: Mapping[str, Any], bodies: Bodies = ()) -> None:
        message = notice_message(held.name, held.change, held.epoch, first, told, bodies)
        self._told.append((held.name, message))

    def _trim(self, held: Held, more: int, limits: Limits, told: dict[str, Any]) -> None:
        """Drop the oldest records of more than there may be, once there are ``more``."""
        head = held.tail + more - limits.max_records
        if head > held.head:
            held.head = told["head"] = head
            if not held.holds:  # the store knows only of forks that have begun
                self._store.note(Trimmed(held.name, head))

    def _postpone(self, held: Held, told: dict[str, Any]) -> None:
        """Let a stream with a ``ttl`` expire later, because it is used."""
        if held.settings.ttl is not None:
            held.expires = told["expires"] = now() + held.settings.ttl * 1000
            self._store.note(Touched(held.name, held.expires / 1000))

    def _close(self, held: Held, told: dict[str, Any], stamp: Stamp | None = None) -> None:
        held.closed, held.closed_by = True, stamp
        told["closed"] = True
        if stamp is not None:
            told["closed_by"] = stamp
        self._store.note(Closed(held.name, stamp))

    def _enqueue(self, held: Held, told: dict[str, Any], prompts: str, *, hold: bool) -> None:
        """Let prompts wait in a stream, none if it is empty."""
        held.prompts, held.queue = prompts, queue_version(prompts, held=hold)
        told["queue"], told["prompts"] = held.queue, prompts
        self._note_queue(held)

    def _note_queue(self, held: Held) -> None:
        prompts = decode_queue(held.name, held.prompts)
        self._store.note(QueueSet(held.name, prompts, is_held(held.queue)))

    def _remember(self, generation: str, name: str) -> None:
        """Remember where a generation has begun, until that is committed at least."""
        self._begun[generation] = name
        if len(self._begun) > BEGUN:
            self._begun.popitem(last=False)

    def _hide(self, held: Held) -> None:
        """Keep a stream for its forks alone."""
        told: dict[str, Any] = {"hidden": True, "running": ""}
        if held.running is not None:
            self._store.note(Ended(held.name, held.running, None))
            held.stop_running()
        if held.queue:
            self._enqueue(held, told, "", hold=False)
        held.hidden = True
        self._store.note(Hidden(held.name))
        self._close(held, told)
        self._change(held, told)

    def _remove(self, held: Held) -> None:
        fork = held.settings.fork
        held.change += 1
        self._tell(held, held.tail, {"removed": True})
        self._store.epoch_above(held.epoch)  # the next one of this name begins in a later one
        self._store.note(Removed(held.name, None if fork is None else fork.source))
        del self._streams[held.name]


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
