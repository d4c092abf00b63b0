"""The streams there are: opened by name, bounded in number and memory, forgotten in time.

A stream is in memory while somebody uses it and for a while after. Where the store is
durable it then leaves memory and stays in the store; a hundred thousand idle streams are
rows in a file. Where the store keeps nothing, leaving memory is the end of it.

A fork shares its source's records up to where it forked. A source that is deleted while it
has forks is hidden: nobody reaches it by its name, which stays taken, and it goes with the
last of its forks.

There is never more than one `Stream` of a name. A name is looked up in the store by one
caller at a time (`_load`), which puts what it finds into the registry before anybody else
looks; and what the store says of a name includes all that was noted of it. So whoever gets
"there is none" from `_find` may begin one, and whoever gets a stream may write to it, as
long as no `await` comes in between. A stream that was removed stays with those who hold it:
it is `Stream.gone` and takes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, Literal
from weakref import WeakValueDictionary

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.epochs import above
from hub.domain.errors import Conflict, Gone, LimitExceeded, StoreError, StreamNotFound
from hub.domain.records import Position
from hub.domain.stream_names import check_name
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Created, Hidden, Listed, Removed, Saved, Store, Touched
from hub.streams.forks import Beginning, beginning, inherited, is_fork
from hub.streams.listing import page
from hub.streams.residency import LoadedStream, StreamLimits
from hub.streams.shared_budget import SharedBudget
from hub.streams.stream import Retention, Stream
from hub.streams.waiters import StreamWaiters

__all__ = ["StreamLimits", "Streams", "check_name"]

log = logging.getLogger("hub.streams")

SHARED: Final = 64
"""Records that a fork takes over in memory, where the store has all of them."""

EXPIRE_SECONDS: Final = 10.0
"""How often the store is asked for streams that nobody opened and whose time has come."""


class Streams:
    """The registry of streams."""

    def __init__(
        self,
        store: Store,
        *,
        retention: Retention,
        limits: StreamLimits,
        slice_size: int,
        counts: Counters,
        deliver: Literal["at_once", "committed"] = defaults.DELIVER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._retention = retention
        self._limits = limits
        self._slice_size = slice_size
        self._counts = counts
        self._deliver = deliver
        self._clock = clock
        self.awaited = StreamWaiters()
        self._moment = SharedBudget()
        self._kept: dict[str, LoadedStream] = {}
        # One that has left memory while somebody still held it: there are never two of a name.
        self._held: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._now = 0.0
        self._asked_at = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of memory that all records take."""
        return sum(kept.stream.size for kept in self._kept.values())

    # Opening

    def loaded(self, name: str) -> Stream | None:
        """The stream of a name, if it is in memory."""
        return self._held.get(name)

    async def open(self, name: str) -> Stream:
        """A stream that there is.

        Raises:
            InvalidName: no stream can have this name.
            StreamNotFound: none has.
            Gone: it was deleted, and is only kept for its forks.
        """
        stream = await self._find(name)
        if stream is None:
            raise StreamNotFound.named(name)
        if stream.hidden:
            raise Gone(f'"{name}" was deleted; only its forks remain', code="stream_deleted")
        return stream

    async def create(
        self, name: str, settings: StreamSettings | None = None
    ) -> tuple[Stream, bool]:
        """The stream of a name and whether it was begun now, because there was none.

        Raises:
            InvalidName: no stream can have this name.
            LimitExceeded: there are as many streams as there may be.
            Conflict: it was deleted, and its name is taken as long as it has forks.
        """
        stream = await self._find(name)
        if stream is not None and not stream.hidden:
            return stream, False
        if stream is not None:
            raise Conflict(
                f'"{name}" was deleted, and its forks still hold the name', code="stream_deleted"
            )
        return self.begin(name, settings), True

    def begin(self, name: str, settings: StreamSettings | None = None) -> Stream:
        """The stream of a name that was made for it, so that no other can have it.

        Raises:
            LimitExceeded: there are as many streams as there may be.
        """
        self._check_space()
        return self._begin(name, Saved(settings or StreamSettings(), ((self._store.epoch(), 0),)))

    async def flushed(self) -> None:
        """Wait until all that is written by now has been offered to its followers.

        What the store cannot keep just now is left out.
        """
        if self._store.trouble is None:
            # An end that was written is not shown before it is committed.
            with suppress(StoreError):
                await self._store.synced()
        for stream, end in [(kept.stream, kept.stream.tail) for kept in self._kept.values()]:
            while not stream.fanout.flushed(end):  # noqa: ASYNC110 - a pass goes by turns of the loop
                await asyncio.sleep(0)

    async def fork(
        self,
        name: str,
        source: str,
        position: Position | None,
        settings: StreamSettings | None = None,
        *,
        further: int = 0,
    ) -> tuple[Stream, bool]:
        """The stream that begins with another's records, and whether it was begun now.

        They are those before ``position`` (its tail if none), and some ``further`` ones (see
        `hub.streams.forks.beginning`). What ``settings`` leaves open (an empty content type, no
        expiry) is as in the source.

        Raises:
            InvalidName, StreamNotFound, LimitExceeded: as `create`, `open`.
            Conflict: ``stream_exists``: the name is taken by a stream that is not this fork;
                ``stream_deleted``: the source or the name was deleted, and is kept for its
                forks; ``content_type``: the source has another.
            RequestError: ``bad_fork_offset``: the source has no such position.
        """
        check_name(name, self._limits.name_length)
        settings = StreamSettings(content_type="") if settings is None else settings
        while True:
            origin, first = await self._origin(source, position, further)
            taken = await self._find(name)
            # It may have been removed, or trimmed, while the other name was looked up.
            if not origin.gone and not origin.hidden and first.offset >= origin.head:
                break
        whole = replace(inherited(settings, origin.settings), fork=Fork(source, first.offset))
        if taken is not None:
            asked = None if position is None else first
            if taken.hidden or not await is_fork(taken, whole, asked):
                raise Conflict(f'there is a stream called "{name}" already', code="stream_exists")
            return taken, False
        self._check_space()
        lives = above(origin.forked(first.offset, self._store.epoch()), self._store.last(name))
        # Records are shared: a fork costs references. Where a store has them the newest will do, or
        # a chain of forks of forks would cost the square of its length.
        warm = max(origin.warm, origin.head)
        if self._store.durable:
            warm = max(warm, first.offset - SHARED)
        shared = origin.between(warm, first.offset).records if first.offset > warm else []
        saved = Saved(whole, lives, head=origin.head, tail=first.offset, records=tuple(shared))
        stream = self._begin(name, saved)
        origin.forks += 1
        if first.part:
            stream.append_body(first.part, None)
        for end in first.ends:
            stream.append(end, safe=True)
        stream.ended = stream.end
        return stream, True

    async def _origin(
        self, source: str, position: Position | None, further: int
    ) -> tuple[Stream, Beginning]:
        origin = await self._find(source)
        if origin is None:
            raise StreamNotFound(f'no stream is called "{source}"')
        if origin.hidden:
            raise Conflict(f'"{source}" was deleted', code="stream_deleted")
        return origin, await beginning(origin, position, further)

    async def listed(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        """So many streams in the order of their names, and whether there are more.

        Names begin with ``prefix`` and lie after ``after``.
        """
        if self._store.trouble is None:
            # Nobody is shown what was deleted before it was asked.
            with suppress(StoreError):
                await self._store.synced()
        return await page(self._store, self._shown, prefix, after, limit, self._clock())

    def _shown(self) -> Iterator[tuple[str, Stream | None]]:
        """Every name in memory, and what is shown under it."""
        for name, stream in self._held.items():
            yield name, None if stream.hidden or self._expired(stream) else stream

    async def remove(self, stream: Stream) -> None:
        """Remove a stream, or hide it while it has forks.

        Raises:
            StreamNotFound, Gone: somebody else has removed it in the meantime.
            StoreError: nothing can be kept just now.
        """
        self._store.admit()
        if not await self._remove(stream):
            if stream.hidden:
                raise Gone(f'"{stream.name}" was deleted already', code="stream_deleted")
            raise StreamNotFound(f'"{stream.name}" was deleted already')

    def touch(self, stream: Stream) -> None:
        """Somebody reads or writes it: a stream with a sliding expiry lives on."""
        if stream.settings.ttl is not None and not stream.gone:
            stream.expires = self._clock() + stream.settings.ttl
            self._store.note(Touched(stream.name, stream.expires))

    def _prolong(self, stream: Stream) -> None:
        """A sliding expiry does not come while somebody follows or writes."""
        ttl, expires = stream.settings.ttl, stream.expires
        if ttl is not None and expires is not None and expires - self._clock() < ttl / 2:
            self.touch(stream)

    # Letting go

    async def sweep(self, now: float) -> None:
        """Let go of streams whose time has come, and of what does not fit into memory.

        ``now`` is the loop's clock; called about once a second. What fails for one stream is
        logged, and the others are looked after.
        """
        self._now = now
        self.evict_rejected()
        for looked_at, (name, kept) in enumerate(list(self._kept.items()), start=1):
            if looked_at % self._slice_size == 0:
                await asyncio.sleep(0)
            if self._kept.get(name) is not kept:
                continue  # it has gone while another was being removed
            with _one_stream(name):
                await self._look_at(kept, now)
        self._moment.over()
        self._fit()
        if self._store.durable and now - self._asked_at > EXPIRE_SECONDS:
            self._asked_at = now
            for name in await self._store.expired(self._clock()):
                with _one_stream(name):
                    await self._let_go(name)

    async def _look_at(self, kept: LoadedStream, now: float) -> None:
        kept.look(now)
        stream, unused = kept.stream, now - kept.since
        if stream.in_use:
            self._prolong(stream)
        limit = self._limits.keep_closed if stream.closed else self._limits.keep_idle
        over = 0 < limit < unused
        orphaned = stream.hidden and not stream.forks
        if orphaned or (not stream.hidden and (over or self._expired(stream))):
            await self._remove(stream)
        elif self._store.durable and unused > self._warm_for(stream):
            self._unload(stream.name)

    async def _let_go(self, name: str) -> None:
        """Remove a stream that has expired, or is hidden and has lost its last fork."""
        stream = await self._find(name)
        if stream is not None and stream.hidden and not stream.forks:
            await self._remove(stream)

    def evict_rejected(self) -> None:
        """Let go of streams whose changes the store cannot keep: what they hold is not so.

        Their readers are cut off and come back for what there is.
        """
        for name, why in list(self._store.rejected.items()):
            log.error("stream %s was written wrongly and is loaded again: %s", name, why)
            stream = self._held.pop(name, None)
            self._kept.pop(name, None)
            if stream is not None:
                self.awaited.gone(stream)
                stream.abandon()
                self._counts.rejections += 1
            self._store.readmit(name)

    def _warm_for(self, stream: Stream) -> float:
        return self._limits.keep_warm_closed if stream.closed else self._limits.keep_warm

    def _fit(self) -> None:
        """Back under the total."""
        over = self.size - self._limits.total_bytes
        if over <= 0:
            return
        for kept in self._unused():
            over -= kept.stream.size
            self._drop(kept.stream)
            if over <= 0:
                return
        # All that is left is in use: everybody gives the same part of the past.
        share = self._limits.total_bytes / (self._limits.total_bytes + over)
        for kept in self._kept.values():
            kept.stream.shrink(int(kept.stream.size * share))

    def _unused(self) -> list[LoadedStream]:
        """Streams that can leave memory: closed ones first, then idle ones, the oldest before.

        Where leaving memory is their end, only those that were idle for a while.
        """
        found = [
            kept
            for kept in self._kept.values()
            if not kept.stream.in_use
            and (self._store.durable or kept.stream.closed or kept.since < self._now)
        ]
        return sorted(found, key=lambda kept: (not kept.stream.closed, kept.since))

    def _drop(self, stream: Stream) -> None:
        """Evict a stream from memory; where the store keeps nothing that is its end."""
        if self._store.durable:
            self._unload(stream.name)
            return
        while not stream.forks:
            self._forget(stream)
            source = stream.settings.fork and self._kept.get(stream.settings.fork.source)
            if not source:
                return
            stream = source.stream
            stream.forks -= 1
            if not stream.hidden:
                return

    def _unload(self, name: str) -> None:
        """Out of memory once the store has all of it, unless somebody came in the meantime."""
        kept = self._kept[name]
        found = kept.found

        def leave() -> None:
            if self._kept.get(name) is kept and kept.found == found and not kept.stream.in_use:
                del self._kept[name]

        if not self._store.pending(name):
            leave()
        # While nothing can be committed, nothing leaves.
        elif self._store.trouble is None:
            self._store.after(leave, name)

    async def _remove(self, stream: Stream) -> bool:
        """Remove a stream, and each hidden source that loses its last fork by that.

        False if somebody else has removed it. A chain of forks may be thousands long, so this
        is a loop; where it is cut off, `sweep` goes on with the source.
        """
        first = stream
        while True:
            # Found while its fork is still counted: it may have to be read from the store.
            source = await self._source(stream)
            if stream.gone or (stream.hidden and stream.forks):
                return stream is not first
            self.awaited.gone(stream)
            if stream.forks:
                stream.hidden = True
                stream.close()
                self._store.note(Hidden(stream.name))
                return True
            self._forget(stream)
            if source is None:
                return True
            source.forks -= 1
            if source.forks or not source.hidden:
                return True
            stream = source

    async def _source(self, stream: Stream) -> Stream | None:
        if stream.settings.fork is None:
            return None
        kept = await self._load(stream.settings.fork.source)
        return None if kept is None else kept.stream

    def _forget(self, stream: Stream) -> None:
        self._kept.pop(stream.name, None)
        self._held.pop(stream.name, None)
        stream.close()
        stream.gone = True
        fork = stream.settings.fork
        self._store.note(Removed(stream.name, None if fork is None else fork.source))

    # Finding

    async def _find(self, name: str) -> Stream | None:
        """The stream of a name, also a hidden one; none if it has expired.

        True until the next ``await`` of whoever asks.
        """
        check_name(name, self._limits.name_length)
        while True:
            kept = await self._load(name)
            if kept is None:
                return None
            kept.found += 1
            if kept.stream.hidden or not self._expired(kept.stream):
                return kept.stream
            await self._remove(kept.stream)

    async def _load(self, name: str) -> LoadedStream | None:
        """A stream in memory, taken there from the store if need be."""
        if self._store.rejected:
            self.evict_rejected()
        kept = self._in_memory(name)
        if kept is not None:
            return kept
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            # Who was here before may have found it.
            kept = self._in_memory(name)
            if kept is None and (saved := await self._store.load(name)) is not None:
                kept = self._keep(name, saved)
            return kept

    def _in_memory(self, name: str) -> LoadedStream | None:
        kept = self._kept.get(name)
        if kept is None and (stream := self._held.get(name)) is not None:
            kept = self._kept[name] = LoadedStream(stream)
        return kept

    def _expired(self, stream: Stream) -> bool:
        if stream.expires is None or (stream.settings.ttl and stream.in_use):
            return False
        return self._clock() >= stream.expires

    def _check_space(self) -> None:
        self._store.admit()
        if self._store.durable and len(self._kept) >= self._limits.streams:
            # They only leave memory. Where that is their end, nobody's stream goes for another's.
            for kept in self._unused()[: 1 + len(self._kept) // 10]:
                self._drop(kept.stream)
        if len(self._kept) >= self._limits.streams:
            raise LimitExceeded("the hub holds as many streams as it may: try again later")

    def _begin(self, name: str, saved: Saved) -> Stream:
        self._store.note(Created(name, saved.settings, saved.epochs, saved.head))
        expires = saved.settings.expires(self._clock())
        if expires is not None:
            saved = replace(saved, expires=expires)
            self._store.note(Touched(name, expires))
        stream = self._keep(name, saved).stream
        self.awaited.begun(stream)
        return stream

    def _keep(self, name: str, saved: Saved) -> LoadedStream:
        stream = Stream(
            name,
            saved,
            store=self._store,
            retention=self._retention,
            counts=self._counts,
            moment=self._moment,
            slice_size=self._slice_size,
            deliver=self._deliver,
            epoch=self._store.life,
        )
        self._held[name] = stream
        kept = self._kept[name] = LoadedStream(stream)
        return kept


@contextmanager
def _one_stream(name: str) -> Iterator[None]:
    """What goes wrong with one stream does not keep the others from being looked after."""
    try:
        yield
    except StoreError as error:
        log.error("stream %s was not looked after: %s", name, error)
    except Exception:
        log.exception("stream %s was not looked after", name)
