"""How long a stream stays in memory, and since when it is unused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hub.domain import defaults
from hub.streams.stream import Stream

__all__ = ["LoadedStream", "StreamLimits"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds on all streams together; times in seconds, sizes in bytes of memory.

    ``streams`` and ``total_bytes`` bound the streams in memory. An unused stream is removed after
    ``keep_closed`` or ``keep_idle``; 0 means never.
    """

    streams: int = defaults.STREAMS
    total_bytes: int = defaults.STREAM_BYTES_TOTAL
    name_length: int = defaults.NAME_LENGTH
    keep_closed: float = defaults.KEEP_FOREVER
    keep_idle: float = defaults.KEEP_FOREVER
    keep_warm: float = 60.0
    """How long an unused stream stays in memory if the store has it too."""
    keep_warm_closed: float = 15.0
    """The same for a closed stream, which is seldom read again."""


class LoadedStream:
    """A stream in the registry, and when it was last used."""

    __slots__ = ("lookups", "since", "stream", "tail")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tail = stream.tail
        self.since = math.inf  # until the first `update`
        self.lookups = 0

    def update(self, now: float) -> None:
        """Note whether the stream is used, and drop what its readers shared."""
        if self.stream.tail != self.tail or self.stream.in_use or self.since > now:
            self.tail = self.stream.tail
            self.since = now
        self.stream.frames.clear()
        self.stream.age_reads()
