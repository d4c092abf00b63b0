"""``<think>`` at the start is split off the text, for any cutting of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.reply.think_tags import LEADING, Thinking

TEXT = st.lists(
    st.sampled_from(
        ["<", "think>", "<think>", "</think>", "</", "a", "\n", " ", "</think", "字", "<thought>"]
    )
).map("".join)


def split(pieces: list[str]) -> tuple[str, str]:
    thinking = Thinking()
    said = [*map(thinking.split, pieces), thinking.rest()]
    return "".join(reasoning for reasoning, _ in said), "".join(text for _, text in said)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("\n <think>\nHm.\n</think>\n\nYes.", "\nHm.\n", "\n\nYes."),
        ("<think></think>Yes.", "", "Yes."),
        ("Yes.", "", "Yes."),
        ("", "", ""),
        ("  \n", "", "  \n"),
        ("<thin", "", "<thin"),
        ("<thinking>no</thinking>", "", "<thinking>no</thinking>"),
        ("It is <think>not</think> at the start", "", "It is <think>not</think> at the start"),
        ("<think>Hm.</think>a<think>b</think>", "Hm.", "a<think>b</think>"),
        ("<think>a </thin b</think>c", "a </thin b", "c"),
        ("<think>for ever</thi", "for ever</thi", ""),
        ("<thought>Hm.</thought>Yes.", "Hm.", "Yes."),
        ("<thought>Hm.</think>Yes.", "Hm.</think>Yes.", ""),
        ("<reasoning>a</reasoning><reasoning> b</reasoning>Yes.", "a b", "Yes."),
        ("<reasoning>a</reasoning><reas", "a", "<reas"),
        ("<reasoning>a</reasoning><think>b</think>", "a", "<think>b</think>"),
        ("<think>a</think>\n<think>b</think>", "a", "\n<think>b</think>"),
    ],
)
def test_splits(text: str, reasoning: str, answer: str) -> None:
    assert split([text]) == (reasoning, answer)
    assert split(list(text)) == (reasoning, answer)


@given(text=TEXT, places=st.lists(st.integers(0, 100)))
def test_any_cut_gives_the_same(text: str, places: list[int]) -> None:
    cuts = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    pieces = [text[start:end] for start, end in pairwise(cuts)]
    assert split(pieces) == split([text])


def test_gives_out_what_cannot_be_the_tag_at_once() -> None:
    thinking = Thinking()
    assert thinking.split("<think>I think</t") == ("I think", "")
    assert thinking.split("ea>") == ("</tea>", "")


def test_holds_no_more_than_a_little_white_space() -> None:
    thinking = Thinking()
    assert thinking.split(" " * LEADING) == ("", "")
    assert thinking.split(" ") == ("", " " * (LEADING + 1))
