"""The same client without ``async``: every call waits in the calling thread.

A thread of its own runs the event loop; what is called here is handed over to it and waited
for. Any number of threads may use one `SyncHub`. It works where an event loop runs already (a
notebook), but that loop waits with it: a coroutine better uses `Hub`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from hub.client.following import Following, Reset, Value
from hub.client.hub import DEFAULT_URL, Generation, Hub, StreamInfo
from hub.domain.events import Event

__all__ = ["SyncFollowing", "SyncHub"]

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="streamhub-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; Ctrl-C in this thread cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Each(Generic[T]):
    """An async iterator, iterated from outside its loop."""

    def __init__(self, loop: _Loop, items: AsyncIterator[T]) -> None:
        self._loop = loop
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self._loop.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    async def _next(self) -> T:
        return await anext(self._items)


class SyncFollowing(_Each[Event | Reset | Value]):
    """As `hub.client.Following`; ``close`` it, or leave its context, to stop early."""

    def __init__(self, loop: _Loop, following: Following) -> None:
        super().__init__(loop, following)
        self._following = following

    @property
    def position(self) -> str:
        """The next to read after the last event given."""
        return self._following.position

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._loop.run(self._following.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


class SyncHub:
    """As `hub.client.Hub`, method by method.

    ::

        with SyncHub("http://127.0.0.1:7000") as hub:
            generation = hub.generate("Tell me everything")
            for event in hub.answer(generation):
                ...
    """

    def __init__(self, url: str = DEFAULT_URL, *, headers: Mapping[str, str] | None = None) -> None:
        self._hub = Hub(url, headers=headers)
        self._running: _Loop | None = None

    def __enter__(self) -> Self:
        self._running = _Loop()
        self._loop.run(self._hub.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._loop.run(self._hub.__aexit__(kind, exc, at))
        self._loop.stop()
        self._running = None

    @property
    def _loop(self) -> _Loop:
        if self._running is None:
            raise RuntimeError("a hub is spoken to inside its context: with SyncHub(url) as hub")
        return self._running

    def follow(self, stream: str, *, from_: str = "start", wait: bool = False) -> SyncFollowing:
        """See `hub.client.Hub.follow`."""
        return SyncFollowing(self._loop, self._hub.follow(stream, from_=from_, wait=wait))

    def answer(self, generation: Generation) -> Iterator[Event | Reset]:
        """See `hub.client.Hub.answer`."""
        return _Each(self._loop, self._hub.answer(generation))

    def streams(self, prefix: str = "") -> Iterator[StreamInfo]:
        """See `hub.client.Hub.streams`."""
        return _Each(self._loop, self._hub.streams(prefix))

    def models(self) -> list[str]:
        """See `hub.client.Hub.models`."""
        return self._loop.run(self._hub.models())

    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        stream: str | None = None,
        upstream: str | None = None,
        model: str | None = None,
        author: str | None = None,
        options: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Generation:
        """See `hub.client.Hub.generate`."""
        return self._loop.run(
            self._hub.generate(
                prompt,
                messages=messages,
                stream=stream,
                upstream=upstream,
                model=model,
                author=author,
                options=options,
                key=key,
            )
        )

    def generation(self, generation: str) -> Generation:
        """See `hub.client.Hub.generation`."""
        return self._loop.run(self._hub.generation(generation))

    def cancel(self, generation: str) -> Generation:
        """See `hub.client.Hub.cancel`."""
        return self._loop.run(self._hub.cancel(generation))

    def append(self, stream: str, event: Event | Mapping[str, Any]) -> str:
        """See `hub.client.Hub.append`."""
        return self._loop.run(self._hub.append(stream, event))

    def fork(self, stream: str, source: str, position: str | None = None) -> None:
        """See `hub.client.Hub.fork`."""
        self._loop.run(self._hub.fork(stream, source, position))

    def delete(self, stream: str) -> None:
        """See `hub.client.Hub.delete`."""
        self._loop.run(self._hub.delete(stream))
