"""The mirrors of a hub, and its connection to the engine.

A mirror is opened by listening to the stream's changes first and loading it then, so that nothing
falls in between; changes that come before it is loaded wait. One that misses a change is loaded
again.

When the engine is lost, mirrors stay and can be read; writes fail until there is another
connection. Then each mirror is compared with what the engine has (`hub.streams.mirror`), and puts
back what that has lost. A hub that comes late, after the engine has settled, finds others writing:
what only its own readers have seen is un-written then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Gone, HubError, StoreError, StreamNotFound
from hub.domain.records import UNREAD, Record
from hub.domain.stream_names import check_name
from hub.owned_tasks import OwnedTasks
from hub.stores.shared import Notice, SharedEngine, Written, join
from hub.streams.held_mirror import READ_BYTES, HeldMirror, Met, attach, missing, unconfirmed
from hub.streams.mirror import Mirror, Version, relation
from hub.streams.mirror_eviction import MirrorEviction
from hub.streams.shared_budget import SharedBudget
from hub.streams.waiters import StreamWaiters

__all__ = ["Mirrors"]

log = logging.getLogger("hub.streams")

Connect = Callable[[Mapping[int, int]], SharedEngine]
"""Makes an engine, not open yet, that knows the incarnations of the one before."""

Join = Callable[[SharedEngine], Awaitable[None]]
"""Makes this hub hear what else it wants to hear over an engine."""

KEPT_BYTES: Final = 4 * 1024 * 1024
"""Memory of one mirror, and how much of a stream is loaded at once, which blocks the engine."""

COMPARISONS: Final = 8
"""How often a mirror is compared with an engine that changes in between, before it is given up."""

AT_ONCE: Final = 32
"""Mirrors that are compared at a time after a loss."""

RETRY_SECONDS: Final = 0.1
MOST_RETRY_SECONDS: Final = 0.2
"""Between attempts to connect; doubled each time up to the second. Shorter than an engine settles,
so that a hub is not too late to put back what it has."""

CONFIRM_SECONDS: Final = 10.0
"""How long a writer waits for its own change."""

LOST_SECONDS: Final = 1.0
"""How long it still waits once the engine is back, which may have lost the change. Another hub that
has it puts it back by then."""


class Mirrors:
    """Opens mirrors by name; `start` it first and `stop` it in the end."""

    def __init__(
        self,
        connect: Connect,
        *,
        counts: Counters | None = None,
        slice_size: int = defaults.SLICE,
        streams: int = defaults.STREAMS,
        name_length: int = defaults.NAME_LENGTH,
        total_bytes: int = defaults.STREAM_BYTES_TOTAL,
        kept_bytes: int = KEPT_BYTES,
        keep_warm: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``streams`` mirrors at most, each with about ``kept_bytes`` of memory, and all together
        with ``total_bytes``; one that is not used leaves memory after ``keep_warm`` seconds.
        """
        self._connect = connect
        self._counts = counts if counts is not None else Counters()
        self._slice_size = slice_size
        self.name_length = name_length
        self._kept_bytes = kept_bytes
        self._clock = clock
        self._cache_budget = SharedBudget()
        self._engine: SharedEngine | None = None
        self._held: dict[str, HeldMirror] = {}
        self._eviction = MirrorEviction(
            self._held, self._drop, streams=streams, total_bytes=total_bytes, keep_warm=keep_warm
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks = OwnedTasks("a task of the mirrors", log, self._counts)
        self._joins: list[Join] = []
        self._expected: dict[str, asyncio.Event] = {}
        """What tells that a stream that is waited for may have begun, by its name."""
        self.awaited = StreamWaiters()
        """Those who wait for a stream to begin, here or over another hub; see `expect`."""
        self.trouble: str | None = None
        """Why nothing can be written at the moment, in a sentence."""
        self.changed_hands: Callable[[str], None] = lambda _: None
        """Called with the name of a stream whose mirror has found that it has another owner,
        before its readers are sent more."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes of memory of all records."""
        return self._eviction.size

    @property
    def engine(self) -> SharedEngine:
        """The present engine.

        Raises:
            StoreError: ``store_unavailable``: there is none at the moment.
        """
        if self._engine is None or self._engine.lost.done():
            raise StoreError(
                self.trouble or "the store was lost a moment ago: try again",
                code="store_unavailable",
            )
        return self._engine

    @property
    def sentinels(self) -> tuple[int, int] | None:
        """See `SharedEngine.sentinels`, of the engine that was used last."""
        return None if self._engine is None else self._engine.sentinels

    async def start(self) -> None:
        """Connect, and stay connected until `stop`.

        Raises:
            StoreError: there is no engine, or it cannot be used; the message says what to do.
        """
        engine = self._connect({})
        await engine.open()
        self._engine = engine
        self._tasks.start(self._stay_connected(engine))

    async def stop(self) -> None:
        """Disconnect; readers are cut off."""
        await self._tasks.stop()
        if self._engine is not None:
            await self._engine.close()
        for held in list(self._held.values()):
            self._give_up(held)

    # Opening

    def loaded(self, name: str) -> Mirror | None:
        """The mirror of a name, if it is in memory."""
        held = self._held.get(name)
        return None if held is None else held.mirror

    async def fresh(self, name: str) -> Mirror:
        """The mirror of a stream, with all that was accepted before this call.

        While the engine is away, as it was known last. Raises what `open` does.
        """
        held = self._held.get(name)
        if held is not None and held.mirror is not None:
            with suppress(StoreError):
                await self.engine.caught_up()
                # It may have found that it has to be loaded again.
                await self.until(held.mirror, lambda _: held.waiting is None)
        return await self.open(name)

    async def open(self, name: str) -> Mirror:
        """The mirror of a stream, as far as it was heard of.

        Raises:
            InvalidName: no stream can have this name.
            StreamNotFound: there is no such stream.
            Gone: it was deleted, and is only kept for its forks.
            LimitExceeded: as many streams are in use as may.
            StoreError: the engine cannot be used at the moment.
        """
        check_name(name, self.name_length)
        async with self._lock(name):
            held = self._held.get(name)
            mirror = None if held is None else held.mirror
            if held is None or mirror is None:
                self._eviction.make_room()
                held = self._held[name] = HeldMirror(name)
                mirror = await self._load(held)
            elif self._expired(mirror):
                self._reload(held)
                raise StreamNotFound.named(name)
        if mirror.hidden:
            raise Gone(f'"{name}" was deleted; only its forks remain', code="stream_deleted")
        return mirror

    def _lock(self, name: str) -> asyncio.Lock:
        """Lets one caller at a time listen to a stream and load it."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _load(self, held: HeldMirror) -> Mirror:
        engine = self.engine
        try:
            await engine.subscribe(held.name, partial(self._hear, held, engine))
            state = await engine.load(held.name, self._kept_bytes)
        except BaseException:
            self._drop(held)
            raise
        if self._held.get(held.name) is not held or engine is not self._engine:
            self._drop(held)
            raise StoreError("the store was lost a moment ago", code="store_unavailable")
        mirror = held.mirror = Mirror(
            held.name,
            state,
            self,
            counts=self._counts,
            cache_budget=self._cache_budget,
            slice_size=self._slice_size,
            kept_bytes=self._kept_bytes,
        )
        self._go_on(held, engine)
        if not (mirror.hidden or mirror.removed):
            self.awaited.begun(mirror)
        self._tell_expected(held.name)
        return mirror

    def _expired(self, mirror: Mirror) -> bool:
        used = len(mirror.fanout) or mirror.running is not None
        if mirror.expires is None or (mirror.settings.ttl and used):
            return False
        return self._clock() * 1000 >= mirror.expires

    def _drop(self, held: HeldMirror) -> None:
        """Let a mirror leave memory."""
        if self._held.get(held.name) is held:
            del self._held[held.name]
            if self._engine is not None:
                self._engine.unsubscribe(held.name)
            self._tell_expected(held.name)  # which listens again

    def _give_up(self, held: HeldMirror) -> None:
        """Let a mirror leave memory because its readers cannot go on with it."""
        self._drop(held)
        if held.mirror is not None and not held.mirror.removed:
            held.mirror.lose()
        held.wake(over=True)

    async def confirmed(self, mirror: Mirror, written: Written) -> None:
        """Wait until a change is in a mirror.

        Raises:
            StoreError: it is not confirmed: the engine, or the stream, was lost meanwhile.
        """
        await self.until(mirror, lambda one: one.has(written))

    async def until(self, mirror: Mirror, met: Met) -> None:
        """Wait until the engine has told a mirror something, if it has not yet.

        Raises:
            StoreError: that is not confirmed, or never will be.
        """
        if met(mirror):
            return
        held = self._held.get(mirror.name)
        if held is None or held.mirror is not mirror:
            raise unconfirmed()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        held.waiters.append((met, waiter))
        held.wake()
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await waiter
        except TimeoutError:
            raise unconfirmed() from None
        finally:
            if waiter.cancelled():
                held.wake()  # or the mirror would be in use until its next change

    # Waiting for a stream to begin

    def expect(self, name: str) -> None:
        """Tell those who wait for a stream (`awaited`) when it begins, whichever hub begins it."""
        if name not in self._expected:
            self._expected[name] = asyncio.Event()
            self._tasks.start(self._expect(name))

    def _tell_expected(self, name: str) -> None:
        if name in self._expected:
            self._expected[name].set()

    async def _expect(self, name: str) -> None:
        changed = self._expected[name]
        try:
            while name in self.awaited:
                changed.clear()
                try:
                    mirror = self.loaded(name)
                    if mirror is not None and not mirror.hidden:
                        self.awaited.begun(mirror)
                        return
                    if await self._listens(name, changed):
                        await changed.wait()
                    else:
                        await self.open(name)
                except StreamNotFound:
                    pass  # it is gone again
                except HubError:
                    await asyncio.sleep(MOST_RETRY_SECONDS)
        finally:
            del self._expected[name]
            if name not in self._held and self._engine is not None:
                self._engine.unsubscribe(name)

    async def _listens(self, name: str, changed: asyncio.Event) -> bool:
        """Listen to the first change of a stream; false if it has begun."""
        async with self._lock(name):
            if name in self._held:
                return False
            engine = self.engine
            await engine.subscribe(name, lambda _: changed.set())
            return await engine.find(name, 0) is None

    # Hearing

    async def each_engine(self, join: Join) -> None:
        """Call ``join`` with the present engine, and with each later one before it is used."""
        self._joins.append(join)
        await join(self.engine)

    def _hear(self, held: HeldMirror, engine: SharedEngine, notice: Notice | None) -> None:
        mirror = held.mirror
        if held.waiting is not None:
            held.waiting.append(notice)
        elif mirror is not None:
            owner = mirror.settings.owner
            try:
                joins = notice is not None and mirror.take(notice, engine.incarnation(held.name))
                if mirror.settings.owner != owner:
                    self.changed_hands(held.name)
            except Exception:
                # It must not affect the other streams of this connection.
                log.exception("a change of stream %s cannot be taken", held.name)
                self._counts.failures += 1
                self._give_up(held)
                return
            if not joins:
                self._reload(held)
            elif mirror.removed:
                self._give_up(held)
            else:
                held.wake()

    def _go_on(self, held: HeldMirror, engine: SharedEngine) -> None:
        """Take the changes that were heard while the mirror was loaded."""
        waiting, held.waiting = held.waiting or [], None
        for number, notice in enumerate(waiting):
            self._hear(held, engine, notice)
            if held.waiting is not None:
                held.waiting += waiting[number + 1 :]
                return
        held.wake()

    def _reload(self, held: HeldMirror) -> None:
        """Load a mirror again, and take what it lacks."""
        engine = self._engine
        if held.waiting is None and engine is not None:
            held.waiting = []
            self._tasks.start(self._compare(held, engine))

    # Comparing with the engine

    async def _stay_connected(self, engine: SharedEngine) -> None:
        while True:
            why = await asyncio.shield(engine.lost)
            self.trouble = str(why)
            log.warning("%s", why)
            await engine.close()
            engine = await self._reconnected(engine.incarnations)
            for held in self._held.values():
                held.waiting = []
            early = [waiter for held in self._held.values() for _, waiter in held.waiters]
            self._engine, self.trouble = engine, None
            if early:
                self._tasks.start(self._confirm_soon(early))
            for name in self._expected:
                self._tell_expected(name)
            log.warning("the store can be used again")
            limit = asyncio.Semaphore(AT_ONCE)
            resumed = [self._resume(held, engine, limit) for held in list(self._held.values())]
            for failure in await asyncio.gather(*resumed, return_exceptions=True):
                if isinstance(failure, Exception):
                    self._counts.failures += 1
                    log.error("a mirror cannot be compared", exc_info=failure)

    async def _confirm_soon(self, waiters: Sequence[asyncio.Future[None]]) -> None:
        """Tell those who wait for a change of an earlier engine if it does not come."""
        await asyncio.wait(waiters, timeout=LOST_SECONDS)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(unconfirmed())

    async def _reconnected(self, known: Mapping[int, int]) -> SharedEngine:
        pause = RETRY_SECONDS
        while True:
            engine = self._connect(known)
            try:
                await engine.open()
                for join in self._joins:
                    await join(engine)
            except StoreError as error:
                self.trouble = str(error)
                await engine.close()
            else:
                return engine
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_RETRY_SECONDS)

    async def _resume(
        self, held: HeldMirror, engine: SharedEngine, limit: asyncio.Semaphore
    ) -> None:
        """Listen to a stream again, and compare it."""
        async with limit:
            if self._held.get(held.name) is not held:
                return  # it has left memory meanwhile, and another one may listen
            try:
                await engine.subscribe(held.name, partial(self._hear, held, engine))
            except StoreError:
                return  # lost again
            await self._compare(held, engine)

    async def _compare(self, held: HeldMirror, engine: SharedEngine) -> None:
        """Make a mirror and the engine the same, or give the mirror up."""
        mirror = held.mirror
        try:
            if mirror is None or not await self._made_equal(mirror, held, engine):
                self._give_up(held)
                return
        except StoreError as error:
            if engine.lost.done():
                return  # it is compared with the next one
            log.error("stream %s was given up: %s", held.name, error)
            self._give_up(held)
            return
        except BaseException as error:
            self._give_up(held)
            if not isinstance(error, HubError):
                raise
            return
        if engine is self._engine:
            self._go_on(held, engine)

    async def _made_equal(self, mirror: Mirror, held: HeldMirror, engine: SharedEngine) -> bool:
        for _ in range(COMPARISONS):
            held.waiting = []
            state = await engine.find(held.name, READ_BYTES)
            if state is None:
                if self._expired(mirror):
                    return False
                if await engine.restore(held.name, mirror.state(), None):
                    self._tasks.start(attach(mirror, engine))
                elif await engine.find(held.name, 0) is None:
                    return False  # no other hub has put it back a moment ago, either
                continue
            if state.born != mirror.born:
                return False
            theirs = Version.of(state)
            found = relation(mirror.version, theirs)
            if found == "same":
                # Some of what it has told of may be missing all the same.
                gap = state.gap(READ_BYTES)
                if gap is not None and gap >= mirror.warm:
                    await engine.heal(held.name, mirror.state(gap), gap)
                return True
            if found == "parted":
                return False
            if found == "behind":
                bodies = await missing(mirror, state, engine)
                if bodies is None:
                    return False
                owner = mirror.settings.owner
                mirror.catch_up(state, bodies)
                if mirror.settings.owner != owner:
                    self.changed_hands(held.name)
                return True
            lost = (state.epoch, state.change)
            if await engine.restore(held.name, mirror.state(state.tail), lost):
                self._tasks.start(attach(mirror, engine))
            else:
                again = await engine.find(held.name, 0)
                if again is not None and Version.of(again) == theirs:
                    return False  # it was written to already, and has settled
        return False

    # The past of mirrors

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        """See `hub.stores.Past.read`. What the engine has lost is trimmed, and never skipped."""
        try:
            entries = await self.engine.read(stream, offset, limit)
        except StreamNotFound:
            entries = []  # perhaps the source of a fork
        bodies = join(entries, offset)
        mirror = self.loaded(stream)
        if mirror is None:
            return []
        if not bodies and offset < mirror.tail:
            later = [entry.first for entry in entries if entry.first > offset]
            mirror.trim(min([*later, max(mirror.warm, offset + 1)]))
        event = UNREAD if mirror.settings.is_json else None
        return [Record(at, body, event) for at, body in enumerate(bodies, offset)]

    def lived(self, epoch: int) -> bool:
        """Each mirror knows its own epochs."""
        return False

    # Leaving memory

    async def sweep(self, now: float) -> None:
        """Let mirrors leave memory that are not used, and keep those from expiring that are.

        Called about once a second with the loop's time.
        """
        self._cache_budget.reset()
        for count, held in enumerate(list(self._held.values()), start=1):
            if count % self._slice_size == 0:
                await asyncio.sleep(0)
            mirror = held.mirror
            if mirror is None or self._held.get(held.name) is not held:
                continue
            mirror.frames.clear()
            mirror.age_reads()
            if held.in_use:
                held.since = now
                await self._touch_if_due(mirror)
            elif self._expired(mirror):
                self._reload(held)
            else:
                self._eviction.look(held, now)
        for name in self._expected:
            if name not in self.awaited:
                self._tell_expected(name)  # which ends
        self._eviction.fit()

    async def flushed(self) -> None:
        """Wait until all records so far have been offered to their followers."""
        mirrors = [held.mirror for held in self._held.values() if held.mirror is not None]
        for mirror, tail in [(mirror, mirror.tail) for mirror in mirrors]:
            while not mirror.fanout.flushed(tail):  # noqa: ASYNC110 - a pass goes by turns of the loop
                await asyncio.sleep(0)

    async def _touch_if_due(self, mirror: Mirror) -> None:
        """Postpone the expiry of a stream that is followed."""
        ttl, expires = mirror.settings.ttl, mirror.expires
        if ttl is None or expires is None or expires / 1000 - self._clock() >= ttl / 2:
            return
        try:
            await self.engine.touch(mirror.name)
        except HubError as error:
            log.warning("the expiry of stream %s is not postponed: %s", mirror.name, error)
