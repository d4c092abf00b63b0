"""Merging changes how text is cut, never the text, and no position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given

from hub.domain.events import Delta, Event, Message, ToolCall, decode, encode
from hub.domain.records import UNREAD, Record
from hub.frames.coalesce import merge
from tests.support.strategies import quick, records, runs_of_deltas


def fold(held: Sequence[Record]) -> list[Any]:
    """What a reader has understood: the records in order, one after another.

    Text or reasoning goes on with the segment before it if that is of the same kind; a tool
    call goes on until a piece names it anew.
    """
    told: list[Any] = []
    calls: dict[tuple[str, int], dict[str, str]] = {}
    for record in held:
        event = record.event
        if not isinstance(event, Delta) or event.extra:
            told.append(event)
            continue
        for kind, text in (("text", event.text), ("reasoning", event.reasoning)):
            if text:
                _go_on(told, (kind, event.generation), text)
        if event.tool is not None:
            place = (event.generation, event.tool.index)
            if place not in calls or event.tool.id or event.tool.name:
                named = {"id": event.tool.id or "", "name": event.tool.name or ""}
                calls[place] = {**named, "arguments": ""}
                told.append((place, calls[place]))
            calls[place]["arguments"] += event.tool.arguments
    return told


def _go_on(told: list[Any], kind: tuple[str, str], text: str) -> None:
    if told and isinstance(told[-1], list) and told[-1][0] == kind:
        told[-1][1] += text
    else:
        told.append([kind, text])


def numbered(*events: Event) -> list[Record]:
    return [Record(place, encode(event), event) for place, event in enumerate(events)]


@quick
@given(runs_of_deltas | records)
@example(
    numbered(
        Delta("g", tool=ToolCall(0, "call_1", "look", "{}")),
        Delta("g", tool=ToolCall(0, "call_2", "tell", "{}")),
    )
)
@example(numbered(Delta("g", reasoning="a"), Delta("g"), Delta("g", text="b")))
def test_folding_the_merged_records_gives_what_folding_the_originals_gives(
    held: list[Record],
) -> None:
    merged = merge(held)
    assert fold(merged) == fold(held)
    # At every place where a reader may stop and come back, too.
    for count, record in enumerate(merged, start=1):
        until = [original for original in held if original.offset <= record.offset]
        assert fold(merged[:count]) == fold(until)


@quick
@given(runs_of_deltas | records)
def test_positions_are_kept(held: list[Record]) -> None:
    merged = merge(held)
    offsets = [record.offset for record in merged]
    assert offsets == sorted(set(offsets))
    assert set(offsets) <= {record.offset for record in held}
    assert offsets[-1:] == [record.offset for record in held[-1:]]


@quick
@given(runs_of_deltas | records)
def test_the_body_of_a_merged_record_is_its_event(held: list[Record]) -> None:
    for record in merge(held):
        assert record.event is not None
        assert record.body == encode(record.event)
        assert decode(record.body) == record.event


@quick
@given(runs_of_deltas)
def test_merging_again_changes_nothing(held: list[Record]) -> None:
    once = merge(held)
    assert [(r.offset, r.body) for r in merge(once)] == [(r.offset, r.body) for r in once]


def test_a_long_run_becomes_one_record_at_the_offset_of_its_last() -> None:
    held = numbered(*(Delta("g", text=str(digit)) for digit in range(10)))
    (record,) = merge(held)
    assert record.offset == 9
    assert record.event == Delta("g", text="0123456789")


def test_the_arguments_of_a_tool_call_become_one_piece_after_the_one_that_names_it() -> None:
    held = numbered(
        Delta("g", tool=ToolCall(0, "call_1", "look", "")),
        *(Delta("g", tool=ToolCall(0, arguments=piece)) for piece in '{"a":1}'),
    )
    told = [record.event for record in merge(held)]
    assert told[-1] == Delta("g", tool=ToolCall(0, arguments='{"a":1}'))
    assert len(told) == 2


def test_deltas_with_fields_of_their_own_and_other_events_stay_as_they_are() -> None:
    held = numbered(
        Delta("g", text="a", extra={"refusal": True}),
        Delta("g", text="b", extra={"refusal": True}),
        Message("user", "c"),
        Message("user", "d"),
    )
    assert merge(held) == held


def test_records_that_are_no_events_stay_as_they_are() -> None:
    held = [Record(0, b"raw", None), Record(1, b"raw", None)]
    assert merge(held) == held
    assert merge([]) == []


def test_a_delta_is_joined_however_its_type_is_spelled() -> None:
    """A body is only decoded where it may be a delta, and a producer may escape any letter."""
    bodies = [
        b'{"type":"%b","generation":"g","text":"%d"}' % (kind, number)
        for number, kind in enumerate((b"delta", b"\\u0064elta", b"delt\\u0061"))
    ]
    (merged,) = merge([Record(place, body, UNREAD) for place, body in enumerate(bodies)])
    assert merged.event == Delta("g", "012")
