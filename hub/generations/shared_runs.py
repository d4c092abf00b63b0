"""Runs generations in streams that several hubs write.

A generation runs in the hub that was asked for it. All others know it from its stream, and whoever
waits for it reads its events. What decides is the engine: whether a generation may begin, which of
its records comes next, and whether it has an end (`hub.streams.shared_appender`).

- It begins where the conversation was read to; if that has gone on meanwhile, it is read on.
- It is stopped from any hub: the engine notes that, and the hub in which it runs is told.
- Its end is written once, by this hub or by another that takes this one for dead. Then nothing more
  that this hub writes is taken, and its task ends.
- With an idempotency key its id follows from the key. So whichever hub is asked again finds it, and
  a request that broke off between any two steps can be repeated.
- A prompt for a stream that is answering can wait for its turn (`hub.generations.shared_queues`),
  and be changed over any hub. The hub in which the answer runs hears of one that goes first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final
from weakref import WeakKeyDictionary

from hub.domain.counters import Counters
from hub.domain.errors import (
    Conflict,
    GenerationNotFound,
    Gone,
    HubError,
    LimitExceeded,
    NotFound,
    StoreError,
    StreamBusy,
    StreamNotFound,
)
from hub.domain.events import Terminal
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.generations.admission import Admission, RunLimits
from hub.generations.conversations import Conversations, beginning_of, memory_of
from hub.generations.endings import encodable, ending_of
from hub.generations.followed import FollowedGeneration
from hub.generations.idempotency import check_kept, check_key, check_same, deleted
from hub.generations.leases import interrupt
from hub.generations.queue_changes import CheckedPrompt, find, not_queued, revoked
from hub.generations.recovery import read
from hub.generations.relay import relay, within
from hub.generations.shared_queues import SharedQueues
from hub.generations.steering import make_way
from hub.owned_tasks import OwnedTasks
from hub.stores import GenerationLocation
from hub.stores.refusals import busy
from hub.stores.shared import Claim, node_topic
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.shared_appender import SharedAppender, Ticker
from hub.streams.shared_limits import SharedLimits
from hub.streams.shared_registry import SharedStreams
from hub.streams.shared_writer import SharedWriter
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["SharedRuns"]

log = logging.getLogger("hub.runs")

KEY_SECONDS: Final = 30 * 86_400.0
"""How long an idempotency key is kept, and a generation can be found by its id."""

MOVES: Final = 50
"""How often a conversation is read on that others write to while a generation is to begin in it."""

ASK_SECONDS: Final = 1.0
"""How often it is asked again for a generation to stop, should the message get lost."""

MEND_SECONDS: Final = 2.0
"""How long a beginning may still be on its way whose outcome is not known."""

END_SECONDS: Final = 5.0
"""How long the last events of interrupted generations may take when the hub closes."""


@dataclass(slots=True, eq=False)
class _Run:
    """A generation that runs here, and its two tasks: ``reading`` reads the upstream."""

    generation: Generation
    appender: SharedAppender
    one_off: bool
    counted_as: str | None
    size: int
    cancelled: bool = False
    steering: asyncio.TimerHandle | None = None
    reading: asyncio.Task[Terminal] | None = None
    task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Stop it because somebody has asked for that."""
        self.cancelled = True
        if self.reading is not None:
            self.reading.cancel()

    def look(self) -> None:
        """See what the stream has been told: that others have ended it, or that it is to yield."""
        self.appender.check()
        make_way(self, self.appender.mirror.queue, self.stop)


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What was read of a generation that runs in another hub, by one at a time."""

    followed: FollowedGeneration
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedRuns:
    """The generations of all hubs; see `hub.generations.operations.GenerationOperations`.

    Those that begin here run in the hub with the name ``node``. ``credential_holds`` says whether
    a credential was not revoked, before a prompt that waited begins.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        streams: SharedStreams,
        writer: SharedWriter,
        upstreams: Upstreams,
        node: str,
        *,
        allowance: MemoryBudget,
        limits: RunLimits,
        counts: Counters,
        shared_limits: SharedLimits | None = None,
        credential_holds: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._mirrors = mirrors
        self._streams = streams
        self._writer = writer
        self._node = node
        self._ticker = Ticker(mirrors, node)
        self._admission = Admission(upstreams, limits, shared_limits)
        self._conversations = Conversations(
            limits.prompt_messages, prompt_bytes=limits.prompt_bytes, allowance=allowance
        )
        self._allowance = allowance
        self._limits = limits
        self._counts = counts
        self._credential_holds = credential_holds
        self._queues = SharedQueues(mirrors, node, limits.queue, self._begin_queued)
        self._active: dict[str, _Run] = {}
        self._elsewhere: WeakKeyDictionary[Mirror, _Elsewhere] = WeakKeyDictionary()
        self._tasks = OwnedTasks("a task of the generations", log, counts)

    @property
    def active(self) -> int:
        return len(self._active)

    def running(self) -> dict[str, str]:
        return {run.generation.stream: name for name, run in self._active.items()}

    async def open(self) -> None:
        """Hear of generations of this hub that are to stop; the engine is connected."""
        await self._mirrors.each_engine(
            lambda engine: engine.hear(node_topic(self._node), self._stop_heard)
        )

    # Beginning

    async def start(self, request: GenerationRequest) -> Generation:
        self._admission.check(request)
        self._admit_write()
        upstream = self._admission.upstream(request)
        if request.key is None:
            return await self._start(request, upstream, Generation("", "", None).id)
        check_key(request.key)
        key = request.kept_key or request.key
        generation = await self._start_once(request, upstream, key)
        if generation.ended:
            await check_kept(generation, self._streams)
        return generation

    async def _start_once(
        self, request: GenerationRequest, upstream: Upstream, key: str
    ) -> Generation:
        """Begin the generation of a key, or find it."""
        name = f"gen_{hashlib.sha256(key.encode()).hexdigest()[:32]}"
        engine, fingerprint = self._mirrors.engine, request.fingerprint()
        claim = await engine.claimed(key)
        if claim is None:
            await self._admit_unless_queued(request)
            mirror, new = await self._open(request, name)
            mine = Claim(fingerprint, mirror.name, mirror.born)
            claim = await engine.claim(key, mine, KEY_SECONDS)
            if new and claim != mine:
                await self._remove(mirror)  # it was begun for another request
        check_same(claim.fingerprint, fingerprint)
        try:
            mirror = await self._streams.open(claim.stream)
        except (StreamNotFound, Gone):
            raise deleted() from None
        if mirror.born != claim.born:
            raise deleted()
        with suppress(GenerationNotFound):
            return await self.find(name)
        return await self._begin(request, upstream, name, mirror)

    async def _start(self, request: GenerationRequest, upstream: Upstream, name: str) -> Generation:
        await self._admit_unless_queued(request)
        mirror, new = await self._open(request, name)
        try:
            return await self._begin(request, upstream, name, mirror)
        except HubError:
            if new and request.stream is None:
                await self._remove(mirror)
            raise

    async def _admit_unless_queued(self, request: GenerationRequest) -> None:
        """Check that a generation may run now; what waits may also wait for that."""
        if request.when_busy != "refuse" and request.stream is not None:
            with suppress(NotFound, Gone):
                if (await self._streams.open(request.stream)).busy:
                    return
        self._admit(request)

    async def _open(self, request: GenerationRequest, name: str) -> tuple[Mirror, bool]:
        """The stream in which a generation is to begin, and whether it is new."""
        owner = request.owner
        settings = None if owner is None else StreamSettings(owner=owner, creator=owner)
        if request.continues:
            await self._streams.open(request.stream or name)
        mirror, new = await self._streams.create(
            request.stream or name, settings, epoch=request.epoch
        )
        mirror.expect_events()
        return mirror, new

    async def _remove(self, mirror: Mirror) -> None:
        """Remove a stream in which nothing has begun; if that fails, it stays."""
        with suppress(HubError):
            await self._writer.delete(mirror.name, epoch=mirror.epoch)

    async def _begin(
        self, request: GenerationRequest, upstream: Upstream, name: str, mirror: Mirror
    ) -> Generation:
        """Begin a generation at the end of a stream, wherever that is by then, or let it wait."""
        for _ in range(MOVES):
            if mirror.busy and mirror.running != name:
                if request.when_busy == "refuse":
                    raise busy(mirror.name)
                queued = await self._queues.add(mirror.name, request, name)
                return queued or await self.find(name)
            try:
                return await self._begin_at_tail(request, upstream, name, mirror)
            except StreamBusy:
                if request.when_busy == "refuse":
                    raise
            except Conflict as error:
                if error.code != "stream_moved":
                    raise
            mirror = await self._mirrors.fresh(mirror.name)
        raise StreamBusy(f'"{mirror.name}" is written to all the time: try again')

    async def _begin_queued(
        self, mirror: Mirror, prompt: QueuedPrompt, queue: tuple[str, str]
    ) -> None:
        """See `hub.generations.shared_queues.Begin`."""
        request = prompt.request
        self._streams.admit()
        self._admission.admit_any()
        upstream = self._admission.upstream(request)
        credential, holds = request.credential, self._credential_holds
        if credential is not None and holds is not None and not await holds(credential):
            raise revoked()
        await self._begin_at_tail(request, upstream, prompt.generation, mirror, queue)

    async def _begin_at_tail(
        self,
        request: GenerationRequest,
        upstream: Upstream,
        name: str,
        mirror: Mirror,
        queue: tuple[str, str] | None = None,
    ) -> Generation:
        generation = Generation(mirror.name, upstream.name, request.model or upstream.model)
        generation.id = name
        past = await self._conversations.before(mirror, request)
        tail = mirror.tail  # to which the conversation was read
        self._admission.check_past(request, past.messages)
        prompt, events = beginning_of(request, past, generation)
        self._admit(request)
        await self._admission.count_for_all(request.counted_as)
        size = request.memory() + memory_of(past.messages)
        try:
            self._allowance.take(size, request.counted_as)
        except LimitExceeded:
            self._admission.uncount(request.counted_as)
            raise
        appender = None
        try:
            appender = await self._ticker.begin(mirror.name, name, tail, events, queue)
        except (StoreError, asyncio.CancelledError):
            # It may have begun, and nobody else would end it: this hub is alive.
            self._tasks.start(self._mend(mirror.name, name))
            raise
        finally:
            if appender is None:
                self._admission.uncount(request.counted_as)
                self._allowance.give(size, request.counted_as)
        if appender is None:
            return await self.find(name)
        generation.position = appender.position
        run = _Run(generation, appender, request.stream is None, request.counted_as, size)
        self._run(run, relay(upstream, prompt, generation, appender, request.fallbacks))
        return generation

    async def _mend(self, stream: str, generation: str) -> None:
        """End a generation of which it is not known whether it has begun, if it has."""
        while True:
            await asyncio.sleep(MEND_SECONDS)
            if generation in self._active:
                return  # it was asked for again
            with suppress(HubError):
                await interrupt(self._mirrors, stream, generation)
                await self._queues.take_on(stream)
                await self._mirrors.engine.strike(self._node, stream, generation)
                return

    def _admit_write(self) -> None:
        """Check that a prompt may be taken now."""
        self._admission.admit_work()
        self._streams.admit()

    def relaying(self, request: GenerationRequest) -> AbstractAsyncContextManager[Upstream]:
        return self._admission.relaying(request, self._allowance)

    def _admit(self, request: GenerationRequest) -> None:
        """Check that another generation may run in this hub now."""
        self._streams.admit()
        self._admission.admit(request.counted_as)
        # Before a stream is made for it: with a key that could not be removed again.
        self._allowance.check(request.memory(), request.counted_as)

    # Running

    def _run(self, run: _Run, reading: Coroutine[Any, Any, Terminal]) -> None:
        self._active[run.generation.id] = run
        run.reading = asyncio.create_task(within(self._limits.seconds, reading))
        # It may be stopped before it was awaited.
        run.reading.add_done_callback(lambda _: reading.close())
        run.task = asyncio.create_task(self._finish(run, run.reading))
        run.appender.mirror.when_run_changes(run.look)
        run.look()

    async def _finish(self, run: _Run, reading: asyncio.Task[Terminal]) -> None:
        """Wait for the end of a generation and write it, unless somebody else has."""
        generation, appender = run.generation, run.appender
        stopped = asyncio.create_task(appender.stopped.wait())
        try:
            await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                run.cancelled = run.cancelled or appender.cancelled.is_set()
                reading.cancel()
                await asyncio.wait([reading])
            ending = ending_of(reading, generation, cancelled=run.cancelled)
            terminal = generation.apply(encodable(ending))
            if await self._queues.end(appender, terminal, close=run.one_off):
                self._counts.generations[generation.state.value] += 1
        except HubError as error:
            log.error("generation %s has no end yet: %s", generation.id, error)
        finally:
            stopped.cancel()
            reading.cancel()
            if run.steering is not None:
                run.steering.cancel()
            appender.mirror.when_run_changes(None)
            del self._active[generation.id]
            self._admission.uncount(run.counted_as)
            self._allowance.give(run.size, run.counted_as)
            self._queues.advance(generation.stream)

    # Finding

    async def running_in(self, stream: str) -> Generation | None:
        try:
            mirror = await self._streams.open(stream)
        except (NotFound, Gone):
            return None
        if mirror.running is not None:
            with suppress(GenerationNotFound):
                return await self.find(mirror.running)
        return None

    async def find(self, generation: str) -> Generation:
        run = self._active.get(generation)
        if run is not None:
            return run.generation
        location = await self._mirrors.engine.locate(generation)
        if location is None:
            queued = await self._queues.find(generation)
            if queued is not None:
                return queued
            # It may have begun, or been dropped, in between.
            location = await self._mirrors.engine.locate(generation)
        found = None
        if location is not None:
            with suppress(NotFound, Gone):
                found = await self._read(generation, location)
        if found is None:
            raise GenerationNotFound(f'no generation is called "{generation[:100]}"')
        return found

    async def _read(self, generation: str, location: GenerationLocation) -> Generation | None:
        """A generation from its events; ``None`` if its end is no longer kept."""
        mirror = await self._streams.open(location.stream)
        if location.ended is None and mirror.running != generation:
            # It has ended meanwhile.
            location = await self._mirrors.engine.locate(generation) or location
        ended = location.ended
        if ended is not None:
            # The engine may know of an end a moment before it tells of it.
            await self._mirrors.until(mirror, lambda one: one.tail > ended)
            found = await read(self._streams, generation, location)
            return found if found.ended else None
        return await self._told(mirror, generation, location.position)

    async def _told(self, mirror: Mirror, generation: str, position: Position) -> Generation:
        """The generation that runs in a stream elsewhere; only what is new of it is read."""
        found = self._elsewhere.get(mirror)
        if found is None or found.followed.seen.id != generation:
            begun = Generation.told(generation, mirror.name, position, ())
            found = self._elsewhere[mirror] = _Elsewhere(FollowedGeneration(mirror, begun))
        async with found.lock:
            await found.followed.until(attrgetter("ended"), within=0)
        return found.followed.seen

    async def wait(self, generation: str) -> Generation:
        found = await self.find(generation)
        while True:
            seen, mirror = await self._followed(found)
            if mirror is None or seen.ended or not mirror.lost:
                return seen

    async def _followed(
        self, found: Generation, within: float | None = None
    ) -> tuple[Generation, Mirror | None]:
        """A generation as its stream tells it, once it has ended or ``within`` seconds.

        Without a mirror if the stream is gone.
        """
        try:
            mirror = await self._streams.open(found.stream)
        except (NotFound, Gone):
            return found, None
        followed = FollowedGeneration(mirror, found)
        await followed.until(attrgetter("ended"), within=within)
        return followed.seen, mirror

    # Stopping

    def stop(self, generation: str) -> None:
        run = self._active.get(generation)
        if run is not None:
            run.stop()
        else:
            self._tasks.start(self._stop_elsewhere(generation))

    async def _stop_elsewhere(self, generation: str) -> None:
        with suppress(HubError):
            location = await self._mirrors.engine.locate(generation)
            if location is not None and location.ended is None:
                await self._ask_to_stop(location.stream, generation)

    async def _ask_to_stop(self, stream: str, generation: str) -> None:
        run = self._active.get(generation)
        if run is not None:
            run.stop()
            return
        engine = self._mirrors.engine
        with suppress(StreamNotFound, Gone):
            node = await engine.cancel(stream, generation)
            if node is not None:
                await engine.say(node_topic(node), generation.encode())

    def _stop_heard(self, message: bytes) -> None:
        run = self._active.get(message.decode("ascii", "replace"))
        if run is not None:
            run.stop()

    async def cancel(self, generation: str) -> Generation:
        found = await self.find(generation)
        if found.state is State.QUEUED:
            with suppress(Conflict, NotFound, Gone):
                return await self.drop(generation)
        if self._is_over(found):
            return found
        while True:
            await self._ask_to_stop(found.stream, generation)
            self._streams.admit()  # or its end cannot be written
            seen, mirror = await self._followed(found, ASK_SECONDS)
            if mirror is None or seen.ended:
                return seen

    def _is_over(self, generation: Generation) -> bool:
        """Whether its stream has told that it has ended."""
        return generation.ended and generation.id not in self._active

    async def leave(self, stream: str) -> None:
        mirror = self._mirrors.loaded(stream)
        if mirror is not None and mirror.moves:
            with suppress(NotFound, Gone):
                await self._queues.hold(stream)
        if mirror is not None and mirror.running is not None:
            with suppress(GenerationNotFound):
                await self.cancel(mirror.running)

    # Prompts that wait

    async def queued(self, generation: str) -> QueuedPrompt:
        found = await self.find(generation)
        with suppress(NotFound, Gone):
            prompt = find((await self._streams.open(found.stream)).queue, generation)
            if prompt is not None:
                return prompt
        raise not_queued()

    async def requeue(
        self,
        generation: str,
        *,
        request: GenerationRequest | None = None,
        place: int | None = None,
        now: bool = False,
        may_stop: bool = True,
        checked: CheckedPrompt | None = None,
    ) -> Generation:
        found = await self.find(generation)
        if request is not None:
            self._admission.check(request)
        self._streams.admit()
        await self._queues.change(
            found, request=request, place=place, now=now, may_stop=may_stop, checked=checked
        )
        return found

    async def drop(self, generation: str, *, checked: CheckedPrompt | None = None) -> Generation:
        found = await self.find(generation)
        found.hear(await self._queues.drop(found.stream, generation, checked=checked))
        return found

    async def take_on(self, stream: str) -> None:
        """See `hub.generations.shared_queues.SharedQueues.take_on`."""
        await self._queues.take_on(stream)

    # The end

    async def close(self, grace: float) -> None:
        """Refuse new generations; interrupt those still running after ``grace`` seconds."""
        self._admission.draining = True
        await self._queues.close()
        runs = list(self._active.values())
        tasks = [run.task for run in runs if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
            for run in runs:
                if run.reading is not None:
                    run.reading.cancel()
            _, left = await asyncio.wait(tasks, timeout=END_SECONDS)
            for task in left:
                task.cancel()  # another hub ends it
            if left:
                await asyncio.wait(left)

    async def stop_all(self) -> None:
        """Write nothing more; other hubs end what began after `close`."""
        await self._tasks.stop()
        runs = [run.task for run in self._active.values() if run.task is not None]
        for task in runs:
            task.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        await self._ticker.stop()
