"""Text that counts how often it is compared."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["Name"]


class Name(str):
    __slots__ = ()
    __hash__ = str.__hash__
    compared: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)
