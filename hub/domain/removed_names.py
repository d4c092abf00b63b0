"""Which names have been removed: what begins under such a name has to be told from what was.

A stream that is begun has an epoch of its own, later than any its name has had. A fork has its
source's, and so may have one that a removed stream of its name had too: at the same epoch and
offset a reader of that one would go on in another text. So a store remembers in which epoch a
name was last removed, and a fork has none of the epochs up to there (`hub.domain.epochs.above`).

How many names are remembered is bounded. Of all others it is known that they were removed no
later than the last that was forgotten, and that is what is said of them: a fork of a stream
that is older than so many removals has new epochs, too, and whoever comes to it with a position
of its source is reset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["NEVER", "REMEMBERED", "RemovedNames"]

NEVER: Final = -1
"""Before all epochs."""

REMEMBERED: Final = 10_000
"""Names, the newest of those removed."""


class RemovedNames:
    """The epoch in which each name was last removed: ``known`` are pairs, the oldest first.

    All others were removed in ``forgotten``, or before, or never.
    """

    __slots__ = ("_epochs", "_forgotten")

    def __init__(self, known: Iterable[tuple[str, int]] = (), forgotten: int = NEVER) -> None:
        self._epochs = dict(known)
        self._forgotten = forgotten

    def note(self, name: str, epoch: int) -> None:
        """A stream was removed whose last epoch is ``epoch``, or an earlier one."""
        self._epochs.pop(name, None)
        self._epochs[name] = epoch
        if len(self._epochs) > REMEMBERED:
            oldest = next(iter(self._epochs))
            self._forgotten = max(self._forgotten, self._epochs.pop(oldest))

    def last(self, name: str) -> int:
        """No stream of this name that was removed had a later epoch."""
        return self._epochs.get(name, self._forgotten)
