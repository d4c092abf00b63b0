"""Generations of earlier processes: found where they are told, and ended where none did.

A generation is known by its running task, and after that by what stands in its stream: the store
knows where. So it can be looked at for as long as its stream holds its events, and whatever was
running when a process died gets the end that it lacks when the next one starts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from hub.domain.errors import GenerationNotFound, Gone, InvalidName, NotFound
from hub.domain.events import Delta, Event, Interrupted, Started, now
from hub.domain.generation import Generation, cut_off
from hub.stores import Ended, GenerationLocation, Store, Unended
from hub.streams.registry import Streams
from hub.streams.stream import Stream

__all__ = ["interrupt", "recall"]

log = logging.getLogger("hub.runs")


async def recall(streams: Streams, store: Store, name: str) -> Generation:
    """A generation that has ended, by its id.

    Raises:
        GenerationNotFound: none is told of, or its stream is gone, or no longer holds its end.
        StoreError: the store cannot be read.
    """
    told = await store.locate(name)
    if told is not None and told.ended is None:
        # It may have been ended when the hub started, which is not committed yet.
        await store.synced()
        told = await store.locate(name)
    try:
        found = None if told is None else await _told(streams, name, told)
    except (NotFound, Gone):
        found = None
    if found is None or not found.ended:
        raise GenerationNotFound(f'no generation is called "{name[:100]}"')
    return found


async def _told(streams: Streams, name: str, told: GenerationLocation) -> Generation:
    stream = await streams.open(told.stream)
    offsets = [told.started] if told.ended is None else [told.started, told.ended]
    events = [await _event(stream, offset) for offset in offsets]
    own = [event for event in events if getattr(event, "generation", None) == name]
    return Generation.told(name, stream.name, told.position, [e for e in own if e is not None])


async def _event(stream: Stream, offset: int) -> Event | None:
    """The event at an offset, if that is still held."""
    records = (await stream.fetch(offset, 1)).records if offset >= stream.head else []
    return records[0].event if records else None


async def interrupt(streams: Streams, store: Store, left: Iterable[Unended]) -> None:
    """End what ran when the process before this one died."""
    for name, generation, started in left:
        end = None
        try:
            stream = await streams.open(name)
            if not stream.sealed:
                interrupted = await _interrupted(stream, generation, started)
                end = stream.append(interrupted, safe=True).offset
            if name == generation:
                stream.close()
        except (NotFound, Gone, InvalidName):
            log.info("the stream of generation %s is gone", generation)
        store.note(Ended(name, generation, end))


async def _interrupted(stream: Stream, generation: str, started: int) -> Interrupted:
    """The end of a generation that nobody goes on with, with what it has used by its events."""
    asked, deltas = None, 0
    async for event in stream.events(started):
        if isinstance(event, Started) and event.generation == generation and event.usage:
            asked = event.usage.prompt_tokens
        deltas += isinstance(event, Delta) and event.generation == generation
    return Interrupted(generation, cut_off(None, asked, deltas), at=now())
