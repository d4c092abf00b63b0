"""A stream in memory, since when nothing has happened to it, and how long it may stay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hub.domain import defaults
from hub.streams.stream import Stream

__all__ = ["LoadedStream", "StreamLimits"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds on all streams together; times in seconds, sizes in bytes of memory.

    ``streams`` and ``total_bytes`` are of those in memory. ``keep_closed`` and ``keep_idle``
    say how long a stream lives on that nobody uses; 0 is for ever.
    """

    streams: int = defaults.STREAMS
    total_bytes: int = defaults.STREAM_BYTES_TOTAL
    name_length: int = defaults.NAME_LENGTH
    keep_closed: float = defaults.KEEP_FOREVER
    keep_idle: float = defaults.KEEP_FOREVER
    keep_warm: float = 60.0
    """How long an unused stream stays in memory that the store has too."""
    keep_warm_closed: float = 15.0
    """The same for one that has closed: a reply that was wanted once, and then seldom."""


class LoadedStream:
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
        self.stream.rest()
