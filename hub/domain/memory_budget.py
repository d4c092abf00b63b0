"""A bound on the memory of all the request data that is being processed.

A request exists in several forms: its bytes, what they decode to, and a prompt that is held until
the reply ends. The decoded form is usually the largest, up to forty times its JSON, so its size is
estimated before decoding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hub.domain.errors import LimitExceeded

__all__ = ["MemoryBudget", "parsed_size", "request_size"]

SMALL: Final = 1024
"""Bytes of a request that takes nothing: to stop something must be possible when all is taken."""

LIST_BYTES: Final = 80
OBJECT_BYTES: Final = 80
FIELD_BYTES: Final = 120
ELEMENT_BYTES: Final = 64
"""The most memory that CPython needs for each ``[``, ``{``, ``:`` and ``,``."""


def parsed_size(text: bytes) -> int:
    """Estimate an upper bound of the bytes in memory of a JSON text and its decoded form.

    This decodes nothing and takes microseconds for usual sizes.
    """
    # One character outside the Basic Multilingual Plane makes its whole string four times as wide.
    wide = not text.isascii() or b"\\u" in text
    return (
        len(text) * (5 if wide else 2)
        + text.count(b"[") * LIST_BYTES
        + text.count(b"{") * OBJECT_BYTES
        + text.count(b":") * FIELD_BYTES
        + text.count(b",") * ELEMENT_BYTES
    )


def request_size(text: bytes) -> int:
    """The bytes that a request takes from a budget, `parsed_size` unless it is small."""
    return 0 if len(text) <= SMALL else parsed_size(text)


class MemoryBudget:
    """A number of bytes that all users together may take, each of them a ``share`` at most.

    ``caller`` is who takes them, `Principal.counted_as`; what is nobody's has no share. By default
    a share is four fifths: as large as the largest request needs, as its body and as its prompt at
    once.
    """

    __slots__ = ("_of", "held", "most", "share")

    def __init__(self, most: int, *, share: int | None = None) -> None:
        self.most = most
        self.share = most * 4 // 5 if share is None else share
        """The bytes that one caller may take."""
        self.held = 0
        """The bytes taken now."""
        self._of: Counter[str] = Counter()

    def held_by(self, caller: str) -> int:
        """The bytes that a caller has taken now."""
        return self._of[caller]

    def check(self, size: int, caller: str | None = None) -> None:
        """Check that ``size`` bytes are left.

        Raises:
            LimitExceeded: they are not.
        """
        if caller is not None and self._of[caller] + size > self.share:
            raise LimitExceeded(
                "your requests and the answers that run for you take too much memory: wait for one "
                "to end (limits.bodies_bytes)"
            )
        if self.held + size > self.most:
            raise LimitExceeded("the hub is receiving too much data: try again later")

    def take(self, size: int, caller: str | None = None) -> None:
        """Take bytes, which the caller must `give` back.

        Raises:
            LimitExceeded: as `check`; nothing is taken.
        """
        if size:
            self.check(size, caller)
            self.held += size
            if caller is not None:
                self._of[caller] += size

    def give(self, size: int, caller: str | None = None) -> None:
        self.held -= size
        if size and caller is not None:
            self._of[caller] -= size
            if not self._of[caller]:
                del self._of[caller]

    @contextmanager
    def taken(self, size: int, caller: str | None = None) -> Iterator[None]:
        """Take bytes for the duration of a ``with`` block; raises what `take` does."""
        self.take(size, caller)
        try:
            yield
        finally:
            self.give(size, caller)

    @contextmanager
    def growing(self, caller: str | None = None) -> Iterator[Callable[[int], None]]:
        """Take more and more in a ``with`` block, by calling what it gives; raises as `take`."""
        held = 0

        def more(size: int) -> None:
            nonlocal held
            self.take(size, caller)
            held += size

        try:
            yield more
        finally:
            self.give(held, caller)
