"""Counts since the hub started: plain integers that `/metrics` reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Totals, which never decrease."""

    records: int = 0
    """Records appended to any stream."""
    flushes: int = 0
    """Passes that had records for the subscribers of a stream."""
    deliveries: int = 0
    """Frames that passes offered to subscribers."""
    catch_ups: int = 0
    """Frames built for a single reader that lagged."""
    resets: int = 0
    """Readers whose position was gone."""
    evictions: int = 0
    """Connections cut because they made no progress."""
    refusals: int = 0
    """Connections refused because of a limit."""
    rejections: int = 0
    """Streams reloaded because the store can never save one of their changes."""
    failures: int = 0
    """Tasks and rounds restarted after a bug ended them."""
    generations: Counter[str] = field(default_factory=Counter)
    """Generations ended, by state."""
