"""Every transcript gives the same events, however its bytes were cut or its lines ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import examples
from tests.support.transcripts import TRANSCRIPTS, Transcript, text_of

TERMINAL = {"finished", "failed"}
# What a provider may end a good reply with.
GOOD_END = re.compile(
    rb'\[DONE\]|(?:finish_reason|finishReason|blockReason|stop_reason)":\s*"'
    rb'|message_stop|"done":\s*true'
    rb'|^\s*\{.*"object":\s*"chat\.completion".*\}\s*$'  # a whole one needs no reason
    rb'|"type":\s*"response\.(?:completed|incomplete|done)|"status":\s*"(?:completed|incomplete)',
    re.DOTALL,
)

any_of_them = st.sampled_from(TRANSCRIPTS)
# The longest is no news for random cuts and takes most of their time.
short = any_of_them.filter(lambda transcript: transcript.name != "long_line")


def terminals(events: list[Any]) -> list[Any]:
    return [event for event in events if event.get("type") in TERMINAL]


def test_there_are_transcripts_of_every_kind() -> None:
    assert {transcript.reader for transcript in TRANSCRIPTS} == {
        "anthropic",
        "cohere",
        "gemini",
        "json",
        "ollama",
        "openai-chat",
        "openai-chat-think",
        "openai-responses",
    }


WAYS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda body: [body],
    "byte by byte": lambda body: (body[at : at + 1] for at in range(len(body))),
    "with CRLF": lambda body: [re.sub(rb"\r?\n", b"\r\n", body)],
    "without the final newline": lambda body: [body.rstrip(b"\r\n")],
}


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_the_events_are_the_expected_ones(transcript: Transcript) -> None:
    """However the body comes; and one of them at most is terminal, always the last."""
    for way, pieces in WAYS.items():
        assert transcript.replay(pieces(transcript.body)) == transcript.expected, way
    assert terminals(transcript.expected) in ([], transcript.expected[-1:])


@examples(300)
@given(transcript=short, places=st.lists(st.integers(0, 6000), max_size=12))
def test_cut_anywhere(transcript: Transcript, places: list[int]) -> None:
    body = transcript.body
    cuts = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    pieces = [body[start:end] for start, end in pairwise(cuts)]
    assert transcript.replay(pieces) == transcript.expected


@examples(300)
@given(transcript=short, place=st.integers(0, 6000))
def test_cut_off_anywhere(transcript: Transcript, place: int) -> None:
    """What comes of a beginning is a beginning of the whole, and no success without an end."""
    body = transcript.body
    beginning = body[: place % (len(body) + 1)]
    events = transcript.replay([beginning])
    assert terminals(events) in ([], events[-1:])
    if transcript.reader != "openai-chat-think":  # half a tag is text if nothing follows it
        for kind in ("text", "reasoning"):
            assert text_of(transcript.expected, kind).startswith(
                text_of(events, kind).rstrip("\ufffd")
            )
    cut = beginning.rstrip() != body.rstrip()  # an answer that is one object ends with it
    if cut and transcript.reader != "json" and events and events[-1].get("type") == "finished":
        assert GOOD_END.search(beginning)
