"""A view gives the same chunks however its records come: in batches, twice, or in the middle."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import (
    Delta,
    Event,
    Failed,
    Finished,
    Message,
    Started,
    ToolCall,
    encode,
)
from hub.domain.records import Position, Record
from hub.frames.encoder import Batch
from hub.protocols.agui.chunks import AGUIChunks
from hub.protocols.aisdk.chunks import UIChunks
from hub.protocols.conversation.view import DurableChunks, Translation, UIEvents, View

G = "gen_1"
EVENTS: list[Event] = [
    Message("user", "Hi", extra={"id": "m1"}),
    Started(G),
    *(Delta(G, reasoning=piece) for piece in ("a", "b")),
    *(Delta(G, piece) for piece in ("one ", "two ", "three")),
    Delta(G, tool=ToolCall(0, "c", "t", "{")),
    Delta(G, tool=ToolCall(0, None, None, "}")),
    Finished(G),
    Message("user", "And?"),
]
RECORDS = [Record(offset, encode(event), event) for offset, event in enumerate(EVENTS)]


def batch(start: int, end: int) -> Batch:
    return Batch("s", RECORDS[start:end], Position(1, end), latest=end == len(RECORDS))


def joined(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours that only add to one thing as one: how text is cut is nobody's business."""
    found: list[dict[str, Any]] = []
    for chunk in chunks:
        for field in ("delta", "inputTextDelta"):
            if found and field in chunk and chunk["type"] == found[-1]["type"]:
                found[-1] = {**found[-1], field: found[-1][field] + chunk[field]}
                break
        else:
            found.append(chunk)
    return found


def translations() -> list[Translation]:
    return [UIChunks(G), AGUIChunks("s")]


@pytest.mark.parametrize("which", [0, 1])
@given(cuts=st.sets(st.integers(1, len(RECORDS) - 1)), twice=st.sets(st.integers(0, 20)))
def test_batches_cut_anywhere_and_given_twice(which: int, cuts: set[int], twice: set[int]) -> None:
    whole = View(translations()[which], 0).add(batch(0, len(RECORDS)))
    view = View(translations()[which], 0)
    edges = [0, *sorted(cuts), len(RECORDS)]
    chunks: list[dict[str, Any]] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        if view.over:
            break
        if number in twice:
            view.add(batch(start, min(end, start + 1)))  # a frame that could not be sent
        told = view.add(batch(start, end))
        chunks += told.chunks
    assert joined(chunks) == joined(whole.chunks)
    assert told.position == whole.position


def test_a_view_is_over_where_its_subject_is() -> None:
    view = View(UIChunks(G), 0)
    told = view.add(batch(0, len(RECORDS)))
    assert view.over
    assert told.position == Position(1, len(RECORDS) - 1)
    assert view.add(batch(len(RECORDS), len(RECORDS))).chunks == []


def test_records_out_of_their_place_are_a_mistake() -> None:
    view = View(UIChunks(G), 0)
    view.add(batch(0, 4))
    with pytest.raises(ValueError, match="given the record"):
        view.add(batch(6, 7))


def test_the_sdks_events() -> None:
    frames = UIEvents(View(UIChunks(G), 0)).events(batch(0, len(RECORDS)))
    *events, done = frames.decode().removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    assert [json.loads(event.removeprefix("data: "))["type"] for event in events][-1] == "finish"


def test_after_an_error_nothing_says_that_it_is_done() -> None:
    failed: list[Event] = [Started(G), Failed(G, "cut", "cut")]
    records = [Record(offset, encode(event), event) for offset, event in enumerate(failed)]
    encoder = UIEvents(View(UIChunks(G), 0))
    frames = encoder.events(Batch("s", records, Position(1, 2)))
    assert b"[DONE]" not in frames
    assert frames.endswith(b'data: {"type":"error","errorText":"cut"}\n\n')


def test_durable_events_say_where_to_go_on_and_close_with_the_view() -> None:
    encoder = DurableChunks(View(UIChunks(G), 0))
    first = encoder.events(batch(0, 5)).decode()
    assert '"streamNextOffset":"0000000000000001_0000000000000005"' in first
    assert "streamClosed" not in first
    last = encoder.events(batch(5, len(RECORDS))).decode()
    at = len(RECORDS) - 1
    assert f'"streamNextOffset":"0000000000000001_{at:016d}","streamClosed":true' in last
    assert last.count("event: control") == last.count("event: data") == 1
