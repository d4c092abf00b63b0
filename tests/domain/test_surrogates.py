"""Halves of surrogate pairs are joined across pieces or made harmless."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.surrogates import Surrogates, whole

ANY_TEXT = st.text(alphabet=st.sampled_from("aé字\u2028😀🌍🏳\ud83d\ude00\ud800\udfff\ufffd"))


def joined(pieces: list[str]) -> list[str]:
    surrogates = Surrogates()
    return [*map(surrogates.join, pieces), surrogates.rest()]


def test_a_pair_cut_in_two_is_one_character() -> None:
    assert joined(["abc\ud83d", "\ude00xyz"]) == ["abc", "😀xyz", ""]


def test_halves_that_stay_alone_are_replaced() -> None:
    assert joined(["a\ud83d", "b\ude00", "\ud83d"]) == ["a", "\ufffdb\ufffd", "", "\ufffd"]


def test_a_half_waits_through_empty_pieces() -> None:
    assert joined(["\ud83d", "", "\ude00"]) == ["", "", "😀", ""]


def test_a_half_that_is_followed_by_another_first_half() -> None:
    assert joined(["\ud83d", "\ud83d", "\ude00"]) == ["", "\ufffd", "😀", ""]


def test_what_is_left_is_given_once() -> None:
    surrogates = Surrogates()
    surrogates.join("\ud83d")
    assert surrogates.rest() == "\ufffd"
    assert surrogates.rest() == ""


def test_halves_side_by_side_are_joined_within_a_text_too() -> None:
    assert whole("\ud83d\ude00 \ude00\ud83d") == "😀 \ufffd\ufffd"


@given(text=ANY_TEXT, places=st.lists(st.integers(0, 50)))
def test_any_cut_between_utf_16_units_gives_the_same_text(text: str, places: list[int]) -> None:
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = [0, *sorted(2 * place % (len(units) + 2) for place in places), len(units)]
    pieces = [
        units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(cuts)
    ]
    given_out = joined(pieces)
    for piece in given_out:
        piece.encode()
    assert "".join(given_out) == whole(text)
