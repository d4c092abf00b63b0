"""The source of a pipeline: opened when the first item is asked for, closed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Generic, TypeVar

from hub.pipeline.prefetch import Batches

__all__ = ["Source", "SourceLease", "file_bytes"]

T = TypeVar("T")


class Source(Generic[T]):
    """An asynchronous iterable, or a function that returns one."""

    def __init__(self, given: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> None:
        self._given = given
        self._opened: AsyncIterable[T] | None = None

    @property
    def delimited(self) -> bool:
        """Whether the source has ended, and its transport has marked that end."""
        return getattr(self._opened, "delimited", False) is True

    async def batches(self) -> Batches[T]:
        """The items, one to a batch; at the end of this generator the source is closed."""
        given = self._given if isinstance(self._given, AsyncIterable) else self._given()
        self._opened = given
        items = aiter(given)
        try:
            async for item in items:
                yield (item,)
        finally:
            try:
                await _close(items)
            finally:
                if given is not items:
                    await _close(given)

    async def close(self) -> None:
        """Close the source if it was never opened."""
        if self._opened is None and isinstance(self._given, AsyncIterable):
            self._opened = self._given
            await _close(self._given)


class SourceLease:
    """Lets one generator read a source, from the first item until the source is left.

    A lease refers to its reader, and no reader refers to a lease. In a reference cycle, a pipeline
    that is dropped half-read would be closed only when Python collects cycles.
    """

    def __init__(self, source: Source[Any]) -> None:
        self.source = source
        self._reader: AsyncGenerator[Any, None] | None = None
        self._left = False

    def take(self, reader: AsyncGenerator[Any, None]) -> None:
        """Let ``reader`` read the source.

        Raises:
            RuntimeError: the source has or had another reader.
        """
        if self._left or self._reader is not None:
            raise RuntimeError("a pipeline's source is read once: make a new pipeline of it")
        self._reader = reader

    async def leave(self) -> None:
        """Stop the reader, which closes the source, and allow no other."""
        self._left = True
        if self._reader is not None:
            await self._reader.aclose()
        await self.source.close()


async def _close(held: object) -> None:
    aclose = getattr(held, "aclose", None)
    if aclose is not None:
        await aclose()


async def file_bytes(path: str | Path, chunk_bytes: int) -> AsyncGenerator[bytes, None]:
    """The bytes of a file, read in threads, ``chunk_bytes`` at a time.

    Raises:
        OSError: it cannot be read.
    """
    file = _File(path)
    try:
        while piece := await asyncio.to_thread(file.read, chunk_bytes):
            yield piece
    finally:
        # Shielded: otherwise a second cancel could prevent the close while the threads are busy.
        await asyncio.shield(asyncio.to_thread(file.close))


class _File:
    """A file whose reads may be abandoned; the lock makes `close` wait for them."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._lock = Lock()
        self._file: BinaryIO | None = None
        self._closed = False

    def read(self, most: int) -> bytes:
        with self._lock:
            if self._closed:
                return b""
            if self._file is None:
                self._file = open(self._path, "rb")  # noqa: SIM115  (closed by `close`)
            return self._file.read(most)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
