"""Numbers that have changed since others were told of them."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Untold"]


class Untold:
    """Numbers by name; ``noted`` is called when there is one after there was none."""

    __slots__ = ("_noted", "_numbers")

    def __init__(self, noted: Callable[[], None]) -> None:
        self._noted = noted
        self._numbers: dict[str, int] = {}

    def put(self, name: str, number: int) -> None:
        """Tell of a number, whatever it was before."""
        if not self._numbers:
            self._noted()
        self._numbers[name] = number

    def add(self, name: str, more: int) -> None:
        """Tell of so many more."""
        self.put(name, self._numbers.get(name, 0) + more)

    def take(self) -> dict[str, int]:
        """All numbers since the last call."""
        numbers, self._numbers = self._numbers, {}
        return numbers
