"""What everybody was told during a soak, and what was wrong with it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Final

import orjson

from hub.domain.records import Position
from tests.faults.folds import Frame

__all__ = ["Samples", "Told"]

EXAMPLES: Final = 8
"""Of each kind of violation so many are told in full."""

GRACE: Final = 3.0
"""Seconds after a disk had space again in which a refusal may still arrive."""


class Samples:
    """Durations, of which a fair sample of bounded size is kept."""

    def __init__(self, most: int = 20_000) -> None:
        self.count = 0
        self.largest = 0.0
        self._most = most
        self._kept: list[float] = []
        self._chance = Random(0)  # noqa: S311 - a sample

    def add(self, value: float) -> None:
        self.count += 1
        self.largest = max(self.largest, value)
        if len(self._kept) < self._most:
            self._kept.append(value)
        elif (place := self._chance.randrange(self.count)) < self._most:
            self._kept[place] = value

    def __str__(self) -> str:
        if not self._kept:
            return "none"
        kept = sorted(self._kept)
        p50, p99 = (kept[int(len(kept) * part)] for part in (0.5, 0.99))
        in_ms = (f"{value * 1000:.0f}" for value in (p50, p99, self.largest))
        return "{} / {} / {} ms (p50 / p99 / most of {})".format(*in_ms, self.count)


@dataclass
class Told:
    """Figures, and violations by kind."""

    figures: Counter[str] = field(default_factory=Counter)
    durations: dict[str, Samples] = field(default_factory=lambda: defaultdict(Samples))
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrongs: Counter[str] = field(default_factory=Counter)
    contents: dict[tuple[str, Position], int] = field(default_factory=dict)
    """What was read at a position, by its hash."""
    written: dict[str, float] = field(default_factory=dict)
    """When a text was sent to the hub."""
    where: str = ""
    """Which round it is, for the report."""
    leaving: bool = False
    """A hub was told to stop, and the next one does not serve yet."""
    _full_until: float = 0.0

    def fill(self) -> None:
        """The disk is full from now on."""
        self._full_until = float("inf")

    def empty(self) -> None:
        """It is so no more."""
        self._full_until = time.monotonic() + GRACE

    @property
    def full(self) -> bool:
        """To be refused for want of space is right just now."""
        return time.monotonic() < self._full_until

    def violated(self, kind: str, what: str) -> None:
        """Something that was promised did not hold."""
        self.wrongs[kind] += 1
        if len(self.wrong[kind]) < EXAMPLES:
            self.wrong[kind].append(f"[{self.where} {time.strftime('%H:%M:%S')}] {what[:1000]}")

    def refused(self, status: int, code: str, what: str) -> None:
        """Somebody was told no, by a hub that may have a reason just now."""
        self.figures[f"refusals {code or status}"] += 1
        space = code in ("store_full", "store_failed") and self.full
        leaving = code == "draining" and self.leaving
        if not space and not leaving:
            self.violated("refused", f"{what}: {status} {code}")

    def note(self, stream: str, read: Frame) -> None:
        """Have events compared with what others read at the same positions."""
        if not read.whole:
            return
        for offset, event in enumerate(read.events, read.start.offset):
            at = (stream, Position(read.end.epoch, offset))
            held = hash(orjson.dumps(event, option=orjson.OPT_SORT_KEYS))
            if self.contents.setdefault(at, held) != held:
                self.violated("P4 two contents", f"{at[0]} {at[1]}: also {event}")

    def forget(self, streams: set[str]) -> None:
        """Streams that are gone for good."""
        for at in [at for at in self.contents if at[0] in streams]:
            del self.contents[at]
        self.written.clear()
