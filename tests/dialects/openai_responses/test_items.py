"""What a whole adds to the pieces that came before it."""

from __future__ import annotations

import pytest

from hub.dialects.openai_responses.items import UNNUMBERED, Item


def heard(*pieces: tuple[int, str]) -> Item:
    item = Item("message", 0, "msg")
    for number, piece in pieces:
        item.piece(number)
        item.add("content", number, piece)
    return item


def test_numbered_parts_are_compared_with_themselves() -> None:
    item = heard((0, "Hel"), (0, "lo"))
    item.whole(0)
    assert item.left("content", 0, "Hello!") == "!"
    assert item.left("content", 1, "New") == "New"
    assert not item.loose
    assert item.heard
    assert item.lists == {"content"}


def test_a_pair_cut_in_two_counts_as_one_that_is_not() -> None:
    assert heard((0, "a\ud83d"), (0, "\ude00")).left("content", 0, "a😀b") == "b"
    assert heard((0, "a\ud83d")).left("content", 0, "a😀b") == "\ude00b"


@pytest.mark.parametrize("numbers", [(1, 2), (UNNUMBERED, UNNUMBERED), (0, UNNUMBERED)], ids=str)
def test_where_the_numbers_cannot_be_trusted_the_texts_are_compared(
    numbers: tuple[int, int],
) -> None:
    item = heard((numbers[0], "Hel"), (numbers[1], "lo"))
    assert item.loose
    assert item.left("content", 9, "Hello!") == "!"
    assert item.left("content", 0, "Hello") == ""
    assert item.left("content", 0, "lo") == ""


def test_a_whole_of_another_number_than_its_pieces() -> None:
    item = heard((1, "Hello"))
    item.whole(2)
    assert item.left("content", 2, "Hello") == ""


def test_a_number_that_the_list_does_not_reach() -> None:
    item = heard((1, "Hello"))
    item.counted("content", 0)
    assert not item.loose
    item.counted("content", 1)
    assert item.left("content", 0, "Hello") == ""


def test_nothing_heard() -> None:
    item = Item("call", None, "")
    assert not item.heard
    assert item.left("arguments", UNNUMBERED, "{}") == "{}"
