"""Chunks, the interface of framings, and what all framings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from hub.domain.defaults import CHUNK_BYTES
from hub.domain.errors import FramingError

__all__ = [
    "BOM",
    "DEFAULT_LIMIT",
    "Chunk",
    "Cutter",
    "Framing",
    "Refused",
    "malformed",
    "too_large",
    "truncated",
]

DEFAULT_LIMIT: Final = CHUNK_BYTES
"""Bytes in one chunk at most, unless the upstream's configuration sets another limit."""

BOM: Final = b"\xef\xbb\xbf"


class Chunk(NamedTuple):
    """One complete item of an upstream's body, not yet interpreted.

    ``data`` is as the upstream sent it: it need not be valid JSON, nor (except from `Text`)
    valid UTF-8. ``event`` is the name of a server-sent event, or empty; ``data`` may be empty
    only if there is a name.
    """

    data: bytes
    event: str = ""


class Framing(Protocol):
    """Splits one body into chunks.

    Both methods consume their input at once, whether or not the result is iterated. A
    `FramingError` is raised by the *iteration*, after the chunks that came before it. Every
    later `feed` and `flush` raises it again.
    """

    def feed(self, data: bytes) -> Iterable[Chunk]:
        """The chunks that these bytes complete.

        Raises:
            FramingError: ``chunk_too_large``, ``upstream_malformed`` or a finer code.
            RuntimeError: `flush` has been called.
        """

    def flush(self) -> Iterable[Chunk]:
        """The chunks left at the end of the body; none when called again.

        Raises:
            FramingError: ``upstream_truncated`` if the body is incomplete, or what `feed` raises.
        """


class Cutter(ABC):
    """Base of the framings: the limit, the byte order mark, the error that persists.

    Subclasses implement `_read` and `_finish`, which append to ``chunks`` and raise
    `FramingError`.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._fault: FramingError | None = None
        self._flushed = False
        # The first bytes, as long as they may be part of a byte order mark; then None.
        self._opening: bytes | None = b""

    def feed(self, data: bytes) -> Iterable[Chunk]:
        if self._fault is not None:
            return _then_raise([], self._fault)
        if self._flushed:
            raise RuntimeError("a framing reads one body: create another for the next one")
        if self._opening is not None:
            data = self._without_mark(self._opening + data)
        chunks: list[Chunk] = []
        try:
            self._read(data, chunks)
        except FramingError as fault:
            self._fault = fault
            return _then_raise(chunks, fault)
        return chunks

    def flush(self) -> Iterable[Chunk]:
        if self._fault is not None:
            return _then_raise([], self._fault)
        if self._flushed:
            return ()
        self._flushed = True
        chunks: list[Chunk] = []
        try:
            if self._opening:
                self._read(self._opening, chunks)
            self._finish(chunks)
        except FramingError as fault:
            self._fault = fault
            return _then_raise(chunks, fault)
        return chunks

    @abstractmethod
    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        """Consume more bytes, maybe none."""

    @abstractmethod
    def _finish(self, chunks: list[Chunk]) -> None:
        """Handle the end of the body."""

    def _without_mark(self, opening: bytes) -> bytes:
        if len(opening) < len(BOM) and BOM.startswith(opening):
            self._opening = opening
            return b""
        self._opening = None
        return opening.removeprefix(BOM)


class Refused:
    """The framing of a body that cannot be read: it only raises ``fault``."""

    def __init__(self, fault: FramingError) -> None:
        self._fault = fault

    def feed(self, data: bytes) -> Iterable[Chunk]:
        return _then_raise([], self._fault)

    def flush(self) -> Iterable[Chunk]:
        return _then_raise([], self._fault)


def _then_raise(chunks: list[Chunk], fault: FramingError) -> Iterator[Chunk]:
    yield from chunks
    raise fault


def too_large(limit: int) -> FramingError:
    return FramingError(
        f"one chunk of the upstream's reply has more than {limit} bytes: "
        "if that is intended, raise this upstream's chunk_bytes",
        code="chunk_too_large",
    )


def malformed(what: str) -> FramingError:
    return FramingError(f"the upstream's reply is malformed: {what}")


def truncated(what: str) -> FramingError:
    return FramingError(
        f"the upstream's reply was cut off {what}: try again",
        code="upstream_truncated",
        retryable=True,
    )
