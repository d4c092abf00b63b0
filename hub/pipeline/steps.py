"""The steps of a pipeline; each takes batches of items and gives batches of others.

A batch holds the items of one read of the source. It is an iterable that the reader runs through
once, to its end, before it asks for the next. Steps that do not wait only wrap it, so each item is
made when it is asked for, and an error comes after the items before it.

Every step closes what it reads when it is closed, and so on up to the source.
"""

from __future__ import annotations

import asyncio
from codecs import getincrementaldecoder
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import chain, islice
from types import CoroutineType
from typing import Protocol, TypeVar

from hub.domain.errors import FramingError, UpstreamError
from hub.domain.events import TERMINALS, Cancelled, Delta, Event, Failed, Interrupted
from hub.domain.failures import raised
from hub.framing import Chunk, Framing
from hub.generations.read_deadline import ReadDeadline
from hub.pipeline.prefetch import Batches, Prefetch

__all__ = [
    "Understanding",
    "awaited",
    "batched",
    "beaten",
    "changed",
    "framed",
    "mapped",
    "merged",
    "read_as_text",
    "spaced",
    "taken",
    "understood",
    "watched",
]

T = TypeVar("T")
U = TypeVar("U")


async def changed(batches: Batches[T], change: Callable[[Iterable[T]], Iterable[U]]) -> Batches[U]:
    """Each batch, wrapped by ``change``."""
    async with aclosing(batches):
        async for batch in batches:
            yield change(batch)


def mapped(batch: Iterable[T], function: Callable[[T], U]) -> Iterator[U]:
    """The result of an ordinary function for each item."""
    for item in batch:
        made = function(item)
        if isinstance(made, CoroutineType):
            made.close()
            raise TypeError("map() awaits an `async def` function, not what another one returns")
        yield made


async def awaited(batches: Batches[T], function: Callable[[T], Awaitable[U]]) -> Batches[U]:
    """The result of a coroutine function for each item, one at a time."""
    async with aclosing(batches):
        async for batch in batches:
            for item in batch:
                yield (await function(item),)


async def framed(batches: Batches[bytes], framing: Framing) -> Batches[Chunk]:
    async with aclosing(batches):
        async for batch in batches:
            yield chain.from_iterable(map(framing.feed, batch))
    yield framing.flush()


class Understanding(Protocol):
    """The part of a dialect that turns chunks into events; see `hub.dialects.Dialect`."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        """The events of a chunk."""

    def close(self, *, clean: bool) -> Iterable[Event]:
        """The events at the end of the chunks."""


async def understood(
    batches: Batches[Chunk], dialect: Understanding, clean: Callable[[], bool]
) -> Batches[Event]:
    """Chunks to events, up to the terminal one; see `hub.pipeline.Pipeline.events`."""
    broken: UpstreamError | None = None
    over = False

    def whole(batch: Iterable[Chunk]) -> Iterator[Chunk]:
        nonlocal broken
        try:
            yield from batch
        except UpstreamError as error:
            broken = error

    def until_terminal(events: Iterable[Event]) -> Iterator[Event]:
        nonlocal over
        for event in events:
            over = isinstance(event, TERMINALS)
            yield event
            if over:
                return

    try:
        async with aclosing(batches):
            async for batch in batches:
                yield until_terminal(chain.from_iterable(map(dialect.events, whole(batch))))
                if over or broken:
                    break
    except UpstreamError as error:
        broken = error
    if not over:
        yield until_terminal(dialect.close(clean=broken is None and clean()))
    if not over:
        raise broken or UpstreamError(
            "the upstream's reply ended before it was complete", code="upstream_truncated"
        )


async def taken(batches: Batches[T], most: int) -> Batches[T]:
    left = most

    def counted(batch: Iterable[T]) -> Iterator[T]:
        nonlocal left
        for item in islice(batch, left):
            left -= 1
            yield item

    async with aclosing(batches):
        while left > 0 and (batch := await anext(batches, None)) is not None:
            yield counted(batch)


async def batched(batches: Batches[T], most: int, within: float | None) -> Batches[list[T]]:
    """Lists of items; none waits longer than ``within`` seconds."""
    loop = asyncio.get_running_loop()
    held: list[T] = []
    due: float | None = None
    async with Prefetch([batches], most) as intake:
        while True:
            try:
                came = await intake.take(most - len(held), due)
            except Exception:
                if held:
                    yield (held,)  # the items before an error are not lost
                raise
            if came and not held and within is not None:
                due = loop.time() + within
            held.extend(came or ())
            if held and (not came or len(held) == most):
                yield (held,)
                held, due = [], None
            if came == []:
                return


async def spaced(batches: Batches[T], gap: float) -> Batches[T]:
    """The items at least ``gap`` seconds apart."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with aclosing(batches):
        async for batch in batches:
            for item in batch:
                now = loop.time()
                if now < due:
                    await asyncio.sleep(due - now)
                due = max(due, now) + gap
                yield (item,)


async def watched(batches: Batches[T], patience: Callable[[], float]) -> Batches[T]:
    """The items, with a time limit on the wait for each."""
    deadline = ReadDeadline()
    async with aclosing(batches):
        try:
            seconds = patience()
            deadline.set(seconds)
            async for batch in batches:
                items = iter(batch)
                for first in items:  # an empty batch does not end the wait
                    deadline.stop()
                    yield chain((first,), items)
                    seconds = patience()
                    deadline.set(seconds)
        except asyncio.CancelledError:
            if not deadline.stop():
                raise
            message = f"nothing came from the upstream for {seconds:g} s"
            raise UpstreamError(message, code="upstream_stalled") from None
        finally:
            deadline.stop()
            deadline.close()


async def beaten(
    batches: Batches[T], seconds: float, item: U, ahead: int, first: float
) -> Batches[T | U]:
    """The items, and ``item`` whenever none has come for ``seconds``, the first time ``first``."""
    loop = asyncio.get_running_loop()
    async with Prefetch([batches], ahead) as intake:
        until = loop.time() + first
        while (came := await intake.take(ahead, until)) != []:
            yield (item,) if came is None else came
            until = loop.time() + seconds


async def merged(sources: Iterable[Batches[T]], ahead: int) -> Batches[T]:
    """The items of all sources as they come."""
    async with Prefetch(sources, ahead) as intake:
        while came := await intake.take(ahead):
            yield came


async def read_as_text(batches: Batches[str | bytes | Event]) -> Batches[str]:
    """The text of items: strings, bytes of UTF-8 cut anywhere, or the text of events."""
    decoder = getincrementaldecoder("utf-8")()

    def text_of(item: str | bytes | Event) -> str:
        if isinstance(item, str):
            return item
        if isinstance(item, bytes):
            return decode(item)
        if isinstance(item, Failed):
            raise raised(item)
        if isinstance(item, Cancelled | Interrupted):
            message = "the reply ended before it was complete"
            raise UpstreamError(message, code="upstream_truncated")
        return item.text if isinstance(item, Delta) else ""

    def decode(piece: bytes, final: bool = False) -> str:
        try:
            return decoder.decode(piece, final)
        except UnicodeDecodeError:
            raise FramingError("the upstream's text is not UTF-8") from None

    async with aclosing(batches):
        async for batch in batches:
            yield map(text_of, batch)
    yield (decode(b"", final=True),)
