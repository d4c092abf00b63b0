"""Runs generations: each is begun once, tied to no request, and ended exactly once.

A generation runs in a task of its own. A client that goes away does not affect it; `cancel` does,
from any client. However the task ends, `_settle` appends the one terminal event:

    it returned a terminal      Finished (or Failed, if the provider reported an error)
    it raised a HubError        Failed with that error's code
    it was cancelled            Cancelled if somebody asked for that, else Interrupted

A stream that is closed or removed ends the generation in it (`hub.streams.stream.Stream.close`):
the terminal event is written first, and then the task is stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final
from weakref import WeakKeyDictionary

from hub.domain import defaults
from hub.domain.conversation import Conversation
from hub.domain.counters import Counters
from hub.domain.errors import (
    Draining,
    GenerationNotFound,
    Gone,
    HubError,
    LimitExceeded,
    NotFound,
    RequestError,
    StreamBusy,
    TooLarge,
)
from hub.domain.events import (
    Cancelled,
    Event,
    Failed,
    Interrupted,
    Message,
    Started,
    Terminal,
    encode,
    now,
)
from hub.domain.failures import failed
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.prompt import Prompt, beside_of, bulk_of, input_of
from hub.domain.records import Position
from hub.generations.followed import FollowedGeneration
from hub.generations.idempotency import IdempotencyKeys, check_kept, generation_of_key
from hub.generations.recovery import interrupt, recall
from hub.generations.relay import relay
from hub.stores import Ended, Keyed, Store, Unended
from hub.stores.writer import Beginning, Writer
from hub.streams.registry import Streams
from hub.streams.stream import Stream
from hub.streams.writer import LocalWriter
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["RunLimits", "Runs"]

Messages = tuple[Mapping[str, Any], ...]

log = logging.getLogger("hub.runs")

MODEL_LENGTH: Final = 200
"""Characters."""

MESSAGE_BYTES: Final = 300
"""Memory that a message takes besides its text."""

UNSHOWN_SECONDS: Final = 1.0
"""How often code that waits for an end checks whether the store has failed to write it."""

CONVERSATIONS: Final = 100
CONVERSATION_BYTES: Final = 32 * 1024 * 1024
"""The conversations that are kept in memory, and the bytes that they may take: reading a long one
again from its beginning blocks the loop for tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of generations; none runs longer than ``seconds``."""

    generations: int = defaults.GENERATIONS
    seconds: float = defaults.GENERATION
    prompt_bytes: int = defaults.PROMPT_BYTES
    keys: int = defaults.IDEMPOTENCY_KEYS


@dataclass(slots=True, eq=False)
class _Run:
    """A generation and its task: the writer of its stream (`ActiveWriter`); ``settle`` ends it.

    ``size`` is the memory that its prompt takes, in bytes. ``cancelled`` is true once somebody has
    asked for it to stop.
    """

    generation: Generation
    stream: Stream
    settle: Callable[[_Run, Terminal], None]
    one_off: bool
    size: int = 0
    cancelled: bool = False
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
            self.settle(self, _ending(self, self.task))
        else:
            self.task.cancel()
            self.settle(self, Cancelled() if self.cancelled else Interrupted())


class Runs:
    """The generations that run, and those that ended last."""

    def __init__(
        self,
        streams: Streams,
        store: Store,
        upstreams: Upstreams,
        *,
        allowance: MemoryBudget,
        limits: RunLimits,
        counts: Counters,
    ) -> None:
        self._streams = streams
        self._writer: Writer = LocalWriter(streams)
        self._store = store
        self._upstreams = upstreams
        self._allowance = allowance
        self._limits = limits
        self._counts = counts
        self._active: dict[str, _Run] = {}
        self._ended: OrderedDict[str, Generation] = OrderedDict()
        self._keys = IdempotencyKeys(store, limits.keys)
        self._pasts: WeakKeyDictionary[Stream, Conversation] = WeakKeyDictionary()
        """The conversations that were used last, the oldest first."""
        self._mending: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def active(self) -> int:
        """The number of running generations."""
        return len(self._active)

    def running(self) -> dict[str, str]:
        """The id of the running generation by the name of its stream."""
        return {run.stream.name: name for name, run in self._active.items()}

    def running_in(self, stream: str) -> Generation | None:
        """The running generation of a stream, if there is one."""
        found = (run.generation for run in self._active.values() if run.stream.name == stream)
        return next(found, None)

    async def find(self, generation: str) -> Generation:
        """A generation by its id.

        Raises:
            GenerationNotFound: it is unknown, or its end is no longer kept.
            StoreError: the store cannot be read.
        """
        run = self._active.get(generation)
        found = run.generation if run is not None else self._ended.get(generation)
        return found or await recall(self._streams, self._store, generation)

    async def start(self, request: GenerationRequest) -> Generation:
        """Begin a generation, or find the one that was begun with the same key.

        Raises:
            RequestError: neither or both of prompt and messages are given, or one is not valid.
            TooLarge: the prompt exceeds its limit.
            UpstreamNotFound: there is no such upstream.
            NotFound: ``model_not_found``: the upstream has no such model.
            KeyReused: the key was used for another request.
            StreamBusy: another generation runs in that stream.
            StreamClosed: the stream takes no more records.
            LimitExceeded: too many generations run.
            Draining: the hub is shutting down.
            StoreError: the store cannot write at the moment.
            Gone: the generation of the key is no longer kept, or was deleted.
        """
        if request.key is None:
            generation = await self._start(request)
        else:
            generation = await self._keys.once(
                request.key, request.fingerprint(), partial(self._start, request), self._recall
            )
        # Should this fail, the generation has begun all the same: the key finds it again.
        await self._store.synced(generation.stream)
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
        self._check(request)
        self._admit()
        upstream = self._upstreams.find(request.upstream)
        if not upstream.knows(request.model):
            raise NotFound(
                f'"{upstream.name}" has no model called "{(request.model or "")[:100]}"',
                code="model_not_found",
                param="model",
            )
        generation = Generation("", upstream.name, request.model or upstream.model)
        if request.stream is None:
            stream = self._streams.begin(generation.id)
        else:
            stream, _ = await self._streams.create(request.stream)
        run = _Run(generation, stream, self._settle, one_off=request.stream is None)
        stream.expect_events()
        if stream.writer is not None:
            raise StreamBusy(
                f'a generation is already running in "{stream.name}": cancel it or wait for its end'
            )
        stream.writer = run
        try:
            if stream.end > stream.tail:
                await stream.committed()  # the conversation includes what is not shown yet
            past = () if request.prompt is None else await self._past(stream)
            # This run holds the stream, so the conversation has not changed in between.
            self._check_past(request, past)
            self._admit()
            size = request.memory() + _memory(past)
            self._allowance.take(size)
            run.size = size
            await self._begin(request, past, upstream, run)
        except BaseException:
            self._allowance.give(run.size)
            if stream.writer is run:
                stream.writer = None
            raise
        return generation

    async def _past(self, stream: Stream) -> Messages:
        """The messages of a stream; only the new ones are read."""
        past = self._pasts.pop(stream, None)
        if past is None or past.start != stream.head:
            past = Conversation(stream.head)
        async for records in stream.stretches(past.end):
            past.read([record.body for record in records])
        past.end = stream.tail
        messages = past.messages()
        if past.size <= CONVERSATION_BYTES:
            self._pasts[stream] = past
        size = sum(one.size for one in self._pasts.values())
        while size > CONVERSATION_BYTES or len(self._pasts) > CONVERSATIONS:
            size -= self._pasts.pop(next(iter(self._pasts))).size
        return messages

    async def _begin(
        self, request: GenerationRequest, past: Messages, upstream: Upstream, run: _Run
    ) -> None:
        generation, stream = run.generation, run.stream
        generation.stream = stream.name
        said: list[Event] = list(request.said)
        if request.prompt is not None:
            said.insert(0, Message("user", request.prompt, request.author, now()))
            past = (*past, {"role": "user", "content": request.prompt})
        prompt = Prompt(request.messages or past, request.model, request.options, request.items)
        generation.asked = prompt.tokens()
        events = [*said, generation.apply(Started(extra=request.beside))]
        fingerprint = b"" if request.key is None else request.fingerprint()
        beginning = Beginning(generation.id, events, request.key, fingerprint)
        # No wait after this one: the run is listed as soon as it is written.
        epoch, end = (await self._writer.begin(stream.name, beginning)).position
        generation.position = Position(epoch, end - len(events))
        run.started = end - 1
        self._active[generation.id] = run
        run.task = asyncio.create_task(self._relay(upstream, prompt, run))
        run.task.add_done_callback(partial(self._over, run))

    def _check(self, request: GenerationRequest) -> None:
        """Check that the request is valid."""
        if (request.prompt is None) == (request.messages is None):
            raise RequestError('a generation needs either "prompt" or "messages"')
        if not (request.prompt or request.messages):
            raise RequestError("the prompt is empty: say something")
        most = self._limits.prompt_bytes
        if request.size() > most:
            raise TooLarge(f"a prompt has at most {most} bytes (limits.prompt_bytes)")
        if request.model is not None and len(request.model) > MODEL_LENGTH:
            raise RequestError(f"the name of a model has at most {MODEL_LENGTH} characters")

    def _check_past(self, request: GenerationRequest, past: Messages) -> None:
        """Check that the prompt and the conversation before it are within the limit."""
        size, most = request.size() + sum(map(bulk_of, past)), self._limits.prompt_bytes
        if past and size > most:
            raise TooLarge(
                f"the prompt and its conversation have {size} bytes, more than {most}"
                " (limits.prompt_bytes): begin another conversation"
            )

    def _admit(self) -> None:
        """Check that another generation may run now."""
        if self._draining:
            raise Draining("the hub is shutting down: try again in a moment")
        self._store.admit()
        if len(self._active) >= self._limits.generations:
            raise LimitExceeded("too many generations are running: try again later")

    async def _relay(self, upstream: Upstream, prompt: Prompt, run: _Run) -> Terminal:
        try:
            async with asyncio.timeout(self._limits.seconds) as longest:
                appender = self._writer.appender(run.stream.name, run.id)
                return await relay(upstream, prompt, run.generation, appender)
        except TimeoutError:
            if not longest.expired():
                raise
            return Failed(
                code="generation_too_long",
                message=f"stopped after {self._limits.seconds:g} s, the longest allowed",
            )

    def _over(self, run: _Run, task: asyncio.Task[Terminal]) -> None:
        """The task has ended, by itself or because the run was ended."""
        ending = _ending(run, task)
        if not run.generation.ended:
            self._settle(run, ending)

    def _settle(self, run: _Run, ending: Terminal) -> None:
        """Append the terminal event; nothing else does."""
        generation, stream = run.generation, run.stream
        del self._active[generation.id]
        self._allowance.give(run.size)
        stream.writer = None
        terminal = generation.apply(_encodable(ending))
        if stream.sealed:
            # The stream was abandoned, and is loaded again as the store has it, without this end.
            mending = asyncio.create_task(self._mend(generation.id))
            self._mending.add(mending)
            mending.add_done_callback(self._mending.discard)
        else:
            # Safe: a reader that has seen an end does not come back for another one.
            last = stream.append(terminal, safe=True)
            self._store.note(Ended(stream.name, generation.id, last.offset))
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
        except HubError as error:
            log.error("generation %s has no end until the next start: %s", generation, error)

    def stop(self, generation: str) -> None:
        """Stop a generation without waiting for its end; does nothing if it is not running."""
        run = self._active.get(generation)
        if run is not None and run.task is not None:
            run.cancelled = True
            run.task.cancel()

    async def cancel(self, generation: str) -> Generation:
        """Stop a generation and wait for its end; one that has ended stays as it is.

        Raises:
            GenerationNotFound: there is none.
        """
        self.stop(generation)
        return await self.wait(generation)

    async def leave(self, stream: Stream) -> None:
        """Stop the generations of a stream and wait for their ends."""
        for run in [run for run in self._active.values() if run.stream is stream]:
            await self.cancel(run.id)

    async def wait(self, generation: str) -> Generation:
        """Wait until a generation has ended and its end is stored and shown.

        Cancelling this does not affect the generation.

        Raises:
            GenerationNotFound: there is none.
            StoreError: the store failed to write the end.
        """
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
        """End the generations that were running when the last process died."""
        await interrupt(self._streams, self._store, left)

    async def close(self, grace: float) -> None:
        """Refuse new generations; interrupt those still running after ``grace`` seconds."""
        self._draining = True
        tasks = [run.task for run in self._active.values() if run.task is not None]
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=grace)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        await asyncio.gather(*self._mending)


def _memory(past: Messages) -> int:
    """Bytes of memory that messages and their tool calls take."""
    texts = [message["content"] or "" for message in past]
    texts += [input_of(call) for message in past for call in message.get("tool_calls", ())]
    return sum(MESSAGE_BYTES + text.__sizeof__() for text in texts) + sum(map(beside_of, past))


def _encodable(ending: Terminal) -> Terminal:
    """The terminal event, or a failure in place of one that cannot be encoded."""
    try:
        encode(ending)
    except RequestError:
        said = "the upstream's last event cannot be written as JSON"
        return Failed(code="upstream_malformed", message=said)
    return ending


def _ending(run: _Run, task: asyncio.Task[Terminal]) -> Terminal:
    if task.cancelled():
        return Cancelled() if run.cancelled else Interrupted()
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, HubError):
        return failed(error)
    log.error("generation %s failed", run.generation.id, exc_info=error)
    return Failed(code="internal", message="the hub itself failed: its log says more")
