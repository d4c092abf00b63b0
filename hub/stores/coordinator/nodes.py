"""The hubs of a coordinator: which of them live, and which generations each has begun.

It is not stored. After a start of the coordinator the generations that run are known from their
streams, and each hub has a while to renew its first lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hub.stores.shared import CONNECTED_LEASES

__all__ = ["Nodes"]

FIRST_LEASE: Final = 5.0
"""Seconds in which a hub must renew its lease that is not known."""


class Nodes:
    """See the methods of the same names of `hub.stores.shared.SharedEngine`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.connected: Callable[[str], bool] = lambda _: False
        """Whether a hub listens to its `node_topic`."""
        self._ends: dict[str, float] = {}
        """The hubs, each with the end of its lease."""
        self._runs: dict[str, set[tuple[str, str]]] = {}
        self._seen = clock()
        """When a lease was last renewed."""

    def renew(self, node: str, seconds: float) -> list[str]:
        now = self._clock()
        till, idle = now + seconds, now - self._seen
        if idle > seconds:
            # Nobody could: the coordinator stood still.
            self._ends = {other: max(end, till) for other, end in self._ends.items()}
        elif idle > seconds / 2:
            # Nor for most of a lease. A part counts, or one slow hub would never end a dead one.
            late = idle - seconds / 4
            self._ends = {other: end + late for other, end in self._ends.items()}
        self._seen = now
        self._ends[node] = till
        longer = seconds * (CONNECTED_LEASES - 1)
        over = [
            other
            for other, end in self._ends.items()
            if end < now and not (now <= end + longer and self.connected(other))
        ]
        self._ends.update(dict.fromkeys(over, till))
        return over

    def known(self) -> list[str]:
        return list(self._ends)

    def forget(self, node: str) -> bool:
        if self._runs.get(node):
            return False
        self._ends.pop(node, None)
        return True

    def enlist(self, node: str, stream: str, generation: str) -> None:
        self._runs.setdefault(node, set()).add((stream, generation))
        self._ends.setdefault(node, self._clock() + FIRST_LEASE)

    def strike(self, node: str, stream: str, generation: str) -> None:
        runs = self._runs.get(node, set())
        runs.discard((stream, generation))
        if not runs:
            self._runs.pop(node, None)

    def runs(self, node: str) -> list[tuple[str, str]]:
        return list(self._runs.get(node, ()))
