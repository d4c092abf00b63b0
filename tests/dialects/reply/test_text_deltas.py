"""Text, reasoning and refusals, each one text whatever its pieces."""

from __future__ import annotations

from hub.dialects.reply.text_deltas import TextDeltas
from hub.domain.events import Delta


def test_each_kind_is_a_text_of_its_own() -> None:
    speech = TextDeltas()
    assert speech.say("a\ud83d") == [Delta(text="a")]
    assert speech.reason("b\ud83d") == [Delta(reasoning="b")]
    assert speech.refuse("c\ud83d") == [Delta(text="c", extra={"refusal": True})]
    assert speech.say("\ude00") == [Delta(text="😀")]
    assert speech.rest() == [
        Delta(reasoning="\ufffd"),
        Delta(text="\ufffd", extra={"refusal": True}),
    ]
    assert speech.rest() == []


def test_nothing_is_no_delta() -> None:
    speech = TextDeltas()
    assert [*speech.say(""), *speech.reason(""), *speech.refuse(""), *speech.rest()] == []


def test_thinking_in_the_text_is_told_apart_only_if_asked_to() -> None:
    assert TextDeltas().say("<think>a</think>b") == [Delta(text="<think>a</think>b")]
    speech = TextDeltas(think=True)
    assert speech.say("<think>a</thi") == [Delta(reasoning="a")]
    assert speech.say("nk>b") == [Delta(text="b")]
    speech = TextDeltas(think=True)
    assert speech.say("<thi") == []
    assert speech.rest() == [Delta(text="<thi")]
