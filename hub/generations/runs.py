"""Runs generations: each is begun once, tied to no request, and ended exactly once.

A generation runs in a task of its own. A client that goes away does not affect it; `cancel` does,
from any client. However the task ends, `_settle` appends the one terminal event:

    it returned a terminal      Finished (or Failed, if the provider reported an error)
    it raised a HubError        Failed with that error's code
    it was cancelled            Cancelled if somebody asked for that, else Interrupted

A prompt for a stream that is answering can wait for its turn (`hub.generations.prompt_queues`).

A stream that is closed or removed ends the generation in it (`hub.streams.stream.Stream.close`):
the terminal event is written first, and then the task is stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Final

from hub.domain.counters import Counters
from hub.domain.errors import (
    Conflict,
    Forbidden,
    GenerationNotFound,
    Gone,
    HubError,
    NotFound,
    StreamBusy,
)
from hub.domain.events import Terminal
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.prompt import Prompt
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.generations.admission import Admission, RunLimits
from hub.generations.conversations import Conversations, Past, beginning_of, memory_of
from hub.generations.endings import encodable, ending_of, stopped
from hub.generations.followed import FollowedGeneration
from hub.generations.idempotency import IdempotencyKeys, check_kept, generation_of_key
from hub.generations.prompt_queues import PromptQueues
from hub.generations.queue_changes import CheckedPrompt, find, holds, not_queued, revoked
from hub.generations.recovery import interrupt, recall
from hub.generations.relay import relay, within
from hub.generations.steering import make_way
from hub.stores import Ended, Keyed, Store, Unended
from hub.stores.writer import Beginning
from hub.streams.opened import check_epoch
from hub.streams.registry import Streams
from hub.streams.stream import Stream
from hub.streams.writer import LocalWriter
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["RunLimits", "Runs"]

log = logging.getLogger("hub.runs")

UNSHOWN_SECONDS: Final = 1.0
"""How often code that waits for an end checks whether the store has failed to write it."""


@dataclass(slots=True, eq=False)
class _Run:
    """A generation and its task: the writer of its stream (`ActiveWriter`); ``settle`` ends it.

    ``size`` is the memory that its prompt takes, in bytes. ``cancelled`` is true once somebody has
    asked for it to stop; ``steering`` stops it for a prompt that goes first, if it has not found
    a place to stop by then.
    """

    generation: Generation
    stream: Stream
    settle: Callable[[_Run, Terminal], None]
    one_off: bool
    counted_as: str | None = None
    size: int = 0
    cancelled: bool = False
    steering: asyncio.TimerHandle | None = None
    started: int | None = None
    task: asyncio.Task[Terminal] | None = None

    @property
    def id(self) -> str:
        return self.generation.id

    def end(self) -> None:
        """Write the last event now, because the stream is about to close."""
        if self.task is None:
            self.stream.writer = None  # it has not begun, and notices that it cannot
        elif self.task.done():
            self.settle(self, ending_of(self.task, self.generation, cancelled=self.cancelled))
        else:
            self.task.cancel()
            self.settle(self, stopped(self.generation, cancelled=self.cancelled))


class Runs:
    """The generations that run, and those that ended last.

    ``holds`` says whether a credential was not revoked, before a prompt that waited begins.
    """

    def __init__(
        self,
        streams: Streams,
        store: Store,
        upstreams: Upstreams,
        *,
        allowance: MemoryBudget,
        limits: RunLimits,
        counts: Counters,
        holds: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._streams = streams
        self._writer = LocalWriter(streams)
        self._store = store
        self._allowance = allowance
        self._limits = limits
        self._counts = counts
        self._holds = holds
        self._active: dict[str, _Run] = {}
        self._ended: OrderedDict[str, Generation] = OrderedDict()
        self._keys = IdempotencyKeys(store, limits.keys)
        self._admission = Admission(upstreams, limits)
        self._conversations = Conversations(
            limits.prompt_messages, prompt_bytes=limits.prompt_bytes, allowance=allowance
        )
        self._queues = PromptQueues(streams, store, limits.queue, self._begin_queued)
        self._mending: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        """The number of running generations."""
        return len(self._active)

    def running(self) -> dict[str, str]:
        """The id of the running generation by the name of its stream."""
        return {run.stream.name: name for name, run in self._active.items()}

    async def running_in(self, stream: str) -> Generation | None:
        """The running generation of a stream, if there is one."""
        found = (run.generation for run in self._active.values() if run.stream.name == stream)
        return next(found, None)

    async def find(self, generation: str) -> Generation:
        """See `hub.generations.operations.GenerationOperations.find`."""
        found = self._known(generation) or await self._queues.find(generation)
        # It may have begun, or been dropped, while the queue was looked up.
        found = found or self._known(generation)
        return found or await recall(self._streams, self._store, generation)

    def _known(self, generation: str) -> Generation | None:
        run = self._active.get(generation)
        return run.generation if run is not None else self._ended.get(generation)

    async def start(self, request: GenerationRequest) -> Generation:
        """See `hub.generations.operations.GenerationOperations.start`."""
        if request.key is None:
            generation = await self._start(request)
        else:
            generation = await self._keys.once(
                request.key,
                request.fingerprint(),
                partial(self._start, request),
                self._recall,
                kept_as=request.kept_key,
            )
        # Should this fail, the generation has begun all the same: the key finds it again.
        await self._store.synced(generation.stream)
        if generation.state is State.QUEUED:
            await self._queues.find(generation.id)  # it may have been dropped since
        if request.key is not None and generation.ended:
            await check_kept(generation, self._streams)
        return generation

    async def _recall(self, kept: Keyed) -> Generation:
        """The generation that a key began before the hub was last started."""
        try:
            return await self.find(kept.generation)
        except GenerationNotFound:
            return await generation_of_key(kept, self._streams, self._store)

    async def _start(self, request: GenerationRequest) -> Generation:
        self._admission.check(request)
        self._admit_write()
        upstream = self._admission.upstream(request)
        if request.when_busy != "refuse" and request.stream is not None:
            queued = await self._queue_if_busy(request, request.stream)
            if queued is not None:
                return queued
        self._store.admit()
        self._admission.admit(request.counted_as)
        # What is refused after this leaves an empty stream.
        self._allowance.check(request.memory(), request.counted_as)
        generation = Generation("", upstream.name, request.model or upstream.model)
        owner = request.owner
        settings = None if owner is None else StreamSettings(owner=owner, creator=owner)
        if request.stream is None:
            stream = self._streams.begin(generation.id, settings)
        else:
            if request.continues:
                await self._streams.open(request.stream)
            stream, _ = await self._streams.create(request.stream, settings, epoch=request.epoch)
        stream.expect_events()
        if stream.busy and request.when_busy == "refuse":
            raise StreamBusy(
                f'a generation is already running in "{stream.name}": cancel it or wait for its end'
            )
        if stream.busy:
            return self._queue(request, stream)
        try:
            await self._run(request, upstream, generation, stream)
        except HubError:
            if request.stream is None:
                with suppress(HubError):
                    await self._streams.remove(stream)  # nobody else knows it
            raise
        return generation

    async def _queue_if_busy(self, request: GenerationRequest, name: str) -> Generation | None:
        """Queue a prompt, also where no more generations may run now; ``None`` if it can begin."""
        try:
            stream = await self._streams.open(name)
        except (NotFound, Gone):
            return None
        check_epoch(name, stream, request.epoch)
        return self._queue(request, stream) if stream.busy else None

    def _queue(self, request: GenerationRequest, stream: Stream) -> Generation:
        generation = self._queues.add(stream, request)
        self._make_way(stream)
        return generation

    async def _begin_queued(
        self, stream: Stream, queued: QueuedPrompt, generation: Generation
    ) -> None:
        """See `hub.generations.prompt_queues.QueueStep`."""
        request = queued.request
        self._store.admit()
        self._admission.admit_any()
        upstream = self._admission.upstream(request)
        generation.take_turn(upstream.name, request.model or upstream.model)
        try:
            await self._run(request, upstream, generation, stream, queued)
        except BaseException:
            if not generation.ended:
                generation.state = State.QUEUED
            raise

    async def _run(
        self,
        request: GenerationRequest,
        upstream: Upstream,
        generation: Generation,
        stream: Stream,
        queued: QueuedPrompt | None = None,
    ) -> None:
        """Begin a generation in a stream in which nothing runs."""
        run = _Run(
            generation,
            stream,
            self._settle,
            one_off=request.stream is None,
            counted_as=request.counted_as,
        )
        self._admission.count(request.counted_as)
        stream.writer = run
        try:
            if queued is not None:
                await self._check_credential(request.credential)
            if stream.end > stream.tail:
                await stream.committed()  # the conversation includes what is not shown yet
            past = await self._conversations.before(stream, request)
            # From here on nothing waits until it has begun: the conversation is as it was read.
            self._admission.check_past(request, past.messages)
            self._admit_write()
            size = request.memory() + memory_of(past.messages)
            self._allowance.take(size, run.counted_as)
            run.size = size
            await self._begin(request, past, upstream, run, queued)
        except BaseException:
            self._admission.uncount(request.counted_as)
            self._allowance.give(run.size, run.counted_as)
            if stream.writer is run:
                stream.writer = None
                if queued is None:
                    self._queues.advance(stream)
            raise
        self._make_way(stream)

    async def _begin(
        self,
        request: GenerationRequest,
        past: Past,
        upstream: Upstream,
        run: _Run,
        queued: QueuedPrompt | None,
    ) -> None:
        generation, stream = run.generation, run.stream
        if queued is not None and stream.queue[:1] != (queued,):
            raise not_queued()
        generation.stream = stream.name
        prompt, events = beginning_of(request, past, generation)
        fingerprint = b"" if request.key is None else request.fingerprint()
        beginning = Beginning(generation.id, events, request.kept_key, fingerprint, queued)
        # No wait after this one: the run is listed as soon as it is written.
        epoch, end = (await self._writer.begin(stream.name, beginning)).position
        generation.position = Position(epoch, end - len(events))
        run.started = end - 1
        self._active[generation.id] = run
        run.task = asyncio.create_task(self._relay(upstream, prompt, run, request.fallbacks))
        run.task.add_done_callback(partial(self._over, run))

    async def _check_credential(self, credential: str | None) -> None:
        """Check that a prompt's credential was not revoked while it waited.

        Raises:
            Unauthorized: ``credential_revoked``.
            StoreError: the store cannot be read.
        """
        if self._holds is None or credential is None or await self._holds(credential):
            return
        raise revoked()

    def relaying(self, request: GenerationRequest) -> AbstractAsyncContextManager[Upstream]:
        return self._admission.relaying(request, self._allowance)

    def _admit_write(self) -> None:
        """Check that a prompt may be taken now."""
        self._admission.admit_work()
        self._store.admit()

    async def _relay(
        self, upstream: Upstream, prompt: Prompt, run: _Run, fallbacks: frozenset[str] | None
    ) -> Terminal:
        appender = self._writer.appender(run.stream.name, run.id)
        reading = relay(upstream, prompt, run.generation, appender, fallbacks)
        return await within(self._limits.seconds, reading)

    def _over(self, run: _Run, task: asyncio.Task[Terminal]) -> None:
        """The task has ended, by itself or because the run was ended."""
        ending = ending_of(task, run.generation, cancelled=run.cancelled)
        if not run.generation.ended:
            self._settle(run, ending)

    def _settle(self, run: _Run, ending: Terminal) -> None:
        """Append the terminal event; nothing else does."""
        generation, stream = run.generation, run.stream
        del self._active[generation.id]
        self._admission.uncount(run.counted_as)
        self._allowance.give(run.size, run.counted_as)
        if run.steering is not None:
            run.steering.cancel()
        stream.writer = None
        ending = encodable(ending)
        held = holds(ending, stream.queue)
        if held:
            ending = replace(ending, extra={**ending.extra, "held": True})
        terminal = generation.apply(ending)
        if stream.sealed:
            # The stream was abandoned, and is loaded again as the store has it, without this end.
            mending = asyncio.create_task(self._mend(generation.id))
            self._mending.add(mending)
            mending.add_done_callback(self._mending.discard)
        else:
            # Safe: a reader that has seen an end does not come back for another one.
            last = stream.append(terminal, safe=True)
            self._store.note(Ended(stream.name, generation.id, last.offset))
            if held:
                stream.set_queue(stream.queue, held=True)
            self._queues.advance(stream)
        if run.one_off:
            stream.close()
        self._counts.generations[generation.state.value] += 1
        self._ended[generation.id] = generation
        while len(self._ended) > self._limits.keys:
            self._ended.popitem(last=False)

    async def _mend(self, generation: str) -> None:
        """Write the end to an abandoned stream; if that fails, the next start of the hub does."""
        try:
            location = await self._store.locate(generation)
            if location is not None and location.ended is None:
                left = [Unended(location.stream, generation, location.started)]
                await interrupt(self._streams, self._store, left)
                await self._queues.resume_one(location.stream)
        except HubError as error:
            log.error("generation %s has no end until the next start: %s", generation, error)

    def stop(self, generation: str) -> None:
        """See `hub.generations.operations.GenerationOperations.stop`."""
        run = self._active.get(generation)
        if run is not None and run.task is not None:
            run.cancelled = True
            run.task.cancel()

    async def cancel(self, generation: str) -> Generation:
        """See `hub.generations.operations.GenerationOperations.cancel`."""
        found = await self.find(generation)
        if found.state is State.QUEUED:
            with suppress(Conflict, NotFound, Gone):
                return await self.drop(generation)
        if found.state is State.DROPPED:
            return found
        self.stop(generation)
        return await self.wait(generation)

    async def drop(self, generation: str, *, checked: CheckedPrompt | None = None) -> Generation:
        """See `hub.generations.operations.GenerationOperations.drop`."""
        found = await self.find(generation)
        stream = await self._streams.open(found.stream)
        if not self._queues.drop(stream, generation, checked=checked):
            raise not_queued()
        await self._store.synced(stream.name)
        return found

    async def queued(self, generation: str) -> QueuedPrompt:
        """See `hub.generations.operations.GenerationOperations.queued`."""
        found = await self.find(generation)
        prompt = find((await self._streams.open(found.stream)).queue, generation)
        if prompt is None:
            raise not_queued()
        return prompt

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
        """See `hub.generations.operations.GenerationOperations.requeue`."""
        found = await self.find(generation)
        if request is not None:
            self._admission.check(request)
        self._store.admit()
        stream = await self._streams.open(found.stream)
        if now and stream.busy and not may_stop:
            raise Forbidden(
                'your credential does not allow "cancel" on this stream, and an answer runs',
                code="not_permitted",
            )
        self._queues.change(
            stream, generation, request=request, place=place, now=now, checked=checked
        )
        self._make_way(stream)
        self._queues.advance(stream)
        await self._store.synced(stream.name)
        return found

    def _make_way(self, stream: Stream) -> None:
        """Stop the answer that runs, if the next prompt does not wait for its end."""
        run = None if stream.writer is None else self._active.get(stream.writer.id)
        if run is not None:  # one that has not begun yet is stopped once it has
            make_way(run, stream.queue, partial(self.stop, run.id))

    async def leave(self, stream: str) -> None:
        """See `hub.generations.operations.GenerationOperations.leave`."""
        held = self._streams.loaded(stream)
        if held is not None:
            await self._leave(held)

    async def _leave(self, stream: Stream) -> None:
        if stream.queue:
            stream.set_queue(stream.queue, held=True)  # so that nothing else begins
        for run in [run for run in self._active.values() if run.stream is stream]:
            await self.cancel(run.id)

    async def wait(self, generation: str) -> Generation:
        """See `hub.generations.operations.GenerationOperations.wait`."""
        found = await self.find(generation)
        try:
            stream = None if found.ended else await self._streams.open(found.stream)
        except (NotFound, Gone):
            stream = None  # so it has ended
        if stream is None:
            # Its end may have been written a moment ago, and is shown once it is stored.
            await self._store.synced()
            return found
        followed = FollowedGeneration(stream, found)
        ended = attrgetter("ended")
        while not await followed.until(ended, within=UNSHOWN_SECONDS):
            if followed.over:
                break
            if found.ended:
                # Its end is not shown yet: this raises an error if the store has failed.
                await self._store.synced()
        return found if found.ended else followed.seen

    async def interrupted(self, left: Iterable[Unended]) -> None:
        """End the generations that were running when the last process died, and go on with the
        queues.
        """
        await interrupt(self._streams, self._store, left)
        await self._queues.resume()

    async def close(self, grace: float) -> None:
        """Refuse new generations; interrupt those still running after ``grace`` seconds."""
        self._admission.draining = True
        await self._queues.close()
        tasks = [run.task for run in self._active.values() if run.task is not None]
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=grace)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        await asyncio.gather(*self._mending)
