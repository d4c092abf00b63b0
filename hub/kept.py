"""A stream in memory, and since when nothing has happened to it."""

from __future__ import annotations

import math

from hub.stream import Stream

__all__ = ["Kept"]


class Kept:
    """What the registry knows of a stream besides itself."""

    __slots__ = ("found", "since", "stream", "tail")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tail = stream.tail
        self.since = math.inf  # until it is looked at for the first time
        self.found = 0
        """How often somebody has asked for it."""

    def look(self, now: float) -> None:
        """See whether it is used, and drop what several readers shared for a moment."""
        if self.stream.tail != self.tail or self.stream.in_use or self.since > now:
            self.tail = self.stream.tail
            self.since = now
        self.stream.frames.clear()
        self.stream.reads.clear()
