"""Events and their JSON: nothing is lost or changed on the way there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import RequestError
from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Message,
    Other,
    Seconds,
    ToolCall,
    Usage,
    decode,
    encode,
    from_json,
    now,
    to_json,
)
from tests.support.strategies import events, json_values, others, quick, texts


@quick
@given(events)
def test_what_is_written_is_read_again(event: Event) -> None:
    assert decode(encode(event)) == event
    assert from_json(to_json(event)) == event


@quick
@given(events)
def test_the_short_way_writes_the_same_bytes_as_the_long_one(event: Event) -> None:
    assert encode(event) == orjson.dumps(to_json(event))


@quick
@given(events, st.dictionaries(texts.map(lambda name: f"x-{name}"), json_values, max_size=3))
def test_fields_that_this_version_does_not_know_are_kept(event: Event, new: dict[str, Any]) -> None:
    told = {**to_json(event), **new}
    assert to_json(from_json(told)) == told


@quick
@given(others)
def test_an_object_that_is_no_event_passes_untouched(other: Other) -> None:
    body = orjson.dumps(dict(other.object))
    assert decode(body) == other
    assert encode(decode(body)) == body


def test_an_event_of_a_later_version_passes_untouched() -> None:
    told = {"type": "cited", "text": 1, "usage": "none"}
    assert from_json(told) == Other(told)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Message("user", ""), {"type": "message", "role": "user", "text": ""}),
        (Delta("g", text="Hi"), {"type": "delta", "generation": "g", "text": "Hi"}),
        (Delta(text="Hi"), {"type": "delta", "text": "Hi"}),
        (
            Delta("g", tool=ToolCall(1, "call_1", "look", "{")),
            {
                "type": "delta",
                "generation": "g",
                "tool": {"index": 1, "id": "call_1", "name": "look", "arguments": "{"},
            },
        ),
        (
            Finished("g", "length", Usage(3, 0, estimated=True), at="2026-01-01T00:00:00Z"),
            {
                "type": "finished",
                "generation": "g",
                "reason": "length",
                "usage": {"prompt_tokens": 3, "completion_tokens": 0, "estimated": True},
                "at": "2026-01-01T00:00:00Z",
            },
        ),
        (
            Failed("g", "upstream_stalled", "nothing came"),
            {
                "type": "failed",
                "generation": "g",
                "code": "upstream_stalled",
                "message": "nothing came",
            },
        ),
    ],
)
def test_events_stand_as_the_design_shows_them(event: Event, told: dict[str, Any]) -> None:
    assert to_json(event) == told
    assert from_json(told) == event


def test_fields_of_null_hold_nothing() -> None:
    told = {"type": "message", "role": "user", "text": "Hi", "author": None, "at": None}
    assert from_json(told) == Message("user", "Hi")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"1", b"null", b'{"a":NaN}', b"\xff"],
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="must be a JSON object") as refused:
        decode(body)
    assert refused.value.code == "bad_event"


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"type": "message", "text": "Hi"}, "role"),
        ({"type": "message", "role": "robot", "text": "Hi"}, "role"),
        ({"type": "message", "role": ["user"], "text": "Hi"}, "role"),
        ({"type": "message", "role": "user", "text": 1}, "text"),
        ({"type": "message", "role": "user", "at": {}}, "at"),
        ({"type": "started", "generation": 7}, "generation"),
        ({"type": "delta", "text": ["Hi"]}, "text"),
        ({"type": "delta", "tool": "look"}, "tool"),
        ({"type": "delta", "tool": {"index": "0"}}, "tool"),
        ({"type": "delta", "tool": {"index": True}}, "tool"),
        ({"type": "delta", "tool": {"arguments": {}}}, "tool"),
        ({"type": "finished", "reason": "tired"}, "reason"),
        ({"type": "finished", "reason": "stop", "usage": 3}, "usage"),
        ({"type": "failed", "message": False}, "message"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(told: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError, match=f'^"{field}" of a "{told["type"]}" must be') as refused:
        from_json(told)
    assert refused.value.code == "bad_event"


@pytest.mark.parametrize("seconds", [{"first": 0.31, "total": 4.2}, {"total": 4}, {"total": 0.0}])
def test_how_long_it_took_is_read(seconds: dict[str, float]) -> None:
    told = {"type": "cancelled", "generation": "g", "seconds": seconds}
    event = from_json(told)
    assert isinstance(event, Cancelled)
    assert event.seconds == Seconds(seconds.get("first"), seconds["total"])
    assert not event.extra
    assert to_json(event) == told


@pytest.mark.parametrize(
    "seconds",
    [7, "long", [], {}, {"first": 1.0}, {"total": "4"}, {"total": True}, {"total": None},
     {"total": 1, "first": None}, {"total": 1, "more": 2}],
)  # fmt: skip
def test_seconds_as_somebody_else_wrote_them_are_kept_as_they_are(seconds: object) -> None:
    """Streams hold what was appended before the word meant something here."""
    told = {"type": "finished", "generation": "g", "reason": "stop", "seconds": seconds}
    event = from_json(told)
    assert isinstance(event, Finished)
    assert event.seconds is None
    assert to_json(event) == told


def test_counts_that_are_not_numbers_are_left_out() -> None:
    usage = {"prompt_tokens": "3", "completion_tokens": True, "cached_tokens": 2, "cost": 0.1}
    told = {"type": "cancelled", "generation": "g", "usage": usage}
    assert to_json(from_json(told))["usage"] == {"cached_tokens": 2}


def _nested(levels: int) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for _ in range(levels):
        held = {"a": held}
    return held


@pytest.mark.parametrize(
    "event",
    [
        Other(_nested(300)),
        Other({"a": 2**70}),
        Message("user", "Hi", extra={"x": _nested(300)}),
        Delta("g", text="Hi", extra={"x": _nested(300)}),
        Delta("g", text="half a pair: \ud83d"),
    ],
    ids=["nested", "huge number", "extra", "extra of a delta", "lone surrogate"],
)
def test_what_json_cannot_hold_is_refused_as_a_mistake_of_the_client(event: Event) -> None:
    """Not as a `TypeError`, which would end the connection of whoever sent it."""
    with pytest.raises(RequestError) as refused:
        encode(event)
    assert refused.value.code == "bad_event"


def test_now_is_rfc_3339_in_utc() -> None:
    said = now()
    assert said.endswith("Z")
    assert len(said) == len("2026-01-01T00:00:00.000Z")
    assert abs(datetime.fromisoformat(said) - datetime.now(UTC)) < timedelta(minutes=1)
