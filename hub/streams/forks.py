"""Where a fork begins, and what it takes over (Durable Streams Protocol, section 4.2).

A generation in the source writes there and not in the fork. If a fork begins in the middle of an
answer, that answer is interrupted in the fork, between the source's records and its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hub.domain.errors import Conflict, RequestError
from hub.domain.events import (
    TERMINALS,
    Delta,
    Dropped,
    Event,
    Interrupted,
    Queued,
    Started,
    now,
)
from hub.domain.generation import cut_off, is_own
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings, essence
from hub.streams.opened import OpenedStream
from hub.streams.turns import next_turn

__all__ = ["Beginning", "beginning", "inherited", "is_fork", "same"]

LOOKED_BACK: Final = 1000
"""How many records before the fork are searched for generations without an end. An older one
ended long ago."""

READ: Final = 256
READ_BYTES: Final = 32 * 1024
"""Records, or bytes, that are read at a time on the way back."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A fork has its source's records before ``offset``, and then ``part`` of the next record or
    the ``ends`` of unfinished generations.
    """

    offset: int
    part: bytes = b""
    ends: tuple[Interrupted, ...] = ()


async def beginning(source: OpenedStream, position: Position | None, further: int) -> Beginning:
    """Where a fork begins: ``further`` after a position, or after the tail.

    ``further`` counts records of a JSON stream, otherwise bytes within one record.

    Raises:
        RequestError: ``bad_fork_offset``: the source does not hold records up to there.
    """
    place = source.place("now" if position is None else position)
    if place.reset is not None:
        raise RequestError(f'"{source.name}" has no such position', code="bad_fork_offset")
    if source.settings.is_json and place.offset + further <= source.tail:
        offset = place.offset + further
        return Beginning(offset, ends=await _ends(source, offset))
    if not further:
        return Beginning(place.offset)
    beyond = RequestError("the fork's sub-offset reaches beyond the source", code="bad_fork_offset")
    if source.settings.is_json:
        raise beyond
    found = (await source.fetch(place.offset, 1)).records if place.offset < source.tail else []
    if not found or further > len(found[0].body):
        raise beyond
    body = found[0].body
    if further == len(body):
        return Beginning(place.offset + 1)
    return Beginning(place.offset, body[:further])


async def _ends(source: OpenedStream, offset: int) -> tuple[Interrupted, ...]:
    """Terminal events for the generations that are unfinished at an offset."""
    unfinished = _Unfinished(source, offset)
    first = source.ended if source.ended <= offset else 0
    async for record in _reversed(source, offset, first):
        unfinished.read(record.event)
        if unfinished.complete:
            break
    return unfinished.ends()


class _Unfinished:
    """Finds unfinished generations by reading back from an offset."""

    def __init__(self, source: OpenedStream, offset: int) -> None:
        self._left = LOOKED_BACK
        self._own = False
        """A generation of the hub was found; there is only one at a time."""
        self._over: set[str] = set()
        """Generations that are finished, or read back to their start."""
        self._open: dict[str, tuple[int | None, int]] = {}
        """The prompt tokens, if known, and the number of deltas of unfinished generations."""
        running = source.unfinished
        if running is not None and running[1] < offset:
            self._open[running[0]] = None, 0

    @property
    def complete(self) -> bool:
        """Whether earlier records can be skipped."""
        counting = any(name not in self._over and is_own(name) for name in self._open)
        return not counting and (self._own or self._left <= 0)

    def read(self, event: Event | None) -> None:
        """Read the next record further back."""
        self._left -= 1
        name = getattr(event, "generation", "")
        if not name or isinstance(event, Queued | Dropped):
            return  # what waits in the source does not wait in the fork
        self._own = self._own or is_own(name)
        if isinstance(event, TERMINALS) and name not in self._open:
            self._over.add(name)
        if name in self._over:
            return
        asked, deltas = self._open.get(name, (None, 0))
        if isinstance(event, Started):
            self._over.add(name)
            asked = None if event.usage is None else event.usage.prompt_tokens
        self._open[name] = asked, deltas + isinstance(event, Delta)

    def ends(self) -> tuple[Interrupted, ...]:
        at = now()
        return tuple(
            Interrupted(name, cut_off(None, *counts), at=at) for name, counts in self._open.items()
        )


async def _reversed(source: OpenedStream, offset: int, first: int) -> AsyncIterator[Record]:
    """The records between ``first`` and an offset, the last one first."""
    first = max(first, source.head)
    while offset > first:
        start = at = max(first, offset - READ)
        found: list[Record] = []
        while at < offset:
            batch = await source.fetch(at, READ_BYTES)
            if not batch.records:
                return  # they were trimmed or removed meanwhile
            found += batch.records[: offset - at]
            at += len(batch.records)
        for record in reversed(found):
            yield record
        offset = start
        if offset > first:
            await next_turn()


def inherited(settings: StreamSettings, source: StreamSettings) -> StreamSettings:
    """The settings of a fork, completed with its source's.

    Raises:
        Conflict: ``content_type``: the source has another one.
    """
    if essence(settings.content_type or source.content_type) != essence(source.content_type):
        raise Conflict(
            f"a fork has the content type of its source: {source.content_type}", code="content_type"
        )
    if settings.ttl is None and settings.expires_at is None:
        settings = replace(settings, ttl=source.ttl, expires_at=source.expires_at)
    return settings.of_type_of(source)


def same(one: StreamSettings, other: StreamSettings) -> bool:
    """Whether two streams have the same type and expiry."""
    return (
        essence(one.content_type) == essence(other.content_type)
        and one.ttl == other.ttl
        and _instant(one.expires_at) == _instant(other.expires_at)
    )


async def is_fork(stream: OpenedStream, wanted: StreamSettings, first: Beginning | None) -> bool:
    """Whether a stream is the requested fork; without ``first`` it may begin anywhere."""
    fork = stream.settings.fork
    if fork is None or wanted.fork is None or fork.source != wanted.fork.source:
        return False
    if not same(stream.settings, wanted) or stream.sealed:
        return False
    if first is None:
        return True
    if fork.offset != first.offset:
        return False
    # A part of a record is the fork's own first record.
    own = (await stream.fetch(fork.offset, 1)).records if stream.tail > fork.offset else []
    return not first.part or [record.body for record in own[:1]] == [first.part]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
