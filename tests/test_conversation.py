"""A stream as an upstream is told it: who said what, in which order."""

from __future__ import annotations

import pytest
from hypothesis import given

from hub.conversation import history
from hub.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Started,
    ToolCall,
)
from hub.merge import merge
from hub.records import Record
from tests.strategies import quick, records


def said(*pairs: tuple[str, str]) -> tuple[dict[str, str], ...]:
    return tuple({"role": role, "content": content} for role, content in pairs)


def test_questions_and_answers_in_turn() -> None:
    events: list[Event] = [
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Started("one"),
        Delta("one", text="Hel"),
        Delta("one", text="lo"),
        Finished("one"),
        Message("user", "Again"),
        Started("two"),
        Delta("two", text="Hello again"),
    ]
    assert history(events) == said(
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Again"),
        ("assistant", "Hello again"),
    )


@pytest.mark.parametrize("end", [Failed("one"), Cancelled("one"), Interrupted("one")])
def test_what_was_read_of_a_reply_that_broke_off_was_said(end: Event) -> None:
    events: list[Event] = [Message("user", "Hi"), Started("one"), Delta("one", text="Hel"), end]
    assert history(events) == said(("user", "Hi"), ("assistant", "Hel"))


def test_a_reply_stands_where_its_generation_started() -> None:
    events: list[Event] = [
        Started("one"),
        Message("user", "between"),
        Delta("one", text="late"),
        Started("two"),
        Delta("one", text="r"),
        Delta("two", text="other"),
    ]
    assert history(events) == said(
        ("assistant", "later"), ("user", "between"), ("assistant", "other")
    )


def test_a_reply_whose_beginning_is_trimmed_away_is_still_one() -> None:
    assert history([Delta("one", text="l"), Delta("one", text="o")]) == said(("assistant", "lo"))


def test_reasoning_tools_and_foreign_objects_are_not_repeated() -> None:
    events: list[Event] = [
        Started("one"),
        Delta("one", reasoning="hm"),
        Delta("one", tool=ToolCall(0, "call_1", "look", "{}")),
        Other({"type": "retrying", "text": "no"}),
    ]
    assert history(events) == ()


@quick
@given(records)
def test_merging_changes_nothing_that_was_said(held: list[Record]) -> None:
    def told(some: list[Record]) -> object:
        return history(record.event for record in some if record.event is not None)

    assert told(merge(held)) == told(held)


@pytest.mark.timeout(100)
def test_a_conversation_as_long_as_a_stream_may_be_is_read_in_one_go() -> None:
    """Text added to text again and again would take minutes, in which the hub stands still."""
    events = [Delta("one", text="x" * 100)] * 100_000
    ((message),) = history(events)
    assert len(message["content"]) == 10_000_000
