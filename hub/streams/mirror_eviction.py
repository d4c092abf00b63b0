"""Which mirrors of a hub leave memory: those that nobody uses, and what is more than there may be.

Nothing is lost by that: what is asked for again is loaded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub.domain.errors import LimitExceeded
from hub.streams.held_mirror import HeldMirror

__all__ = ["MirrorEviction"]


class MirrorEviction:
    """Lets mirrors leave memory by ``drop``, which takes them out of ``held``.

    There are ``streams`` at most, with ``total_bytes`` of memory together; one that is not used
    leaves after ``keep_warm`` seconds.
    """

    def __init__(
        self,
        held: Mapping[str, HeldMirror],
        drop: Callable[[HeldMirror], None],
        *,
        streams: int,
        total_bytes: int,
        keep_warm: float,
    ) -> None:
        self._held = held
        self._drop = drop
        self._streams = streams
        self._total_bytes = total_bytes
        self._keep_warm = keep_warm

    @property
    def size(self) -> int:
        """Bytes of memory of all records."""
        return sum(held.mirror.size for held in self._held.values() if held.mirror is not None)

    def make_room(self) -> None:
        """Let others leave memory if there is no room for one more.

        Raises:
            LimitExceeded: all are in use.
        """
        if len(self._held) >= self._streams:
            for held in self._unused()[: 1 + len(self._held) // 10]:
                self._drop(held)
        if len(self._held) >= self._streams:
            raise LimitExceeded("the hub has reached its limit of streams: try again later")

    def look(self, held: HeldMirror, now: float) -> None:
        """Let a mirror that is not used leave memory after a while, by the clock of the sweeps."""
        if held.since == 0.0:
            held.since = now
        elif now - held.since > self._keep_warm:
            self._drop(held)

    def fit(self) -> None:
        """Let mirrors and records leave memory until the total is under its limit."""
        over = self.size - self._total_bytes
        if over <= 0:
            return
        for held in self._unused():
            over -= 0 if held.mirror is None else held.mirror.size
            self._drop(held)
            if over <= 0:
                return
        # All others are in use: each drops the same share of its records.
        share = self._total_bytes / (self._total_bytes + over)
        for held in self._held.values():
            if held.mirror is not None:
                held.mirror.shrink(int(held.mirror.size * share))

    def _unused(self) -> list[HeldMirror]:
        """Mirrors that are not used, those first that have not been for longest."""
        unused = [held for held in self._held.values() if not held.in_use]
        return sorted(unused, key=lambda held: held.since)
