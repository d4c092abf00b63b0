"""A bounded memory in which nobody takes the place of others."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["OwnedCache"]

K = TypeVar("K")
V = TypeVar("V")


class OwnedCache(Generic[K, V]):
    """Remembers ``most`` values, and ``of_one`` of each owner.

    Of an owner with too many its own value goes, else whichever was used least recently.
    """

    def __init__(self, most: int, of_one: int) -> None:
        self._most = most
        self._of_one = of_one
        self._values: OrderedDict[K, tuple[str, V]] = OrderedDict()
        self._of: dict[str, OrderedDict[K, None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of a key, which counts as used."""
        found = self._values.get(key)
        if found is None:
            return None
        owner, value = found
        self._values.move_to_end(key)
        self._of[owner].move_to_end(key)
        return value

    def put(self, owner: str, key: K, value: V) -> None:
        """Remember a value as an owner's."""
        self.pop(key)
        own = self._of.get(owner)
        if own is not None and len(own) >= self._of_one:
            self.pop(next(iter(own)))
        elif len(self._values) >= self._most:
            self.pop(next(iter(self._values)))
        self._values[key] = (owner, value)
        self._of.setdefault(owner, OrderedDict())[key] = None

    def pop(self, key: K) -> None:
        """Forget a key, if it is known."""
        found = self._values.pop(key, None)
        if found is None:
            return
        own = self._of[found[0]]
        del own[key]
        if not own:
            del self._of[found[0]]
