"""Prompts that wait for their turn in streams that several hubs write.

What waits is a part of the stream (`hub.stores.shared.State`), and what one hub changes all others
hear of. Each change names the queue that it was made from, and is made again from the next one if
somebody else was first. The rules are those of one hub (`hub.generations.prompt_queues`), except
that a stream in which prompts wait is not closed.

The next prompt is begun by the hub that has written the end of the answer before it, or has
changed the queue. That hub first takes it over: it enlists its generation, as if it was begun
already. So if it dies in between, whoever ends what it has left goes on with the queue, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from hub.domain.errors import (
    Conflict,
    Forbidden,
    Gone,
    HubError,
    NotFound,
    StoreError,
    StreamBusy,
    Unauthorized,
)
from hub.domain.events import Cancelled, Dropped, Event, Failed, encode, now
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt, encode_queue
from hub.domain.records import Position
from hub.generations import queue_changes
from hub.generations.pumps import PASSING, RETRY_SECONDS, Pumps
from hub.generations.queue_changes import CheckedPrompt, QueueLimits, find, not_queued
from hub.stores.shared import DroppedPrompt, Written
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.shared_appender import SharedAppender

__all__ = ["SharedQueues"]

log = logging.getLogger("hub.queue")

ATTEMPTS: Final = 50
"""How often a change is made again because others have changed the queue."""

_OTHER: Final = ("queue_changed", "stream_moved")
"""Codes of errors after which the stream has to be looked at again."""

Begin = Callable[[Mirror, QueuedPrompt, tuple[str, str]], Awaitable[None]]
"""Begins a prompt, if the queue that it leaves is still the one of `SharedEngine.begin`."""

Change = Callable[[Mirror], Awaitable[Written | None]]


class SharedQueues:
    """The queues of all streams, for the hub with the name ``node``."""

    def __init__(self, mirrors: Mirrors, node: str, limits: QueueLimits, begin: Begin) -> None:
        self._mirrors = mirrors
        self._node = node
        self._limits = limits
        self._begin = begin
        self._pumps = Pumps(self._pump)
        self._due: set[str] = set()
        """Streams that a pump has to look at once more."""
        self._taken: dict[str, set[str]] = {}
        """The generations that were taken over, by the name of the stream."""

    async def find(self, generation: str) -> Generation | None:
        """The generation of a prompt that waits; else ``None``.

        Raises:
            StoreError: the store cannot be read.
        """
        stream = await self._mirrors.engine.waiting_in(generation)
        if stream is None:
            return None
        with suppress(NotFound, Gone):
            prompt = find((await self._mirrors.fresh(stream)).queue, generation)
            return None if prompt is None else queue_changes.waiting(stream, prompt)
        return None

    # Changes

    async def _change(self, stream: str, change: Change) -> Written | None:
        """Change a queue, made again if others change it at the same time."""
        for _ in range(ATTEMPTS):
            mirror = await self._mirrors.fresh(stream)
            try:
                written = await change(mirror)
            except Conflict as error:
                if error.code != "queue_changed":
                    raise
            else:
                if written is not None:
                    await self._mirrors.confirmed(mirror, written)
                return written
        raise StreamBusy(f'what waits in "{stream}" changes all the time: try again')

    async def add(self, stream: str, request: GenerationRequest, name: str) -> Generation | None:
        """Let a prompt wait as the generation ``name``; ``None`` if that has begun, or was dropped.

        Raises:
            StreamBusy: the stream ends with its answer, or its queue changes all the time.
            StreamClosed: the stream takes no more records.
            LimitExceeded: ``queue_full``: as many wait as may.
            RequestError: the options cannot be written as JSON.
        """
        since, kept = now(), queue_changes.kept(request)
        found: QueuedPrompt | None = None

        async def add(mirror: Mirror) -> Written | None:
            nonlocal found
            if mirror.running == mirror.name:
                raise StreamBusy(f'"{stream}" closes with its answer: use another stream')
            found = find(mirror.queue, name)  # somebody has sent it twice
            if found is not None:
                return None
            new = QueuedPrompt(name, kept, mirror.position, since)
            queue, place = queue_changes.added(mirror.queue, new)
            self._limits.check(queue, mirror.queue, request, mirror.settings.owner)
            bodies, parts = [encode(new.event(place))], encode_queue(queue, new)
            version, held = mirror.queue_version, mirror.held
            engine = self._mirrors.engine
            return await engine.queue(stream, version, bodies, parts, held=held, added=name)

        await self._take(stream, name)
        try:
            written = await self._change(stream, add)
        finally:
            self.advance(stream)
        if written is None:
            return None if found is None else queue_changes.waiting(stream, found)
        prompt = QueuedPrompt(name, kept, Position(written.epoch, written.tail - 1), since)
        return queue_changes.waiting(stream, prompt)

    async def change(
        self,
        found: Generation,
        *,
        request: GenerationRequest | None,
        place: int | None,
        now: bool,
        may_stop: bool,
        checked: CheckedPrompt | None,
    ) -> None:
        """See `hub.generations.operations.GenerationOperations.requeue`."""
        stream, name = found.stream, found.id

        async def change(mirror: Mirror) -> Written | None:
            if now and mirror.busy and not may_stop:
                raise Forbidden(
                    'your credential does not allow "cancel" on this stream, and an answer runs',
                    code="not_permitted",
                )
            queue, then = queue_changes.changed(
                mirror.queue, name, request=request, place=place, now=now, checked=checked
            )
            self._limits.check(queue, mirror.queue, request, mirror.settings.owner)
            return await self._mirrors.engine.queue(
                stream,
                mirror.queue_version,
                [encode(queue[then - 1].event(then))],
                encode_queue(queue),
                held=mirror.held and not now,
            )

        if now:
            await self._take(stream, name)
        try:
            await self._change(stream, change)
        finally:
            if now:
                self.advance(stream)

    async def drop(
        self,
        stream: str,
        generation: str,
        *,
        checked: CheckedPrompt | None = None,
        error: HubError | None = None,
    ) -> Dropped:
        """Take a prompt out of the queue; with an ``error`` because it cannot begin.

        Then the others are held, unless it is for its credential.

        Raises:
            Conflict: ``not_queued``: it is not there; ``prompt_changed``: it is not the one that
                was ``checked``.
        """
        hold = error is not None and not isinstance(error, Unauthorized)
        event = Dropped(generation)

        async def drop(mirror: Mirror) -> Written | None:
            nonlocal event
            prompt = find(mirror.queue, generation)
            if prompt is None:
                raise not_queued()
            if checked is not None:
                checked.check(prompt)
            held = mirror.held or hold
            code, message = ("", "") if error is None else (error.code, error.message)
            event = Dropped(generation, code, message, now(), {"held": True} if held else {})
            return await self._mirrors.engine.queue(
                stream,
                mirror.queue_version,
                [encode(event)],
                encode_queue([one for one in mirror.queue if one is not prompt]),
                held=held,
                dropped=DroppedPrompt(generation, *prompt.position),
            )

        await self._change(stream, drop)
        return event

    async def hold(self, stream: str) -> None:
        """Hold what waits in a stream, so that nothing else begins."""

        async def hold(mirror: Mirror) -> Written | None:
            if not mirror.moves:
                return None
            parts, engine = encode_queue(mirror.queue), self._mirrors.engine
            return await engine.queue(stream, mirror.queue_version, [], parts, held=True)

        await self._change(stream, hold)

    # Going on

    async def _take(self, stream: str, generation: str) -> None:
        """Let others go on with a queue should this hub die before it does; `advance` it then.

        Raises:
            StoreError: the store cannot be used.
        """
        self._taken.setdefault(stream, set()).add(generation)
        await self._mirrors.engine.enlist(self._node, stream, generation)

    async def end(self, appender: SharedAppender, terminal: Event, *, close: bool) -> bool:
        """Write the end of a generation of this hub; false if it has another one.

        It holds what waits if it has to, or else takes the next prompt over: `advance` it then.
        Waits for as long as the engine is away.
        """
        mirror = appender.mirror
        while True:
            hold, event = queue_changes.holds(terminal, mirror.queue), terminal
            if hold and isinstance(terminal, Cancelled | Failed):
                event = replace(terminal, extra={**terminal.extra, "held": True})
            version = mirror.queue_version
            if mirror.queue and not hold:
                with suppress(StoreError):
                    await self._take(mirror.name, mirror.queue[0].generation)
            try:
                return (
                    await appender.end([event], close=close, queue=version, hold=hold) is not None
                )
            except Conflict:
                try:
                    mirror = await self._mirrors.fresh(mirror.name)
                except (NotFound, Gone):
                    return False
                except HubError:
                    await asyncio.sleep(RETRY_SECONDS)

    async def take_on(self, stream: str) -> None:
        """Go on with a queue that another hub has left.

        Raises:
            StoreError: that is not possible at the moment.
        """
        with suppress(NotFound, Gone):
            mirror = await self._mirrors.fresh(stream)
            if mirror.moves and mirror.running is None:
                await self._take(stream, mirror.queue[0].generation)
                self.advance(stream)

    def advance(self, stream: str) -> None:
        """Begin the next prompt of a stream, if its queue goes on and nothing runs."""
        if not self._pumps.closed:
            self._due.add(stream)
            self._pumps.start(stream)

    async def _pump(self, stream: str) -> None:
        """Begin the next prompt of a stream; try again while this hub cannot."""
        try:
            while stream in self._due:
                self._due.discard(stream)
                if await self._step(stream) and await self._give_back(stream):
                    continue
                self._due.add(stream)
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._due.discard(stream)

    async def _give_back(self, stream: str) -> bool:
        """Give back what was taken over and does not run here; false if that is not possible."""
        taken = self._taken.pop(stream, set())
        while taken:
            generation = taken.pop()
            try:
                await self._mirrors.engine.strike(self._node, stream, generation)
            except StoreError:
                self._taken.setdefault(stream, set()).update({generation, *taken})
                return False
        return True

    async def _step(self, stream: str) -> bool:
        """Begin the next prompt; false if that must be tried again later."""
        while True:
            try:
                mirror = await self._mirrors.fresh(stream)
            except (NotFound, Gone):
                return True
            except HubError as error:
                log.error("the queue of %s waits: %s", stream, error)
                return False
            if mirror.running is not None or not mirror.moves or mirror.closed:
                return True
            prompt = mirror.queue[0]
            rest, _ = encode_queue(mirror.queue[1:])
            try:
                await self._begin(mirror, prompt, (mirror.queue_version, rest))
                # Its end gives it back.
                self._taken.get(stream, set()).discard(prompt.generation)
            except PASSING:
                return False
            except HubError as error:
                if error.code not in _OTHER and not await self._fail(stream, prompt, error):
                    return False
            except Exception:
                log.exception("a prompt in %s cannot begin", stream)
                failed = HubError("the hub itself failed: its log says more")
                if not await self._fail(stream, prompt, failed):
                    return False

    async def _fail(self, stream: str, prompt: QueuedPrompt, error: HubError) -> bool:
        """Drop a prompt that cannot begin; false if that is not possible at the moment."""
        try:
            await self.drop(stream, prompt.generation, error=error)
        except (Conflict, NotFound, Gone):
            return True  # it waits no more
        except HubError as failed:
            log.error("the queue of %s waits: %s", stream, failed)
            return False
        return True

    async def close(self) -> None:
        """Begin no more prompts; other hubs do."""
        await self._pumps.close()
