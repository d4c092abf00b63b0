"""The registry of streams: opens them by name, bounds their number and memory, removes them.

A stream is in memory while it is used and for a while after. If the store is durable, it is then
evicted from memory and stays in the store; a hundred thousand idle streams are rows in a file. If
the store keeps nothing, eviction is the end of the stream.

A fork shares its source's records up to where it forked. A source that is deleted while it has
forks is hidden: it cannot be opened, its name stays taken, and it goes with the last of its forks.

There is never more than one `Stream` of a name. A name is looked up in the store by one caller at
a time (`_load`), which registers what it finds before anybody else looks; and what the store
returns includes all changes noted so far. So a caller of `_find` may create a stream if there is
none, or write to the one it gets, as long as no ``await`` comes in between. A stream that was
removed stays with those who hold it: it is `Stream.gone` and takes no records.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
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
from hub.stores import Created, Hidden, Listed, OwnerChanged, Removed, Saved, Store, Touched
from hub.streams.followed import FollowedStream
from hub.streams.forks import Beginning, beginning, inherited, is_fork
from hub.streams.listing import page
from hub.streams.opened import ABSENT, check_epoch
from hub.streams.residency import LoadedStream, StreamLimits
from hub.streams.shared_budget import SharedBudget
from hub.streams.stream import Retention, Stream
from hub.streams.waiters import StreamWaiters

__all__ = ["ABSENT", "StreamLimits", "Streams", "check_epoch", "check_name"]

log = logging.getLogger("hub.streams")

SHARED: Final = 64
"""Records that a fork takes over in memory if the store has all of them."""

EXPIRE_SECONDS: Final = 10.0
"""How often the store is asked for expired streams."""


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
        self._cache_budget = SharedBudget()
        self._loaded: dict[str, LoadedStream] = {}
        # Also evicted ones that somebody still holds: there are never two of a name.
        self._held: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._now = 0.0
        self._asked_at = 0.0

    def __len__(self) -> int:
        return len(self._loaded)

    @property
    def size(self) -> int:
        """Bytes of memory of all records."""
        return sum(loaded.stream.size for loaded in self._loaded.values())

    # Opening

    def loaded(self, name: str) -> Stream | None:
        """The stream of a name, if it is in memory."""
        return self._held.get(name)

    async def open(self, name: str) -> Stream:
        """See `hub.streams.opened.StreamRegistry.open`."""
        stream = await self._find(name)
        if stream is None:
            raise StreamNotFound.named(name)
        if stream.hidden:
            raise Gone(f'"{name}" was deleted; only its forks remain', code="stream_deleted")
        return stream

    def is_same(self, stream: FollowedStream, epoch: int) -> bool:
        """Whether a stream is the one that had its name in an epoch, and not a later one.

        A name that was removed begins again in a later epoch than any that it has had. An empty
        stream may no longer know its first epochs, but then none of its name was removed since.
        """
        return stream.first_epoch <= epoch or self._store.last(stream.name) < epoch

    async def exists(self, name: str, epoch: int) -> bool:
        """See `hub.streams.opened.StreamRegistry.exists`."""
        found, _ = await self.listed(name, "", 1)
        if not found or found[0].name != name:
            return False
        if self._store.last(name) < epoch:
            return True
        try:
            stream = await self.open(name)
        except (StreamNotFound, Gone):
            return False
        return self.is_same(stream, epoch)

    def expect(self, name: str) -> None:
        """A stream that begins tells all who wait for it; one that is in memory has begun."""
        stream = self._held.get(name)
        if stream is not None and not stream.gone and not stream.hidden:
            self.awaited.begun(stream)

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, epoch: int | None = None
    ) -> tuple[Stream, bool]:
        """See `hub.streams.opened.StreamRegistry.create`."""
        stream = await self._find(name)
        if stream is not None and stream.hidden:
            raise Conflict(
                f'"{name}" was deleted, and its forks still hold the name', code="stream_deleted"
            )
        check_epoch(name, stream, epoch)
        if stream is not None:
            return stream, False
        return self.begin(name, settings), True

    def begin(self, name: str, settings: StreamSettings | None = None) -> Stream:
        """Create a stream under a name that no other can have.

        Raises:
            LimitExceeded: there are as many streams as there may be.
        """
        self._check_space()
        return self._begin(name, Saved(settings or StreamSettings(), ((self._store.epoch(), 0),)))

    async def flushed(self) -> None:
        """Wait until all records so far have been offered to their followers.

        Without those that the store cannot keep at the moment.
        """
        await self._synced()  # closes are shown only once they are committed
        streams = [loaded.stream for loaded in self._loaded.values()]
        for stream, end in [(stream, stream.tail) for stream in streams]:
            while not stream.fanout.flushed(end):  # noqa: ASYNC110 - a pass goes by turns of the loop
                await asyncio.sleep(0)

    async def _synced(self) -> None:
        """Wait for the store, if it can write."""
        if self._store.trouble is None:
            with suppress(StoreError):
                await self._store.synced()

    async def fork(
        self,
        name: str,
        source: str,
        position: Position | None,
        settings: StreamSettings | None = None,
        *,
        further: int = 0,
        epoch: int | None = None,
        source_epoch: int | None = None,
    ) -> tuple[Stream, bool]:
        """The fork of a stream, created if there is none, and whether it was.

        It begins with the source's records before ``position`` (its tail if ``None``), and some
        ``further`` ones (see `hub.streams.forks.beginning`). What ``settings`` leaves open (an
        empty content type, no expiry) is as in the source.

        ``epoch`` and ``source_epoch`` restrict which streams are meant, as in `create`.

        Raises:
            InvalidName, StreamNotFound, LimitExceeded: as `create`, `open`.
            Conflict: ``stream_exists``: the name is taken by another stream;
                ``stream_deleted``: the source or the name was deleted, and is kept for its
                forks; ``content_type``: the source has another one.
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
        check_epoch(source, origin, source_epoch)
        whole = replace(inherited(settings, origin.settings), fork=Fork(source, first.offset))
        if taken is not None:
            asked = None if position is None else first
            if not taken.hidden:
                check_epoch(name, taken, epoch)
            if taken.hidden or not await is_fork(taken, whole, asked):
                raise Conflict(
                    f'there is already a different stream "{name}"', code="stream_exists"
                )
            return taken, False
        check_epoch(name, None, epoch)
        self._check_space()
        lives = above(origin.forked(first.offset, self._store.epoch()), self._store.last(name))
        # Shared records cost a reference each. If the store has them, the newest are enough, or a
        # chain of forks would cost the square of its length.
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
        """See `hub.streams.opened.StreamRegistry.listed`."""
        await self._synced()  # the list must not contain streams that are already deleted
        return await page(self._store.listed, self._shown, prefix, after, limit, self._clock())

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], bool]:
        """As `listed`, of one owner's streams."""
        await self._synced()

        async def stored(prefix: str, after: str, limit: int, now: float) -> list[Listed]:
            return await self._store.owned(owner, prefix, after, limit, now)

        def in_memory() -> Iterator[tuple[str, Stream | None]]:
            for name, stream in self._shown():
                its = stream is not None and stream.settings.owner == owner
                yield name, stream if its else None

        return await page(stored, in_memory, prefix, after, limit, self._clock())

    async def set_owner(self, names: Iterable[str], owner: str | None) -> None:
        """See `hub.streams.opened.StreamRegistry.set_owner`."""
        for name in names:
            stream = self._held.get(name)
            if stream is not None and not stream.gone:
                stream.settings = replace(stream.settings, owner=owner)
            # One that is just being loaded is loaded as this leaves it.
            self._store.note(OwnerChanged(name, owner))
        await self._store.synced()

    def admit(self) -> None:
        """See `hub.streams.opened.StreamRegistry.admit`."""
        self._store.admit()

    async def committed(self, stream: str | None = None) -> None:
        """See `hub.streams.opened.StreamRegistry.committed`."""
        await self._store.synced(stream)

    def _shown(self) -> Iterator[tuple[str, Stream | None]]:
        """The streams in memory by name; ``None`` for those that are not listed.

        Those that come later are not among them, and those that are removed are none any more.
        """
        for name, stream in list(self._held.items()):
            hidden = stream.hidden or stream.gone or self._expired(stream)
            yield name, None if hidden else stream

    async def remove(self, stream: Stream) -> None:
        """Remove a stream, or hide it while it has forks.

        Raises:
            StreamNotFound, Gone: somebody else has removed it meanwhile.
            StoreError: nothing can be kept at the moment.
        """
        self._store.admit()
        if not await self._remove(stream):
            if stream.hidden:
                raise Gone(f'"{stream.name}" was deleted already', code="stream_deleted")
            raise StreamNotFound(f'"{stream.name}" was deleted already')

    def written(self, name: str) -> None:
        """See `hub.streams.opened.StreamRegistry.written`."""
        stream = self._held.get(name)
        if stream is not None:
            self.touch(stream)

    def touch(self, stream: Stream) -> None:
        """Postpone the expiry of a stream with a ``ttl``, because it is read or written."""
        if stream.settings.ttl is not None and not stream.gone:
            stream.expires = self._clock() + stream.settings.ttl
            self._store.note(Touched(stream.name, stream.expires))

    def _touch_if_due(self, stream: Stream) -> None:
        """Postpone the expiry of a stream that is followed or written to."""
        ttl, expires = stream.settings.ttl, stream.expires
        if ttl is not None and expires is not None and expires - self._clock() < ttl / 2:
            self.touch(stream)

    # Removal and eviction

    async def sweep(self, now: float) -> None:
        """Remove streams that have expired, and evict what does not fit into memory.

        Called about once a second with the loop's time. A failure of one stream is logged and
        does not affect the others.
        """
        self._now = now
        self.evict_rejected()
        for count, (name, loaded) in enumerate(list(self._loaded.items()), start=1):
            if count % self._slice_size == 0:
                await asyncio.sleep(0)
            if self._loaded.get(name) is not loaded:
                continue  # it was removed while another stream was swept
            with _logging_errors(name):
                await self.sweep_one(loaded, now)
        self._cache_budget.reset()
        await self._fit()
        if self._store.durable and now - self._asked_at > EXPIRE_SECONDS:
            self._asked_at = now
            for name in await self._store.expired(self._clock()):
                with _logging_errors(name):
                    # Looking a stream up removes it if it has expired.
                    stream = await self._find(name)
                    if stream is not None and stream.hidden and not stream.forks:
                        await self._remove(stream)

    async def sweep_one(self, loaded: LoadedStream, now: float) -> None:
        """Remove or evict a stream if it is time."""
        loaded.update(now)
        stream, unused = loaded.stream, now - loaded.since
        if stream.in_use:
            self._touch_if_due(stream)
        limit = self._limits.keep_closed if stream.closed else self._limits.keep_idle
        over = 0 < limit < unused
        orphaned = stream.hidden and not stream.forks
        if orphaned or (not stream.hidden and (over or self._expired(stream))):
            await self._remove(stream)
        elif self._store.durable:
            limits = self._limits
            if unused > (limits.keep_warm_closed if stream.closed else limits.keep_warm):
                self._unload(stream.name)

    def evict_rejected(self) -> None:
        """Evict streams whose changes the store cannot keep.

        Their readers are cut off and come back for what the store has.
        """
        for name, why in list(self._store.rejected.items()):
            log.error("stream %s cannot be stored and is loaded again: %s", name, why)
            stream = self._held.pop(name, None)
            self._loaded.pop(name, None)
            if stream is not None:
                self.awaited.gone(stream)
                stream.abandon()
                self._counts.rejections += 1
            self._store.readmit(name)

    async def _fit(self) -> None:
        """Evict streams and records until the total is under its limit."""
        over = self.size - self._limits.total_bytes
        for loaded in self._unused() if over > 0 else ():
            over -= loaded.stream.size
            if self._store.durable:
                self._unload(loaded.stream.name)
            elif not loaded.stream.forks:
                await self._remove(loaded.stream)
            if over <= 0:
                break
        if over <= 0:
            return
        # All others are in use: each drops the same share of its records.
        share = self._limits.total_bytes / (self._limits.total_bytes + over)
        for loaded in self._loaded.values():
            loaded.stream.shrink(int(loaded.stream.size * share))

    def _unused(self) -> list[LoadedStream]:
        """Streams that can be evicted: closed ones first, then those idle for longest.

        If eviction is their end, only those that were idle for a while.
        """
        found = [
            loaded
            for loaded in self._loaded.values()
            if not loaded.stream.in_use
            and (self._store.durable or loaded.stream.closed or loaded.since < self._now)
        ]
        return sorted(found, key=lambda loaded: (not loaded.stream.closed, loaded.since))

    def _unload(self, name: str) -> None:
        """Evict a stream from memory once all of it is committed, unless it is used meanwhile."""
        loaded = self._loaded[name]
        lookups = loaded.lookups

        def leave() -> None:
            unused = loaded.lookups == lookups and not loaded.stream.in_use
            if self._loaded.get(name) is loaded and unused:
                del self._loaded[name]

        if not self._store.pending(name):
            leave()
        # Nothing is evicted while nothing can be committed.
        elif self._store.trouble is None:
            self._store.after(leave, name)

    async def _remove(self, stream: Stream) -> bool:
        """Remove a stream, and each hidden source that thereby loses its last fork.

        False if somebody else has removed it. A chain of forks may be thousands long, so this is
        a loop; if it is interrupted, `sweep` continues with the source.
        """
        first = stream
        while True:
            # Before its fork is uncounted, because it may have to be loaded from the store.
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
        loaded = await self._load(stream.settings.fork.source)
        return None if loaded is None else loaded.stream

    def _forget(self, stream: Stream) -> None:
        self._loaded.pop(stream.name, None)
        self._held.pop(stream.name, None)
        stream.close()
        stream.gone = True
        fork = stream.settings.fork
        self._store.note(Removed(stream.name, None if fork is None else fork.source))

    # Finding

    async def _find(self, name: str) -> Stream | None:
        """The stream of a name, also a hidden one; ``None`` if there is none or it has expired.

        Valid until the caller's next ``await``.
        """
        if name not in self._loaded:
            check_name(name, self._limits.name_length)
        while True:
            loaded = await self._load(name)
            if loaded is None:
                return None
            loaded.lookups += 1
            if loaded.stream.hidden or not self._expired(loaded.stream):
                return loaded.stream
            await self._remove(loaded.stream)

    async def _load(self, name: str) -> LoadedStream | None:
        """A stream in memory, loaded from the store if necessary."""
        if self._store.rejected:
            self.evict_rejected()
        loaded = self._in_memory(name)
        if loaded is not None:
            return loaded
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            # Another caller may have loaded it meanwhile.
            loaded = self._in_memory(name)
            if loaded is None and (saved := await self._store.load(name)) is not None:
                loaded = self._register(name, saved)
            return loaded

    def _in_memory(self, name: str) -> LoadedStream | None:
        loaded = self._loaded.get(name)
        if loaded is None and (stream := self._held.get(name)) is not None:
            loaded = self._loaded[name] = LoadedStream(stream)
        return loaded

    def _expired(self, stream: Stream) -> bool:
        if stream.expires is None or (stream.settings.ttl and stream.in_use):
            return False
        return self._clock() >= stream.expires

    def _check_space(self) -> None:
        self._store.admit()
        if self._store.durable and len(self._loaded) >= self._limits.streams:
            # Only if they stay in the store: no stream is removed to make space for another.
            for loaded in self._unused()[: 1 + len(self._loaded) // 10]:
                self._unload(loaded.stream.name)
        if len(self._loaded) >= self._limits.streams:
            raise LimitExceeded("the hub has reached its limit of streams: try again later")

    def _begin(self, name: str, saved: Saved) -> Stream:
        self._store.note(Created(name, saved.settings, saved.epochs, saved.head))
        expires = saved.settings.expires(self._clock())
        if expires is not None:
            saved = replace(saved, expires=expires)
            self._store.note(Touched(name, expires))
        stream = self._register(name, saved).stream
        self.awaited.begun(stream)
        return stream

    def _register(self, name: str, saved: Saved) -> LoadedStream:
        stream = Stream(
            name,
            saved,
            store=self._store,
            retention=self._retention,
            counts=self._counts,
            cache_budget=self._cache_budget,
            slice_size=self._slice_size,
            deliver=self._deliver,
            epoch=self._store.life,
        )
        self._held[name] = stream
        loaded = self._loaded[name] = LoadedStream(stream)
        return loaded


@contextmanager
def _logging_errors(name: str) -> Iterator[None]:
    """Log the errors of one stream, so that the sweep continues with the others."""
    try:
        yield
    except StoreError as error:
        log.error("stream %s was not swept: %s", name, error)
    except Exception:
        log.exception("stream %s was not swept", name)
