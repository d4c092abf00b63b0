"""Merge consecutive deltas: a reader that lags is sent one instead of every token.

Merging changes how text is split, never the text: the merged records add up to exactly what
the originals add up to. A merged record has the offset of its last part, so the position after
it is the position after all of them.

No merged delta crosses a multiple of `SPAN`. So at each of these boundaries every reader is
between two events, however they were merged for it, and can be reset to that place
(`hub.streams.history.Reset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from hub.domain.events import Delta, Event, ToolCall, encode
from hub.domain.records import Record

__all__ = ["boundary", "merge"]

Kind = tuple[str, str, int]
Decoded = tuple[Record, Event | None]

SPAN: Final = 256
"""Records between two boundaries: enough for merging to pay, few enough to send again after a
crash."""


def boundary(offset: int) -> int:
    """The last boundary at or before an offset."""
    return offset - offset % SPAN


def merge(records: Sequence[Record]) -> list[Record]:
    """The records, with runs of deltas of one kind joined."""
    # `Record.event` is read once, and only where it can matter: it may have to decode the body.
    decoded = [(record, record.event if _may_be_delta(record.body) else None) for record in records]
    merged: list[Record] = []
    for (kind, _), group in groupby(decoded, key=_group):
        run = list(group)
        if kind is None or len(run) == 1:
            merged += [record for record, _ in run]
        else:
            merged.append(_joined(run))
    return merged


def _may_be_delta(body: bytes) -> bool:
    """Whether a body can be that of a delta: the word is in it, or a letter of it is escaped."""
    return b"delta" in body or b"\\u" in body


def _group(decoded: Decoded) -> tuple[Kind | None, int]:
    """Records that are equal in this may become one."""
    return _kind(decoded), boundary(decoded[0].offset)


def _kind(decoded: Decoded) -> Kind | None:
    """The text to which a delta adds; ``None`` for what is never merged."""
    record, event = decoded
    if type(event) is not Delta or event.extra:
        return None
    if b"\\ud" in record.body or b"\\uD" in record.body:
        return None  # half of a surrogate pair may be there, which only the body preserves
    if event.tool is not None:
        # A piece with a name begins a call, so it is not joined to what came before.
        tool = event.tool
        if event.text or event.reasoning or tool.id or tool.name or tool.extra_content:
            return None
        return ("tool", event.generation, tool.index)
    if event.text and event.reasoning:
        return None
    return ("text" if event.text else "reasoning", event.generation, 0)


def _joined(run: list[Decoded]) -> Record:
    deltas = [event for _, event in run if isinstance(event, Delta)]
    pieces = [delta.tool for delta in deltas if delta.tool is not None]
    arguments = "".join([piece.arguments for piece in pieces])
    merged = Delta(
        deltas[0].generation,
        text="".join([delta.text for delta in deltas]),
        reasoning="".join([delta.reasoning for delta in deltas]),
        tool=ToolCall(pieces[0].index, arguments=arguments) if pieces else None,
    )
    return Record(run[-1][0].offset, encode(merged), merged)
