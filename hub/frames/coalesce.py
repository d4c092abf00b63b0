"""Consecutive deltas as one: what a reader who lags is sent instead of every token.

Merging changes how text is cut, never the text: folding the merged records gives exactly
what folding the originals gives. A merged record stands at the offset of its last part,
so the position after it is the position after all of them.

Every multiple of `SPAN` is a boundary that no merged delta crosses. So whatever a reader was
sent, merged or not, it stands at each boundary between two events, and can be told to go back
there (`hub.streams.history.Reset`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from hub.domain.events import Delta, Event, ToolCall, encode
from hub.domain.records import Record

__all__ = ["boundary", "merge"]

Kind = tuple[str, str, int]
Told = tuple[Record, Event | None]

SPAN: Final = 256
"""Records: so many tokens in one delta are as good as all of them, and so many sent again after
a crash are nothing."""


def boundary(offset: int) -> int:
    """The last boundary at or before an offset."""
    return offset - offset % SPAN


def merge(records: Sequence[Record]) -> list[Record]:
    """The records with runs of deltas of one kind joined; all others as they are."""
    # Each event is asked for once: it may have to be decoded.
    told = [(record, record.event) for record in records]
    return [
        record
        for (kind, _), run in groupby(told, key=_place)
        for record in ((one for one, _ in run) if kind is None else _joined(list(run)))
    ]


def _place(told: Told) -> tuple[Kind | None, int]:
    """What may become one: deltas of one kind, between two boundaries."""
    return _kind(told), boundary(told[0].offset)


def _kind(told: Told) -> Kind | None:
    """What a delta adds to; deltas of different kinds never merge, nor does anything else."""
    record, event = told
    if type(event) is not Delta or event.extra:
        return None
    if b"\\ud" in record.body or b"\\uD" in record.body:
        return None  # half a pair may stand there, and is only whole in what was written
    if event.tool is not None:
        # A piece with a name begins a call, so nothing before it may swallow it.
        tool = event.tool
        if event.text or event.reasoning or tool.id or tool.name or tool.extra_content:
            return None
        return ("tool", event.generation, tool.index)
    if event.text and event.reasoning:
        return None
    return ("text" if event.text else "reasoning", event.generation, 0)


def _joined(run: list[Told]) -> Iterator[Record]:
    last, _ = run[-1]
    if len(run) == 1:
        yield last
        return
    deltas = [event for _, event in run if isinstance(event, Delta)]
    merged = Delta(
        deltas[0].generation,
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas),
        tool=_call([delta.tool for delta in deltas if delta.tool is not None]),
    )
    yield Record(last.offset, encode(merged), merged)


def _call(pieces: list[ToolCall]) -> ToolCall | None:
    if not pieces:
        return None
    return ToolCall(pieces[0].index, arguments="".join(piece.arguments for piece in pieces))
