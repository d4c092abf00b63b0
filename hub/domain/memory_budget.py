"""A bound on the memory of all the request data that is being processed.

A request exists in several forms: its bytes, what they decode to, and a prompt that is held until
the reply ends. The decoded form is usually the largest, up to forty times its JSON, so its size is
estimated before decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hub.domain.errors import LimitExceeded

__all__ = ["MemoryBudget", "parsed_size"]

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


class MemoryBudget:
    """A number of bytes that all users together may take."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        """The bytes taken now."""

    def check(self, size: int) -> None:
        """Check that ``size`` bytes are left.

        Raises:
            LimitExceeded: they are not.
        """
        if self.held + size > self.most:
            raise LimitExceeded("the hub is receiving too much data: try again later")

    def take(self, size: int) -> None:
        """Take bytes, which the caller must `give` back.

        Raises:
            LimitExceeded: as `check`; nothing is taken.
        """
        self.check(size)
        self.held += size

    def give(self, size: int) -> None:
        self.held -= size

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take bytes for the duration of a ``with`` block; raises what `take` does."""
        self.take(size)
        try:
            yield
        finally:
            self.give(size)
