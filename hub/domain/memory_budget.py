"""The memory that what clients send may take, all together, while it is worked on.

A body that has come is soon several things: the bytes, what they decode to, and a prompt that
is held until its reply has ended. The decoded form is mostly the largest, up to forty times
its JSON, so it is estimated before there is any.
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
"""What a bracket, a brace, a colon and a comma stand for at most, in CPython."""


def parsed_size(text: bytes) -> int:
    """Bytes of memory that a JSON text and what it decodes to take, at most; about, not exactly.

    It is a matter of microseconds for what is usual, and nothing is decoded.
    """
    # One character outside the Basic Multilingual Plane makes all of its string four times as wide.
    wide = not text.isascii() or b"\\u" in text
    return (
        len(text) * (5 if wide else 2)
        + text.count(b"[") * LIST_BYTES
        + text.count(b"{") * OBJECT_BYTES
        + text.count(b":") * FIELD_BYTES
        + text.count(b",") * ELEMENT_BYTES
    )


class MemoryBudget:
    """So many bytes."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        """What is taken just now."""

    def check(self, size: int) -> None:
        """Whether there is so much left.

        Raises:
            LimitExceeded: there is not.
        """
        if self.held + size > self.most:
            raise LimitExceeded("too much is being sent to this hub just now: try again")

    def take(self, size: int) -> None:
        """Take some, to be given back by whoever took it.

        Raises:
            LimitExceeded: as `check`; nothing is taken.
        """
        self.check(size)
        self.held += size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.held -= size

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take some for a while.

        Raises:
            LimitExceeded: as `take`.
        """
        self.take(size)
        try:
            yield
        finally:
            self.give(size)
