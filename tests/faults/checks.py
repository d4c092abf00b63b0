"""What must hold of a stream, given what its writers were told; each gives what does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hub.domain.records import Position

__all__ = ["ENDS", "endless", "lost", "not_once", "said", "torn"]

ENDS: Final = ("finished", "failed", "cancelled", "interrupted")


def lost(stream: str, events: list[Any], acked: Mapping[int, Position]) -> Iterator[str]:
    """Numbered messages that were never sent twice: in order, and those acknowledged in place."""
    numbers = [int(event["text"].split()[1]) for event in events]
    if numbers != sorted(set(numbers)):
        yield f"{stream}: doubled or out of order: {numbers}"
        return
    there = dict(zip(numbers, range(len(numbers)), strict=True))
    for number, position in acked.items():
        if there.get(number) != position.offset - 1:
            yield f"{stream}: {number} was acknowledged at {position}: not there"


def torn(stream: str, texts: list[str], acked: int, sent: int) -> Iterator[str]:
    """Numbered pairs that were sent again until acknowledged: each once, and both halves."""
    count = len(texts) // 2
    if texts != [f"{stream} {n} {half}" for n in range(count) for half in "ab"]:
        yield f"{stream}: lost, doubled or torn: {texts}"
    if not acked <= count <= sent:
        yield f"{stream}: {count} pairs of {acked} acknowledged and {sent} sent"


def not_once(events: list[Any], keys: Iterable[str], begun: Mapping[str, str]) -> Iterator[str]:
    """Prompts, each with its own key: there once if it began a generation, else at most once."""
    asked = Counter(event["text"] for event in events if event["type"] == "message")
    for key in keys:
        if not (key in begun) <= asked[key] <= 1:
            yield f"{key}: asked {asked[key]} times"


def said(events: list[Any]) -> dict[str, list[Any]]:
    """The events of each generation."""
    found: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        if "generation" in event:
            found[event["generation"]].append(event)
    return found


def endless(stream: str, events: list[Any]) -> Iterator[str]:
    """Each generation begins with its start, and ends with its one terminal event."""
    for generation, own in said(events).items():
        kinds = [event["type"] for event in own]
        if kinds[0] != "started" or [k for k in kinds if k in ENDS] != kinds[-1:]:
            yield f"{stream}: {generation} went {kinds[0]} … {kinds[-3:]}"
