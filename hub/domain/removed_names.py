"""Remember removed names, to tell a new stream of a name from a removed one.

A new stream has an epoch of its own, later than any that its name has had. A fork has its source's
epochs, and a removed stream of the fork's name may have had the same ones: a reader of that stream
would continue at the same epoch and offset in another text. So a store remembers the epoch in which
each name was last removed, and a fork gets none of the epochs up to there
(`hub.domain.epochs.above`).

The number of names remembered is bounded. Every other name was removed no later than the last name
that was forgotten, so that epoch is used for it. Then a fork of a stream older than that gets new
epochs although it may not need them, and readers who come with a position of its source are reset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["NEVER", "REMEMBERED", "RemovedNames"]

NEVER: Final = -1
"""An epoch before all others."""

REMEMBERED: Final = 10_000
"""How many names are remembered, the last ones removed."""


class RemovedNames:
    """The epoch in which each name was last removed.

    ``known`` are pairs of a name and an epoch, oldest first. Every other name was removed in the
    epoch ``forgotten``, or earlier, or never.
    """

    __slots__ = ("_epochs", "_forgotten")

    def __init__(self, known: Iterable[tuple[str, int]] = (), forgotten: int = NEVER) -> None:
        self._epochs = dict(known)
        self._forgotten = forgotten

    def note(self, name: str, epoch: int) -> None:
        """Record the removal of a stream whose last epoch was at most ``epoch``."""
        self._epochs.pop(name, None)
        self._epochs[name] = epoch
        if len(self._epochs) > REMEMBERED:
            oldest = next(iter(self._epochs))
            self._forgotten = max(self._forgotten, self._epochs.pop(oldest))

    def last(self, name: str) -> int:
        """The latest epoch that a removed stream of this name can have had."""
        return self._epochs.get(name, self._forgotten)
