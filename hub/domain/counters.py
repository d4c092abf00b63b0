"""What the hub has done since it started: plain integers, read by `/metrics`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Totals only ever rise."""

    records: int = 0
    """Records appended to any stream."""
    flushes: int = 0
    """Passes that had records for the subscribers of a stream."""
    deliveries: int = 0
    """Subscribers offered a frame by a pass."""
    catch_ups: int = 0
    """Frames built for one reader that lagged."""
    resets: int = 0
    """Readers told that their position is gone."""
    evictions: int = 0
    """Connections cut because they made no progress."""
    refusals: int = 0
    """Connections refused because of a limit."""
    rejections: int = 0
    """Streams loaded again because a change of theirs could never be kept."""
    failures: int = 0
    """Tasks and rounds that a mistake of the hub ended, and that were begun again."""
    generations: Counter[str] = field(default_factory=Counter)
    """Generations ended, by state."""
