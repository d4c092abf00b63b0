"""Generations of earlier processes: found in their streams, and ended where they have no end.

A generation that runs is known by its task. After that it is known by its events: the store knows
where in the stream they are, so it can be found for as long as the stream keeps them. A generation
that was running when a process died gets its end at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

from hub.domain.errors import GenerationNotFound, Gone, InvalidName, NotFound
from hub.domain.events import TERMINALS, Delta, Event, Interrupted, Started, now
from hub.domain.generation import Generation, cut_off
from hub.stores import Ended, GenerationLocation, Store, Unended
from hub.streams.followed import FollowedStream
from hub.streams.opened import StreamRegistry
from hub.streams.registry import Streams

__all__ = ["events_of", "interrupt", "interrupted", "read", "recall"]

log = logging.getLogger("hub.runs")


async def recall(streams: Streams, store: Store, name: str) -> Generation:
    """A generation that has ended, by its id.

    Raises:
        GenerationNotFound: it is unknown, its stream is gone, or its end is no longer kept.
        StoreError: the store cannot be read.
    """
    location = await store.locate(name)
    if location is not None and location.ended is None:
        # The start of the hub may have ended it, which is not committed yet.
        await store.synced()
        location = await store.locate(name)
    try:
        found = None if location is None else await read(streams, name, location)
    except (NotFound, Gone):
        found = None
    if found is None or not found.ended:
        raise GenerationNotFound(f'no generation is called "{name[:100]}"')
    return found


async def read(streams: StreamRegistry, name: str, location: GenerationLocation) -> Generation:
    """A generation from its first and last event."""
    stream = await streams.open(location.stream)
    events: list[Event] = []
    for offset in (location.started, location.ended):
        if offset is not None and offset >= stream.head:
            records = (await stream.fetch(offset, 1)).records[:1]
            events += [record.event for record in records if record.event is not None]
    own = [event for event in events if getattr(event, "generation", None) == name]
    return Generation.told(name, stream.name, location.position, own)


async def events_of(stream: FollowedStream, generation: str, start: int) -> AsyncIterator[Event]:
    """The events of a generation from an offset on; nothing is read after its end."""
    async for event in stream.events(start):
        if getattr(event, "generation", None) == generation:
            yield event
            if isinstance(event, TERMINALS):
                return


async def interrupt(streams: Streams, store: Store, left: Iterable[Unended]) -> None:
    """End the generations that were running when the last process died."""
    for name, generation, started in left:
        end = None
        try:
            stream = await streams.open(name)
            if not stream.sealed:
                terminal = await interrupted(stream, generation, started)
                end = stream.append(terminal, safe=True).offset
            if name == generation:
                stream.close()
        except (NotFound, Gone, InvalidName):
            log.info("the stream of generation %s is gone", generation)
        store.note(Ended(name, generation, end))


async def interrupted(stream: FollowedStream, generation: str, started: int) -> Interrupted:
    """The end of an abandoned generation, with the tokens that its events account for."""
    asked, deltas = None, 0
    async for event in events_of(stream, generation, started):
        if isinstance(event, Started) and event.usage:
            asked = event.usage.prompt_tokens
        deltas += isinstance(event, Delta)
    return Interrupted(generation, cut_off(None, asked, deltas), at=now())
