"""Prompts that wait for their turn in a stream, in order, and what begins each of them.

What waits is told by events of the stream (`hub.domain.events.Queued`, `Dropped`, `Started`), not
by frames beside it as presence is. So every reader over every transport sees the same queue at the
same position, also one that comes late or back, and no client needs to ask. What readers do not
see, such as options and limits, is in the store beside the stream, changed in the same group as the
events: a crash leaves both or neither.

A prompt has a generation from the moment it waits. It is shown, waited for and cancelled by the
same id before and after its turn, and its idempotency key stands for that id, so a prompt that is
sent again waits once.

The queue goes on when an answer has finished, and when the hub comes back from a restart that
interrupted one. It is *held* after an answer was stopped or has failed: the next would most likely
fail as well, and who presses Stop does not mean "next". It goes on once somebody sends one of its
prompts, or another answer finishes. A prompt whose credential was revoked before its turn is
dropped and holds nobody up. Which prompt may still wait is checked in the same step as the
generation begins (`hub.streams.stream.Stream.begin`), so each begins once, whoever edits, moves or
drops it meanwhile.

A fork begins without a queue. Closing or removing a stream drops what waits in it; a client cannot
close one whose queue goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from hub.domain.errors import Gone, HubError, NotFound, StoreError, StreamBusy, Unauthorized
from hub.domain.events import Dropped, now
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position
from hub.generations.pumps import PASSING, RETRY_SECONDS, Pumps
from hub.generations.queue_changes import (
    CheckedPrompt,
    QueueLimits,
    added,
    changed,
    find,
    kept,
    waiting,
)
from hub.stores import Keyed, Store
from hub.streams.registry import Streams
from hub.streams.stream import Stream

__all__ = ["PromptQueues", "QueueStep"]

log = logging.getLogger("hub.queue")

DROPPED: Final = 1000
"""Dropped generations that are remembered."""

QueueStep = Callable[[Stream, QueuedPrompt, Generation], Awaitable[None]]
"""Begins the generation of a queued prompt; raises what `hub.generations.runs.Runs.start` does, and
`Conflict` (``not_queued``) if the prompt is not the next any more."""


class PromptQueues:
    """The queues of all streams. ``begin`` begins the next prompt of one."""

    def __init__(
        self, streams: Streams, store: Store, limits: QueueLimits, begin: QueueStep
    ) -> None:
        self._streams = streams
        self._store = store
        self._limits = limits
        self._begin = begin
        self._generations: WeakValueDictionary[str, Generation] = WeakValueDictionary()
        """Those of queued prompts that somebody holds, by id."""
        self._dropped: OrderedDict[str, Generation] = OrderedDict()
        """Those that were dropped last."""
        self._pumps = Pumps(self._pump)

    async def find(self, generation: str) -> Generation | None:
        """The generation of a prompt that waits, or did a moment ago; else ``None``.

        Raises:
            StoreError: the store cannot be read.
        """
        dropped = self._dropped.get(generation)
        if dropped is not None:
            return dropped
        known = self._generations.get(generation)
        name = await self._store.waiting_in(generation) if known is None else known.stream
        stream = None
        if name is not None:
            with suppress(NotFound, Gone):
                stream = await self._streams.open(name)
        prompt = None if stream is None else find(stream.queue, generation)
        if stream is not None and prompt is not None:
            return self.generation_of(stream, prompt)
        if known is not None and known.state is State.QUEUED:
            # Its stream was closed or removed meanwhile, and has dropped it.
            known.hear(Dropped(generation))
        return known

    def generation_of(self, stream: Stream, prompt: QueuedPrompt) -> Generation:
        """The generation of a queued prompt, the same object for as long as somebody holds it."""
        found = self._generations.get(prompt.generation)
        if found is None:
            found = self._generations[prompt.generation] = waiting(stream.name, prompt)
        return found

    # Changes: each is one step, without an await

    def add(self, stream: Stream, request: GenerationRequest) -> Generation:
        """Let a prompt wait; before all others if its request says so.

        Raises:
            StreamBusy: the stream ends with its answer.
            StreamClosed: the stream takes no more records.
            LimitExceeded: ``queue_full``: as many wait as may.
            RequestError: the options cannot be written as JSON.
        """
        if stream.writer is not None and stream.writer.id == stream.name:
            raise StreamBusy(f'"{stream.name}" closes with its answer: use another stream')
        position = Position(stream.epoch, stream.end)
        generation = Generation(stream.name, request.upstream or "", request.model)
        generation.position = position
        key = request.kept_key
        fingerprint = b"" if key is None else request.fingerprint()
        prompt = QueuedPrompt(generation.id, kept(request), position, generation.started_at)
        queue, place = added(stream.queue, prompt)
        self._limits.check(queue, stream.queue, request, stream.settings.owner)
        generation.hear(event := prompt.event(place))
        stream.append(event)
        stream.set_queue(queue, held=stream.held)
        if key is not None:
            self._store.note(Keyed(stream.name, key, fingerprint, generation.id, position))
        self._generations[generation.id] = generation
        return generation

    def change(
        self,
        stream: Stream,
        generation: str,
        *,
        request: GenerationRequest | None = None,
        place: int | None = None,
        now: bool = False,
        checked: CheckedPrompt | None = None,
    ) -> None:
        """Change a prompt as `hub.generations.queue_changes.changed` does; raises what that does.

        ``now`` also lets the queue go on.

        Raises:
            LimitExceeded, RequestError, StreamClosed: as `add`.
        """
        queue, place_then = changed(
            stream.queue, generation, request=request, place=place, now=now, checked=checked
        )
        self._limits.check(queue, stream.queue, request, stream.settings.owner)
        stream.append(queue[place_then - 1].event(place_then))
        stream.set_queue(queue, held=stream.held and not now)

    def drop(
        self, stream: Stream, generation: str, *, checked: CheckedPrompt | None = None
    ) -> bool:
        """Take a prompt out of the queue, which goes on without it; false if it is not there.

        Raises:
            Conflict: ``prompt_changed``: it is not the one that was ``checked``.
        """
        prompt = find(stream.queue, generation)
        if prompt is None:
            return False
        if checked is not None:
            checked.check(prompt)
        found = self.generation_of(stream, prompt)
        stream.drop([prompt])
        self._end(found, Dropped(generation, at=now()))
        return True

    def _fail(self, stream: Stream, prompt: QueuedPrompt, error: HubError) -> None:
        """Drop a prompt that cannot begin, and hold the others, unless it is for its credential."""
        if find(stream.queue, prompt.generation) is not None:
            found = self.generation_of(stream, prompt)
            hold = not isinstance(error, Unauthorized)
            stream.drop([prompt], code=error.code, message=error.message, hold=hold)
            self._end(found, Dropped(found.id, error.code, error.message, now()))

    def _end(self, generation: Generation, event: Dropped) -> None:
        generation.hear(event)
        self._dropped[generation.id] = generation
        if len(self._dropped) > DROPPED:
            self._dropped.popitem(last=False)

    # Going on

    def advance(self, stream: Stream) -> None:
        """Begin the next prompt of a stream, if its queue goes on and nothing runs."""
        if stream.moves and stream.writer is None:
            self._pumps.start(stream.name)

    async def resume(self) -> None:
        """Go on with the queues that an earlier process left."""
        for name in await self._store.unheld():
            self._pumps.start(name)

    async def resume_one(self, name: str) -> None:
        """Go on with the queue of a stream that was loaded again."""
        with suppress(NotFound, Gone):
            self.advance(await self._streams.open(name))

    async def _pump(self, name: str) -> None:
        """Begin the next prompt of a stream; try again while the hub cannot."""
        while not await self._step(name):  # noqa: ASYNC110 - nothing tells when it can
            await asyncio.sleep(RETRY_SECONDS)

    async def _step(self, name: str) -> bool:
        """Begin the next prompt; false if that must be tried again later."""
        while True:
            try:
                stream = await self._streams.open(name)
            except (NotFound, Gone):
                return True
            except StoreError as error:
                log.error("the queue of %s waits: %s", name, error)
                return False
            if stream.writer is not None or not stream.moves or stream.sealed:
                return True
            prompt = stream.queue[0]
            try:
                await self._begin(stream, prompt, self.generation_of(stream, prompt))
            except PASSING:
                return False
            except HubError as error:
                if error.code != "not_queued":
                    self._fail(stream, prompt, error)
            except Exception:
                log.exception("a prompt in %s cannot begin", name)
                self._fail(stream, prompt, HubError("the hub itself failed: its log says more"))

    async def close(self) -> None:
        """Begin no more prompts; what waits is kept in the store."""
        await self._pumps.close()
