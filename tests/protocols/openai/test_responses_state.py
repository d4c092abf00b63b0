"""`hub.protocols.openai.responses_state` and `hub.protocols.openai.responses_sse`: numbered
events, and what they add up to.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Other,
    Started,
    ToolCall,
    Usage,
)
from hub.domain.records import Position, Record
from hub.frames.encoder import Batch
from hub.protocols.openai.responses_sse import ResponseEvents
from hub.protocols.openai.responses_state import ResponseBuilder, response_id

ID = "gen_" + "ab" * 16
BEGUN = Started(ID, "up", "m-1", "2026-01-01T00:00:00.000Z")


def telling(*events: Event) -> tuple[list[dict[str, Any]], ResponseBuilder]:
    told = ResponseBuilder(ID, {"metadata": {}})
    return [event for each in (BEGUN, *events) for event in told.tell(each)], told


def of(**fields: Any) -> Delta:
    return Delta(ID, **fields)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_an_item_ends_where_another_begins() -> None:
    events, told = telling(
        of(reasoning="so"),
        of(text="Hi"),
        of(text="!", extra={"refusal": True}),
        of(tool=ToolCall(0, None, "look", "{")),
        of(tool=ToolCall(1, "c1", "see", "[]")),
        of(tool=ToolCall(0, arguments="}")),
        of(text="more"),
        Finished(ID, usage=Usage(1, 2, 3, 4)),
    )
    assert kinds(events) == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done",
        "content_part.added", "refusal.delta", "refusal.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    response = events[-1]["response"]
    assert response == told.response()
    assert response["id"] == response_id(ID) == "resp_" + "ab" * 16
    assert response["created_at"] == 1767225600
    reasoning, said, look, see, more = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "so"}]
    assert [part["type"] for part in said["content"]] == ["output_text", "refusal"]
    assert (look["name"], look["arguments"], see["call_id"]) == ("look", "{}", "c1")
    assert look["call_id"]
    assert more["content"][0]["text"] == "more"
    assert len({item["id"] for item in response["output"]}) == 5
    assert response["usage"] == {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 3,
    }


def test_how_it_ended_is_its_status() -> None:
    for end, status, error in (
        (Finished(ID), "completed", None),
        (Finished(ID, "tool"), "completed", None),
        (Finished(ID, "length"), "incomplete", None),
        (Finished(ID, "filter"), "incomplete", None),
        (Failed(ID, "upstream_reset", "gone"), "failed", "upstream_reset"),
        (Interrupted(ID), "failed", "generation_stopped"),
        (Cancelled(ID), "cancelled", None),
    ):
        events, told = telling(of(text="Hi"), end)
        response = told.response()
        assert response["status"] == status
        assert told.ended
        assert response["error"] == error or response["error"]["type"] == error
        last = [event["type"] for event in events][-2:]
        if isinstance(end, Finished):
            assert last == ["response.output_item.done", f"response.{status}"]
        elif isinstance(end, Cancelled):
            assert last == ["error", "response.cancelled"]
        else:
            assert response["error"]["code"] == "server_error"
            assert last == ["response.failed", "error"]
        assert response["output"][0]["status"] == (
            "completed" if status == "completed" else "incomplete"
        )


def test_nothing_is_told_after_the_end_and_nothing_of_others() -> None:
    events, told = telling(Finished(ID))
    number = events[-1]["sequence_number"]
    for event in (of(text="late"), Delta("gen_x", "evil"), Other({"generation": ID}), Failed(ID)):
        assert told.tell(event) == []
    assert number == len(events) - 1


def test_who_answered_in_the_end_is_the_model() -> None:
    _, told = telling(Finished(ID, extra={"upstream": "other", "model": "m-2"}))
    assert told.response()["model"] == "m-2"


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
deltas = st.one_of(
    texts.map(lambda text: of(text=text)),
    texts.map(lambda text: of(reasoning=text)),
    texts.map(lambda text: of(text=text, extra={"refusal": True})),
    st.builds(lambda n, text: of(tool=ToolCall(n, None, f"f{n}", text)), st.integers(0, 2), texts),
)
ends = st.sampled_from([Finished(ID), Finished(ID, "length"), Failed(ID, "x", "y"), Cancelled(ID)])


@given(st.lists(deltas, max_size=10), ends)
def test_the_events_add_up_to_the_response(said: list[Delta], end: Event) -> None:
    """As a client adds them up that only looks at the deltas and where they belong."""
    events, told = telling(*said, end)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    output: list[Any] = []
    for event in events:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert event["output_index"] == len(output)
                output.append(event["item"])
            case "content_part.added":
                output[event["output_index"]]["content"].append(event["part"])
            case "reasoning_summary_part.added":
                output[event["output_index"]]["summary"].append(event["part"])
            case "output_text.delta":
                output[event["output_index"]]["content"][event["content_index"]]["text"] += event[
                    "delta"
                ]
            case "refusal.delta":
                part = output[event["output_index"]]["content"][event["content_index"]]
                part["refusal"] += event["delta"]
            case "reasoning_summary_text.delta":
                part = output[event["output_index"]]["summary"][event["summary_index"]]
                part["text"] += event["delta"]
            case "function_call_arguments.delta":
                output[event["output_index"]]["arguments"] += event["delta"]
            case "output_item.done":
                output[event["output_index"]]["status"] = event["item"]["status"]
                assert output[event["output_index"]] == event["item"]
    whole = told.response()["output"]
    if not isinstance(end, Finished):
        for item in [*output, *whole]:
            item["status"] = ""
    assert output == whole


# In frames


def records(*events: Event) -> list[Record]:
    return [Record(offset, b"", event) for offset, event in enumerate((BEGUN, *events))]


def batch(found: list[Record]) -> Batch:
    return Batch("s", found, Position(0, len(found)))


def encoder(after: int = -1) -> ResponseEvents:
    return ResponseEvents(ResponseBuilder(ID, {}), after)


def numbers(frame: bytes) -> list[int]:
    told = [json.loads(b.split(b"data: ")[1]) for b in frame.split(b"\n\n")[:-1]]
    return [event["sequence_number"] for event in told]


@given(st.lists(deltas, max_size=8), st.lists(st.integers(0, 10), max_size=4), ends)
def test_frames_made_again_are_the_same(said: list[Delta], cuts: list[int], end: Event) -> None:
    """A frame is made for the fan-out, and again from where a slow reader is."""
    found = records(*said, end)
    whole = encoder().events(batch(found))
    once = encoder()
    frame, at = b"", 0
    for cut in [*sorted(cuts), len(found)]:
        ahead = found[at : min(cut + 2, len(found))]
        once.events(batch(ahead))  # this one never reached the reader
        frame += once.events(batch(found[at:cut]))
        at = max(at, min(cut, len(found)))
    assert frame == whole


@given(st.lists(deltas, max_size=8), st.integers(-1, 60), ends)
def test_it_goes_on_after_a_number_and_always_has_an_end(
    said: list[Delta], after: int, end: Event
) -> None:
    found = records(*said, end)
    whole = numbers(encoder().events(batch(found)))
    rest = numbers(encoder(after).events(batch(found)))
    last = whole[-1:] if isinstance(end, Finished) else whole[-2:]
    assert rest == [number for number in whole if number > after or number in last]
