"""A day of one stream: it is written to, and readers of all kinds come, go and fall behind.

At its end each has had every record once and in order, or was told what it did not get. Where the
day takes place is the test's: at one hub, or at several that are asked in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

from hypothesis import strategies as st

from hub.domain.events import Delta
from hub.streams.stream import Stream
from tests.support.loopback_hub import Loopback
from tests.support.numbered_records import numbers
from tests.support.transport_readers import Reader, Text

__all__ = ["ALL", "SMALL", "OneHub", "Place", "Schedule", "schedules", "spend_day"]

STREAM: Final = "chat"

SMALL: Final = {"slice": 2, "write_buffer_bytes": 4096, "catch_up_bytes": 8192}
"""The table ``fanout`` of a hub at which readers soon fall behind."""

ALL: Final = 100_000
"""So many records that none is trimmed."""

_STEPS: Final = (
    *("say", "say", "say", "join", "join"),
    *("drop", "come back", "pause", "resume", "wait"),
)

Schedule = list[tuple[str, int]]
"""What happens in a day, each with a number."""


def schedules() -> st.SearchStrategy[Schedule]:
    """Days of all kinds."""
    step = st.tuples(st.sampled_from(_STEPS), st.integers(0, 20))
    return st.lists(step, min_size=15, max_size=50)


class Place(Protocol):
    """Where the stream is."""

    async def create(self, stream: str) -> None: ...

    async def say(self, stream: str, *texts: str) -> None: ...

    async def close(self, stream: str) -> None: ...

    async def follow(
        self, driver: type[Reader], stream: str, start: str = ..., **options: Any
    ) -> Reader: ...

    async def come_back(self, reader: Reader) -> None:
        """Let a reader go on where it was; it may still be connected."""


class OneHub:
    """One hub, to whose streams is written in bursts."""

    def __init__(self, running: Loopback) -> None:
        self._running = running
        self._streams: dict[str, Stream] = {}

    async def create(self, stream: str) -> None:
        self._streams[stream], _ = await self._running.hub.streams.create(stream)

    async def say(self, stream: str, *texts: str) -> None:
        for text in texts:
            self._running.hub.streams.append(self._streams[stream], Delta("g", text=text))
        await asyncio.sleep(0)

    async def close(self, stream: str) -> None:
        self._streams[stream].close()

    async def follow(
        self, driver: type[Reader], stream: str, start: str = "start", **options: Any
    ) -> Reader:
        return await self._running.follow(driver, stream, start, **options)

    async def come_back(self, reader: Reader) -> None:
        reader.drop()
        await reader.open()


async def spend_day(
    place: Place,
    drivers: Sequence[type[Reader]],
    schedule: Schedule,
    *,
    size: int = 0,
    max_records: int = ALL,
) -> None:
    """Spend a day at a place that keeps ``max_records``, with texts of ``size`` bytes more."""

    async def join(kind: int, start: str) -> Reader:
        driver = drivers[kind % len(drivers)]
        return await place.follow(driver, STREAM, start, kernel_buffer=4096 if kind % 2 else None)

    await place.create(STREAM)
    # One of each kind from the beginning; the schedule brings more.
    readers = [await join(kind, "start") for kind in range(len(drivers))]
    said = 0
    for what, number in [*schedule, ("say", 3)]:
        reader = readers[number % len(readers)]
        if what == "say":
            await place.say(STREAM, *(f"<{said + n}>" + "x" * size for n in range(number)))
            said += number
        elif what == "wait":
            await asyncio.sleep(number / 2000)
        elif what == "join":
            readers.append(await join(number, "now" if number % 3 else "start"))
        elif what == "drop":
            reader.drop()
        elif what == "come back":
            await place.come_back(reader)
        elif reader.connected and what == "pause":
            reader.pause()
        elif reader.connected:
            reader.resume()
    await place.close(STREAM)
    for reader in readers:
        await _read_to_the_end(place, reader)
        _check(reader, said, trimmed=max_records < ALL)


async def _read_to_the_end(place: Place, reader: Reader) -> None:
    while not reader.closed:
        if reader.connected:
            reader.resume()
        else:
            await place.come_back(reader)
        if reader.status in (204, 410):
            assert reader.status == 204 or isinstance(reader, Text)
            return
        await reader.until(lambda: reader.closed or reader.end)
        if isinstance(reader, Text) and reader.end == "whole":
            return


def _check(reader: Reader, said: int, *, trimmed: bool) -> None:
    told = numbers(reader)
    jumps = [after for before, after in pairwise(told) if after != before + 1]
    resets = [int(reset["position"][17:]) for reset in reader.resets]
    assert jumps == [place for place in resets if place in told and place != told[0]], reader.name
    assert told == sorted(set(told))
    assert told[-1:] == [said - 1]
    if not trimmed:
        assert resets == []
