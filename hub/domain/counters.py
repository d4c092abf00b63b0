"""Counts since the hub started: plain integers that `/metrics` reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Counters"]


def _counter(description: str) -> Any:
    return field(default=0, metadata={"description": description})


@dataclass(slots=True)
class Counters:
    """Totals, which never decrease, with their descriptions for `/metrics`."""

    records: int = _counter("Records appended")
    flushes: int = _counter("Passes over the subscribers of a stream")
    deliveries: int = _counter("Frames that passes offered to subscribers")
    catch_ups: int = _counter("Frames built for a single reader that lagged")
    resets: int = _counter("Readers whose position was gone")
    evictions: int = _counter("Connections cut because they made no progress")
    refusals: int = _counter("Connections refused because of a limit")
    rejections: int = _counter("Streams reloaded because a change can never be saved")
    failures: int = _counter("Tasks restarted after a bug ended them")
    generations: Counter[str] = field(default_factory=Counter)
    """Generations that ended, by state."""
