"""Where a fork begins, and what it takes over (Durable Streams Protocol, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from hub.errors import Conflict, RequestError
from hub.meta import Meta, essence
from hub.records import Position
from hub.stream import Stream

__all__ = ["Beginning", "beginning", "inherited", "is_fork", "same"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """A fork has its source's records before ``offset``, and after them ``part`` of the next."""

    offset: int
    part: bytes = b""


async def beginning(source: Stream, position: Position | None, further: int) -> Beginning:
    """Where a fork begins: at a position or the tail, and ``further`` into what comes there.

    ``further`` counts records of JSON, and bytes of anything else, inside one record.

    Raises:
        RequestError: ``bad_fork_offset``: the source does not reach so far, or no more.
    """
    place = source.place("now" if position is None else position)
    if place.reset is not None:
        raise RequestError(
            f'"{source.name}" holds nothing at that position', code="bad_fork_offset"
        )
    if not further:
        return Beginning(place.offset)
    beyond = RequestError("the fork's sub-offset reaches beyond the source", code="bad_fork_offset")
    if source.meta.is_json:
        if place.offset + further > source.tail:
            raise beyond
        return Beginning(place.offset + further)
    found = (await source.fetch(place.offset, 1)).records if place.offset < source.tail else []
    if not found or further > len(found[0].body):
        raise beyond
    body = found[0].body
    if further == len(body):
        return Beginning(place.offset + 1)
    return Beginning(place.offset, body[:further])


def inherited(meta: Meta, source: Meta) -> Meta:
    """A fork's own settings, and its source's where it has none.

    Raises:
        Conflict: ``content_type``: the source has another.
    """
    if essence(meta.content_type or source.content_type) != essence(source.content_type):
        raise Conflict(
            f"the source is {source.content_type}, and so is its fork", code="content_type"
        )
    if meta.ttl is None and meta.expires_at is None:
        meta = replace(meta, ttl=source.ttl, expires_at=source.expires_at)
    return replace(meta, content_type=meta.content_type or source.content_type)


def same(one: Meta, other: Meta) -> bool:
    """Whether two streams are made alike, whatever they hold."""
    return (
        essence(one.content_type) == essence(other.content_type)
        and one.ttl == other.ttl
        and _instant(one.expires_at) == _instant(other.expires_at)
    )


async def is_fork(stream: Stream, wanted: Meta, first: Beginning | None) -> bool:
    """Whether a stream is the fork that is wanted, beginning anywhere if ``first`` is none."""
    fork = stream.meta.fork
    if fork is None or wanted.fork is None or fork.source != wanted.fork.source:
        return False
    if not same(stream.meta, wanted) or stream.sealed:
        return False
    if first is None:
        return True
    if fork.offset != first.offset:
        return False
    # A part of a record is the first that a fork has of its own.
    own = (await stream.fetch(fork.offset, 1)).records if stream.tail > fork.offset else []
    return not first.part or [record.body for record in own[:1]] == [first.part]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
