"""A stream as an upstream is told it: who said what, in which order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given

from hub.domain.conversation import Conversation
from hub.domain.events import (
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
    encode,
)
from hub.domain.records import Record
from hub.frames.coalesce import merge
from tests.support.patience import patient
from tests.support.strategies import quick, records


def history(events: Iterable[Event]) -> tuple[Mapping[str, Any], ...]:
    conversation = Conversation()
    for event in events:
        conversation.take(event)
    return conversation.messages()


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


def question(text: str, name: str, **extra: object) -> Message:
    return Message("user", text, extra={"id": name, **extra})


def answer(generation: str, text: str, **extra: object) -> list[Event]:
    return [Started(generation, extra=extra), Delta(generation, text=text), Finished(generation)]


def test_an_answer_that_was_asked_for_again_takes_the_place_of_the_former() -> None:
    events = [
        question("Hi", "q1"),
        *answer("one", "Hello"),
        *answer("two", "Hey", after="q1"),
        question("And?", "q2"),
        *answer("three", "So"),
        *answer("four", "Well", after="q2"),
    ]
    assert history(events) == said(
        ("user", "Hi"), ("assistant", "Hey"), ("user", "And?"), ("assistant", "Well")
    )


def test_a_question_in_other_words_takes_the_place_of_all_that_followed() -> None:
    events = [
        question("Hi", "q1"),
        *answer("one", "Hello"),
        question("Who?", "q2"),
        *answer("two", "Me"),
        question("Who are you?", "q2", after="one"),
        *answer("three", "A hub"),
    ]
    assert history(events) == said(
        ("user", "Hi"), ("assistant", "Hello"), ("user", "Who are you?"), ("assistant", "A hub")
    )
    anew = question("Hello", "q1", after=None)
    assert history([*events, anew]) == said(("user", "Hello"))


def test_a_branch_from_what_is_not_there_leaves_all_as_it_was() -> None:
    events = [Message("user", "Hi"), *answer("one", "Hello"), *answer("two", "Hey", after="q9")]
    assert history(events) == said(("user", "Hi"), ("assistant", "Hello"), ("assistant", "Hey"))


def test_calls_that_were_answered_are_repeated_with_their_results() -> None:
    """A result without its call, or a call without its result, is refused by providers."""
    gave = {"tool_call_id": "call_1", "message": "one"}
    events: list[Event] = [
        question("Weather?", "q1"),
        Started("one"),
        Delta("one", text="Let me see."),
        Delta("one", tool=ToolCall(0, "call_1", "look", '{"a"')),
        Delta("one", tool=ToolCall(0, arguments=":1}")),
        Delta("one", tool=ToolCall(1, "call_2", "look", "{")),
        Finished("one", reason="tool"),
        question("Quick!", "q2"),
        Message("tool", "sunny", extra=gave),
        Message("tool", "never asked for", extra={"tool_call_id": "call_9"}),
        *answer("two", "Sun", message="one"),
    ]
    function = {"name": "look", "arguments": '{"a":1}'}
    call = {"id": "call_1", "type": "function", "function": function}
    assert history(events) == (
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": "Quick!"},
        {"role": "assistant", "content": "Sun"},
    )
    # The whole message, of which that was the end, is answered again.
    again = answer("three", "Rain", after="q1")
    assert history([*events, *again])[1:] == said(("assistant", "Rain"))


def test_arguments_that_are_no_json_are_not_repeated() -> None:
    events: list[Event] = [
        Delta("one", tool=ToolCall(0, None, "look", "{")),
        Message("tool", "what?", extra={"tool_call_id": "call_one0"}),
    ]
    assert history(events)[0]["tool_calls"][0]["function"]["arguments"] == "{}"


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


@pytest.mark.timeout(patient(100))
def test_a_conversation_as_long_as_a_stream_may_be_is_read_in_one_go() -> None:
    """Text added to text again and again would take minutes, in which the hub stands still."""
    events = [Delta("one", text="x" * 100)] * 100_000
    ((message),) = history(events)
    assert len(message["content"]) == 10_000_000


def test_going_back_compares_no_other_names() -> None:
    """A conversation with many branches must not cost a walk over all its messages for each."""
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    conversation = Conversation()
    for number in range(1_000):
        conversation.take(question("Hi", Name(f"q{number}")))
    for number in range(1_000):
        conversation.take(question("No", "other", after=Name(f"nobody{number}")))
    assert compared < 100
    assert len(conversation.messages()) == 2_000
    conversation.take(question("Back", "last", after="q0"))
    assert conversation.messages() == said(("user", "Hi"), ("user", "Back"))


def test_a_name_that_was_used_twice_means_the_last_message_that_has_it() -> None:
    events = [
        question("1", "same"),
        question("2", "other"),
        question("3", "same"),
        question("4", "fourth", after="other"),
        question("5", "fifth", after="same"),
    ]
    assert history(events) == said(("user", "1"), ("user", "2"), ("user", "3"), ("user", "5"))


def test_what_is_kept_of_many_short_deltas_takes_no_more_than_is_said() -> None:
    texts = [f"word{n}" for n in range(20_000)]
    bodies = [encode(Delta("one", text=text)) for text in texts]
    conversation = Conversation()
    tracemalloc.start()
    try:
        for at in range(0, len(bodies), 256):
            conversation.read(bodies[at : at + 256])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert conversation.messages() == said(("assistant", "".join(texts)))
    assert taken <= 2 * conversation.size


def test_long_names_of_messages_answers_and_calls_are_counted() -> None:
    conversation = Conversation()
    for event in (
        Message("user", "Hi", extra={"id": "a" * 100_000}),
        Started("one", extra={"message": "b" * 100_000}),
        Delta("one", tool=ToolCall(0, "c" * 100_000, "d" * 100_000, "{}")),
        Delta("e" * 100_000, text="Hello"),
    ):
        before = conversation.size
        conversation.take(event)
        assert conversation.size > before + 100_000
    assert conversation.size > 500_000
