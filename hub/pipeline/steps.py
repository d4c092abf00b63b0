"""The steps of a pipeline: each takes lots of items and gives lots of others.

A lot is what one read of the source gave: an iterable that the reader runs through once,
to its end, before it asks for the next. Steps that do not wait only wrap it, so each item
is made when it is asked for, and an error comes after the items before it.

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


async def changed(lots: Batches[T], change: Callable[[Iterable[T]], Iterable[U]]) -> Batches[U]:
    """Each lot as ``change`` wraps it."""
    async with aclosing(lots):
        async for lot in lots:
            yield change(lot)


def mapped(lot: Iterable[T], function: Callable[[T], U]) -> Iterator[U]:
    """What a function that is not a coroutine function makes of each item."""
    for item in lot:
        made = function(item)
        if isinstance(made, CoroutineType):
            made.close()
            raise TypeError("map() awaits what is written as `async def`, not what it returns")
        yield made


async def awaited(lots: Batches[T], function: Callable[[T], Awaitable[U]]) -> Batches[U]:
    """What a coroutine function makes of each item, one at a time."""
    async with aclosing(lots):
        async for lot in lots:
            for item in lot:
                yield (await function(item),)


async def framed(lots: Batches[bytes], framing: Framing) -> Batches[Chunk]:
    """Bytes to chunks."""
    async with aclosing(lots):
        async for lot in lots:
            yield chain.from_iterable(map(framing.feed, lot))
    yield framing.flush()


class Understanding(Protocol):
    """The part of a dialect that says what chunks mean; see `hub.dialects.Dialect`."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        """What a chunk means."""

    def close(self, *, clean: bool) -> Iterable[Event]:
        """What the end of the chunks means."""


async def understood(
    lots: Batches[Chunk], dialect: Understanding, clean: Callable[[], bool]
) -> Batches[Event]:
    """Chunks to events, up to the terminal one; see `hub.pipeline.Pipeline.events`."""
    broken: UpstreamError | None = None
    over = False

    def whole(lot: Iterable[Chunk]) -> Iterator[Chunk]:
        nonlocal broken
        try:
            yield from lot
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
        async with aclosing(lots):
            async for lot in lots:
                yield until_terminal(chain.from_iterable(map(dialect.events, whole(lot))))
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


async def taken(lots: Batches[T], most: int) -> Batches[T]:
    """The first ``most`` items."""
    left = most

    def counted(lot: Iterable[T]) -> Iterator[T]:
        nonlocal left
        for item in islice(lot, left):
            left -= 1
            yield item

    async with aclosing(lots):
        while left > 0 and (lot := await anext(lots, None)) is not None:
            yield counted(lot)


async def batched(lots: Batches[T], most: int, within: float | None) -> Batches[list[T]]:
    """Lists of items, none of which waits longer than ``within`` seconds."""
    loop = asyncio.get_running_loop()
    held: list[T] = []
    due: float | None = None
    async with Prefetch([lots], most) as intake:
        while True:
            try:
                came = await intake.take(most - len(held), due)
            except Exception:
                if held:
                    yield (held,)  # what came before an error is not lost with it
                raise
            if came and not held and within is not None:
                due = loop.time() + within
            held.extend(came or ())
            if held and (not came or len(held) == most):
                yield (held,)
                held, due = [], None
            if came == []:
                return


async def spaced(lots: Batches[T], gap: float) -> Batches[T]:
    """The items at least ``gap`` seconds apart."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with aclosing(lots):
        async for lot in lots:
            for item in lot:
                now = loop.time()
                if now < due:
                    await asyncio.sleep(due - now)
                due = max(due, now) + gap
                yield (item,)


async def watched(lots: Batches[T], patience: Callable[[], float]) -> Batches[T]:
    """The items, with an end to the waiting for the next one."""
    alarm = ReadDeadline()
    async with aclosing(lots):
        try:
            seconds = patience()
            alarm.set(seconds)
            async for lot in lots:
                items = iter(lot)
                for first in items:  # a lot that holds nothing does not end the wait
                    alarm.stop()
                    yield chain((first,), items)
                    seconds = patience()
                    alarm.set(seconds)
        except asyncio.CancelledError:
            if not alarm.stop():
                raise
            message = f"nothing came from the upstream for {seconds:g} s"
            raise UpstreamError(message, code="upstream_stalled") from None
        finally:
            alarm.stop()
            alarm.close()


async def beaten(
    lots: Batches[T], seconds: float, item: U, ahead: int, first: float
) -> Batches[T | U]:
    """The items, and ``item`` whenever nothing has come for ``seconds``, at first ``first``."""
    loop = asyncio.get_running_loop()
    async with Prefetch([lots], ahead) as intake:
        until = loop.time() + first
        while (came := await intake.take(ahead, until)) != []:
            yield (item,) if came is None else came
            until = loop.time() + seconds


async def merged(sources: Iterable[Batches[T]], ahead: int) -> Batches[T]:
    """The items of all sources as they come."""
    async with Prefetch(sources, ahead) as intake:
        while came := await intake.take(ahead):
            yield came


async def read_as_text(lots: Batches[str | bytes | Event]) -> Batches[str]:
    """What an item says: a string, bytes of UTF-8 cut anywhere, or the text of an event."""
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

    async with aclosing(lots):
        async for lot in lots:
            yield map(text_of, lot)
    yield (decode(b"", final=True),)
