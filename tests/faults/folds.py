"""What a reader has read of a stream, and how that is compared with what is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from hub.domain.records import Position

__all__ = ["Frame", "View", "difference", "merged"]


class Frame(NamedTuple):
    """Events that a reader was sent, from one place to another."""

    start: Position
    end: Position
    events: list[Any]

    @property
    def whole(self) -> bool:
        """No deltas were merged: an event for each offset."""
        return len(self.events) == self.end.offset - self.start.offset


@dataclass
class View:
    """What one reader has read of one stream."""

    frames: list[Frame] = field(default_factory=list)
    resets: int = 0

    @property
    def place(self) -> Position | None:
        return self.frames[-1].end if self.frames else None

    @property
    def events(self) -> list[Any]:
        return [event for frame in self.frames for event in frame.events]

    def back(self, to: Position) -> Position:
        """Forget what came after a position; where to read on, which may be before it."""
        self.resets += 1
        while self.frames and self.frames[-1].end.offset > to.offset:
            last = self.frames.pop()
            kept = to.offset - last.start.offset
            if kept > 0 and not last.whole:
                return last.start
            if kept > 0:
                self.frames.append(Frame(last.start, to, last.events[:kept]))
        return to


def merged(events: list[Any]) -> list[Any]:
    """Consecutive deltas of a kind as one, whoever merged some of them already."""
    found: list[Any] = []
    for kind, run in groupby(events, key=_kind):
        if kind is None:
            found += run
            continue
        first, *others = run
        said, _, _ = kind
        if said == "tool":
            pieces = [each["tool"].get("arguments", "") for each in (first, *others)]
            joined: Any = {**first["tool"], "arguments": "".join(pieces)}
        else:
            joined = "".join(each[said] for each in (first, *others))
        found.append({**first, said: joined})
    return found


def _kind(event: Any) -> tuple[str, str, int] | None:
    """What a delta adds to; none of anything that is never merged."""
    if event["type"] != "delta":
        return None
    said = next((kind for kind in ("text", "reasoning", "tool") if kind in event), None)
    if said is None:
        return None
    tool = event.get("tool", {})
    if "id" in tool or "name" in tool:
        return None
    return said, event["generation"], tool.get("index", 0)


def difference(got: list[Any], wanted: list[Any]) -> str:
    """Where two lists of events part."""
    pairs = zip(got, wanted, strict=False)
    shorter = min(len(got), len(wanted))
    at = next((n for n, pair in enumerate(pairs) if pair[0] != pair[1]), shorter)
    return (
        f"{len(got)} events, not {len(wanted)}; at {at}: "
        f"{str(got[at : at + 1])[:200]} instead of {str(wanted[at : at + 1])[:200]}"
    )
