"""The same client without ``async``: every call waits in the calling thread.

The event loop runs in a thread of its own, and calls wait for it. Any number of threads may use
one `SyncHub`. It works where an event loop runs already, as in a notebook, but blocks that loop:
coroutines should use `Hub`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from functools import wraps
from threading import Thread
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from hub.client.following import Following, Reset, Value
from hub.client.hub import DEFAULT_URL, Generation, Hub, ShareLink, StreamInfo
from hub.client.tokens import in_thread
from hub.domain.events import Event

__all__ = ["SyncFollowing", "SyncHub"]

P = ParamSpec("P")
T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="streamhub-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it; Ctrl-C in the calling thread cancels it."""
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
    """An async iterator, iterated in another thread."""

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
        return self._following.position

    def close(self) -> None:
        self._loop.run(self._following.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _blocking(
    method: Callable[Concatenate[Hub, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncHub, P], T]:
    """A method of `SyncHub` that waits for one of `Hub`."""

    @wraps(method)
    def blocking(self: SyncHub, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._loop.run(method(self._hub, *args, **kwargs))

    return blocking


class SyncHub:
    """As `hub.client.Hub`, method by method.

    ::

        with SyncHub("http://127.0.0.1:7000") as hub:
            generation = hub.generate("Tell me everything")
            for event in hub.answer(generation):
                ...

    A function as ``token`` runs in a thread of its own, and may block.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | Callable[[], str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._hub = Hub(url, token=None if token is None else in_thread(token), headers=headers)
        self._running: _Loop | None = None

    def __enter__(self) -> Self:
        self._running = _Loop()
        self._loop.run(self._hub.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._hub.__aexit__())
        self._loop.stop()
        self._running = None

    @property
    def _loop(self) -> _Loop:
        if self._running is None:
            raise RuntimeError("enter the context of the hub first: with SyncHub(url) as hub")
        return self._running

    def follow(self, stream: str, *, from_: str = "start", wait: bool = False) -> SyncFollowing:
        return SyncFollowing(self._loop, self._hub.follow(stream, from_=from_, wait=wait))

    def answer(self, generation: Generation) -> Iterator[Event | Reset]:
        return _Each(self._loop, self._hub.answer(generation))

    def streams(self, prefix: str = "") -> Iterator[StreamInfo]:
        return _Each(self._loop, self._hub.streams(prefix))

    def shares(self, stream: str | None = None) -> Iterator[ShareLink]:
        return _Each(self._loop, self._hub.shares(stream))

    models = _blocking(Hub.models)
    generate = _blocking(Hub.generate)
    generation = _blocking(Hub.generation)
    cancel = _blocking(Hub.cancel)
    queue = _blocking(Hub.queue)
    requeue = _blocking(Hub.requeue)
    append = _blocking(Hub.append)
    fork = _blocking(Hub.fork)
    delete = _blocking(Hub.delete)
    share = _blocking(Hub.share)
    revoke_share = _blocking(Hub.revoke_share)
    ticket = _blocking(Hub.ticket)
