"""Runs over puppets, and what must hold of every generation's story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from hub.domain.counters import Counters
from hub.domain.events import TERMINALS, Event, Message, Other, Started
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.generations.runs import RunLimits, Runs
from hub.stores import Store
from hub.stores.memory import MemoryStore
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from hub.upstreams.registry import Upstreams
from tests.support.fake_upstream import END, FOREVER, FakeUpstream, said

__all__ = ["Keep", "Runner", "Slow", "events_of", "hangs", "talks"]


class Slow(MemoryStore):
    """A store that takes a moment, so that others come in between."""

    async def load(self, stream: str) -> None:
        await asyncio.sleep(0.01)

    async def keyed(self, key: str) -> None:
        await asyncio.sleep(0.01)


class Runner:
    """Runs over puppets."""

    store: ClassVar[Store]
    """Where none is given."""

    def __init__(
        self,
        *fake_upstreams: FakeUpstream,
        store: Store | None = None,
        streams: int = 100,
        deliver: Literal["at_once", "committed"] = "at_once",
        **limits: Any,
    ) -> None:
        self.counts = Counters()
        store = store or self.store
        self.streams = Streams(
            store,
            retention=Retention(),
            limits=StreamLimits(streams=streams),
            slice_size=250,
            counts=self.counts,
            deliver=deliver,
        )
        by_name = {fake_upstream.name: fake_upstream for fake_upstream in fake_upstreams}
        self.upstreams = Upstreams(by_name, fake_upstreams[0].name)
        self.allowance = MemoryBudget(2**30)
        self.runs = Runs(
            self.streams,
            store,
            self.upstreams,
            allowance=self.allowance,
            limits=RunLimits(**limits),
            counts=self.counts,
        )

    async def ask(self, prompt: str | None = "Hi", **fields: Any) -> Generation:
        return await self.runs.start(GenerationRequest(prompt, **fields))

    async def stream(self, name: str) -> Stream:
        return await self.streams.open(name)

    async def told(self, generation: Generation) -> list[Event]:
        """All events of the generation's stream, with what must hold of every one."""
        stream = await self.stream(generation.stream)
        events = await events_of(stream)
        story = [
            event
            for event in events
            if not isinstance(event, Message | Other) and event.generation == generation.id
        ]
        ends = [event for event in story if isinstance(event, TERMINALS)]
        assert isinstance(story[0], Started)
        if generation.ended:
            assert ends == [generation.terminal] == story[-1:], "one terminal event, always last"
        else:
            assert ends == []
        return events


async def events_of(stream: Stream) -> list[Event]:
    return [event async for event in stream.events()]


def talks(*texts: str, **options: Any) -> FakeUpstream:
    return FakeUpstream([*map(said, texts), END], **options)


def hangs(**options: Any) -> FakeUpstream:
    return FakeUpstream([said("Hel"), FOREVER], **options)


Keep = Callable[[Runner], Runner]
"""Has a runner stopped at the end of the test."""
