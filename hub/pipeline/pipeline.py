"""A pipeline: one asynchronous source, the steps its items take, and one end.

::

    async with hub.pipeline(source) as p:
        await p.frames(NDJSON()).map(parse).filter(wanted).batch(20, within=0.05).append_to(stream)

A pipeline is **lazy**: the source is not opened before an item is asked for. It has
**backpressure**: an item is read when the one before it has been taken; only `batch`, `beat` and
`merge` read ahead, a bounded number of items. Each step gives a **new** pipeline over the same
source, so steps can be added conditionally. Only one of the pipelines over a source reads it, once.

**Leaving closes the source at once**, whether by its end, an error, a cancel, or a ``break`` out of
``async with``. (After a ``break`` out of a bare ``async for`` Python closes it when it collects the
pipeline, as with any generator.) Every task that a step started is cancelled and awaited before the
pipeline is left.

Inside, items travel in *batches*, those of one read of the source together. A batch is an iterable
that each step wraps and the reader runs through. So a read with twenty chunks crosses the
asynchronous part of the chain once, and yet each item is made only when it is asked for. The next
batch is asked for when the last one has been run through.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import AsyncExitStack, aclosing
from inspect import iscoroutinefunction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar, overload

from hub.domain.errors import TooLarge
from hub.domain.events import Event
from hub.framing import Chunk, Framing
from hub.http.response import Request, Response, ResponseEncoder, deliver
from hub.pipeline import steps
from hub.pipeline.prefetch import Batches
from hub.pipeline.source import Source, SourceLease, file_bytes

__all__ = ["Appendable", "Pipeline"]

READ_AHEAD: Final = 16
"""Items that `beat` and `merge` hold at most while their reader is busy."""

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R", bound=Response)


class Appendable(Protocol[T_contra]):
    """What `Pipeline.append_to` writes to: a stream, or anything like it."""

    def append(self, event: T_contra, /) -> object:
        """Add one item at the end."""


class Pipeline(Generic[T_co]):
    """The items of ``source``, read as they are asked for.

    ``source`` is an asynchronous iterable, or a function without arguments that returns one, which
    is called when the first item is asked for. Leaving the pipeline awaits the ``aclose`` of the
    source and of its iterator, where they have one.
    """

    __slots__ = ("_items", "_leases", "_open")

    def __init__(self, source: AsyncIterable[T_co] | Callable[[], AsyncIterable[T_co]]) -> None:
        origin = Source(source)
        self._open: Callable[[], Batches[T_co]] = origin.batches
        self._leases: tuple[SourceLease, ...] = (SourceLease(origin),)
        self._items: AsyncGenerator[T_co, None] | None = None

    @staticmethod
    def file(path: str | Path, chunk_bytes: int = 65536) -> Pipeline[bytes]:
        """The bytes of a file, read in threads, ``chunk_bytes`` at a time.

        Raises:
            OSError: while it is read: it cannot be opened or read.
        """
        return Pipeline(lambda: file_bytes(path, chunk_bytes))

    # -- reading and leaving -------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self

    def __anext__(self) -> Awaitable[T_co]:
        if self._items is None:
            self._items = self._leased(_one_by_one(self._batches()))
        return self._items.__anext__()

    def lots(self) -> Batches[T_co]:
        """The items in batches, each to be run through to its end before the next is asked for.

        For code that reads inside ``async with`` and has much to read.
        """
        return self._leased(self._open())

    async def __aenter__(self) -> Pipeline[T_co]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the pipeline that reads this source, and close the source."""
        async with AsyncExitStack() as stack:
            for lease in self._leases:
                stack.push_async_callback(lease.leave)

    def _batches(self) -> Batches[T_co]:
        return _closing(self._open, [lease.source for lease in self._leases])

    def _leased(self, reader: AsyncGenerator[U, None]) -> AsyncGenerator[U, None]:
        for lease in self._leases:
            lease.take(reader)
        return reader

    def _then(self, step: Callable[[Batches[T_co]], Batches[U]], *more: SourceLease) -> Pipeline[U]:
        before = self._open
        made: Pipeline[U] = object.__new__(Pipeline)
        made._open = lambda: step(before())
        made._leases = self._leases + more
        made._items = None
        return made

    def _each(self, change: Callable[[Iterable[T_co]], Iterable[U]]) -> Pipeline[U]:
        return self._then(lambda batches: steps.changed(batches, change))

    # -- steps: bytes to chunks to events ------------------------------------------------

    def frames(self: Pipeline[bytes], framing: Framing) -> Pipeline[Chunk]:
        """Turn bytes, cut anywhere, into whole chunks.

        Raises:
            FramingError: while it is read: the bytes are not what ``framing`` expects.
        """
        return self._then(lambda batches: steps.framed(batches, framing))

    def events(
        self: Pipeline[Chunk], dialect: steps.Understanding, clean: Callable[[], bool] | None = None
    ) -> Pipeline[Event]:
        """Turn chunks into events; the last event is terminal, and nothing is read after it.

        At the end of the chunks ``clean`` says whether the transport has marked that end. By
        default the source's attribute ``delimited`` says so. Chunks that stop with an
        `UpstreamError` are a complete reply if the provider has said so.

        Raises:
            UpstreamError: while it is read: the reply was cut off (``upstream_truncated``, or the
                error that cut it off), or the dialect cannot understand it.
        """
        sources = [lease.source for lease in self._leases]

        def delimited() -> bool:
            return all(source.delimited for source in sources)

        return self._then(lambda batches: steps.understood(batches, dialect, clean or delimited))

    # -- steps: one item at a time -------------------------------------------------------

    @overload
    def map(self, function: Callable[[T_co], Coroutine[Any, Any, U]]) -> Pipeline[U]: ...
    @overload
    def map(self, function: Callable[[T_co], U]) -> Pipeline[U]: ...
    def map(self, function: Callable[[T_co], Any]) -> Pipeline[Any]:
        """The result of ``function`` for each item; an ``async def`` is awaited, one at a time."""
        if iscoroutinefunction(function):
            return self._then(lambda batches: steps.awaited(batches, function))
        return self._each(lambda batch: steps.mapped(batch, function))

    def filter(self, wanted: Callable[[T_co], object]) -> Pipeline[T_co]:
        """The items for which ``wanted`` returns a true value."""
        return self._each(lambda batch: filter(wanted, batch))

    def flat_map(self, function: Callable[[T_co], Iterable[U]]) -> Pipeline[U]:
        """All items of what ``function`` returns for each item."""
        return self._each(lambda batch: chain.from_iterable(map(function, batch)))

    def tap(self, look: Callable[[T_co], object]) -> Pipeline[T_co]:
        """The same items; ``look`` is called with each of them."""

        def seen(batch: Iterable[T_co]) -> Iterator[T_co]:
            for item in batch:
                look(item)
                yield item

        return self._each(seen)

    def take(self, most: int) -> Pipeline[T_co]:
        """The first ``most`` items; nothing is read after them."""
        return self._then(lambda batches: steps.taken(batches, most))

    # -- steps: several items, and time --------------------------------------------------

    def batch(self, most: int, within: float | None = None) -> Pipeline[list[T_co]]:
        """Lists of up to ``most`` items; no item waits longer than ``within`` seconds.

        Without ``within`` only the last list can be short. Reads ``most`` items ahead.
        """
        _at_least_one(most, "batch")
        return self._then(lambda batches: steps.batched(batches, most, within))

    def throttle(self, per_second: float) -> Pipeline[T_co]:
        """At most ``per_second`` items a second, evenly spaced; the first is not delayed."""
        if per_second <= 0:
            raise ValueError("throttle() takes a number of items above 0")
        return self._then(lambda batches: steps.spaced(batches, 1 / per_second))

    def timeout(self, seconds: float | Callable[[], float]) -> Pipeline[T_co]:
        """The same items, with a limit on the wait for each.

        A function is called before each wait. The time that the reader takes over an item does not
        count.

        Raises:
            UpstreamError: while it is read: nothing came in time (``upstream_stalled``).
        """
        patience = seconds if callable(seconds) else lambda: seconds
        return self._then(lambda batches: steps.watched(batches, patience))

    def beat(self, seconds: float, item: U, *, first: float | None = None) -> Pipeline[T_co | U]:
        """The same items, and ``item`` whenever none has come for ``seconds``.

        ``first`` is the time before the first such item. Reads `READ_AHEAD` items ahead.
        """
        begins = seconds if first is None else first
        return self._then(lambda batches: steps.beaten(batches, seconds, item, READ_AHEAD, begins))

    def merge(self, *others: AsyncIterable[U], ahead: int = READ_AHEAD) -> Pipeline[T_co | U]:
        """The items of this and the other sources, each as soon as it comes.

        Reads ``ahead`` items ahead, of all sources together. The first error of any source ends the
        pipeline, after the items that came before it.
        """
        _at_least_one(ahead, "merge")
        joined = [other if isinstance(other, Pipeline) else Pipeline(other) for other in others]
        opens = [other._open for other in joined]

        def step(batches: Batches[T_co]) -> Batches[T_co | U]:
            sources: list[Batches[Any]] = [batches, *(opened() for opened in opens)]
            return steps.merged(sources, ahead)

        return self._then(step, *(lease for other in joined for lease in other._leases))

    # -- ends ----------------------------------------------------------------------------

    async def collect(self, *, limit: int = 100_000) -> list[T_co]:
        """All items.

        Raises:
            TooLarge: there are more than ``limit``.
        """
        found: list[T_co] = []
        async with aclosing(self._leased(self._batches())) as batches:
            async for batch in batches:
                found.extend(islice(batch, limit + 1 - len(found)))
                if len(found) > limit:
                    raise TooLarge(f"there are more than {limit} items to collect")
        return found

    async def text(
        self: Pipeline[str] | Pipeline[bytes] | Pipeline[Event], *, limit: int = 16 * 1024 * 1024
    ) -> str:
        """All items as one text: strings, bytes of UTF-8, or the text of the events' deltas.

        Raises:
            TooLarge: it has more than ``limit`` characters.
            UpstreamError: the bytes are not UTF-8, or the events do not end in `Finished`.
        """
        parts: list[str] = []
        length = 0
        async with self._then(steps.read_as_text) as texts:
            async for text in texts:
                parts.append(text)
                length += len(text)
                if length > limit:
                    raise TooLarge(f"there are more than {limit} characters of text")
        return "".join(parts)

    async def append_to(self, stream: Appendable[T_co]) -> int:
        """Append every item to a stream; gives their number.

        Raises:
            Exception: the error of the source or the stream; the items before it are appended.
        """
        count = 0
        async with aclosing(self._leased(self._batches())) as batches:
            async for batch in batches:
                for item in batch:
                    stream.append(item)
                    count += 1
        return count

    async def respond(
        self, request: Request, encoder: ResponseEncoder[T_co, R], *, patience: float = 30.0
    ) -> R:
        """Write every item into a streaming HTTP response; see `hub.http.response.deliver`."""
        async with aclosing(self._leased(self._batches())) as batches:
            return await deliver(batches, request, encoder, patience)


async def _one_by_one(batches: Batches[U]) -> AsyncGenerator[U, None]:
    async with aclosing(batches):
        async for batch in batches:
            for item in batch:
                yield item


async def _closing(opened: Callable[[], Batches[U]], sources: list[Source[Any]]) -> Batches[U]:
    """The batches of a chain; at their end its unopened sources are closed, too."""
    async with AsyncExitStack() as stack:
        for source in sources:
            stack.push_async_callback(source.close)
        async with aclosing(opened()) as batches:
            async for batch in batches:
                yield batch


def _at_least_one(count: int, step: str) -> None:
    if count < 1:
        raise ValueError(f"{step}() takes a number of items of at least 1")
