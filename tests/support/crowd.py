"""Readers of one stream over several hubs, which go on at the next one when they are cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import Any, Final, Self

from tests.support.hub_processes import HubProcess
from tests.support.patience import PATIENCE
from tests.support.reader import Reader, Told
from tests.support.transport_readers import NDJSON, SSE, WebSocket

__all__ = ["Crowd", "Member", "folded"]

TRANSPORTS: Final[Sequence[type[Reader]]] = (WebSocket, SSE, NDJSON)


class Member:
    """One reader, at home at the first of some hubs."""

    def __init__(self, hubs: Sequence[HubProcess], driver: type[Reader], stream: str) -> None:
        self._ports = cycle([hub.port for hub in hubs])
        self.reader = driver(next(self._ports), stream)
        self.returns: list[float] = []
        """Seconds from the end of each connection to the next one."""

    async def run(self) -> None:
        """Follow the stream for ever."""
        loop = asyncio.get_running_loop()
        reader, left = self.reader, loop.time()
        while True:
            while not await self._opened():
                await asyncio.sleep(0.05)
                reader.move(next(self._ports))
            self.returns.append(loop.time() - left)
            await reader.until(lambda: reader.end, within=None)
            left = loop.time()
            reader.drop()
            reader.move(next(self._ports))

    async def _opened(self) -> bool:
        try:
            await self.reader.open()
        except OSError:
            return False
        return self.reader.status in (101, 200) and not self.reader.error


class Crowd:
    """Readers of all kinds at all hubs, ``count`` in all; they follow within the context."""

    def __init__(self, hubs: Sequence[HubProcess], stream: str, count: int) -> None:
        self.members = [
            Member(
                [*hubs[place % len(hubs) :], *hubs[: place % len(hubs)]],
                TRANSPORTS[place // len(hubs) % len(TRANSPORTS)],
                stream,
            )
            for place in range(count)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(member.run()) for member in self.members]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self.members:
            member.reader.drop()

    async def until(self, holds: Callable[[Reader], object]) -> None:
        """Wait until something holds of all readers."""
        waits = [
            asyncio.create_task(member.reader.until(lambda one=member.reader: holds(one)))  # type: ignore[misc]
            for member in self.members
        ]
        try:
            async with asyncio.timeout(PATIENCE):
                every: Iterable[asyncio.Task[None]] = (*self._tasks, *waits)
                while not all(wait.done() for wait in waits):
                    await asyncio.wait(
                        [one for one in every if not one.done()],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for one in every:
                        if one.done():
                            one.result()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def check(self, events: Sequence[Told]) -> None:
        """Each has been told all of the events, once and in order, and nothing else."""
        story = folded(events)
        for member in self.members:
            reader = member.reader
            assert reader.resets == [], reader.name
            assert folded(reader.events) == story, reader.name


def folded(events: Iterable[Told]) -> list[dict[str, Any]]:
    """The events with what deltas say that follow each other as one: some are sent merged."""
    found: list[dict[str, Any]] = []
    for event in events:
        before = found[-1] if found else {}
        if event["type"] == "delta" == before.get("type") and _rest(event) == _rest(before):
            before["text"] += event["text"]
        else:
            found.append(dict(event))
    return found


def _rest(event: Told) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "text"}
