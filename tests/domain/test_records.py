"""Positions: opaque text that sorts as the places do, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import PositionError
from hub.domain.records import Position, Record

numbers = st.integers(0, 10**16 - 1) | st.integers(0, 20)
positions = st.builds(Position, numbers, numbers)


@given(positions)
def test_a_position_is_read_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(positions, positions)
def test_positions_sort_as_text_as_they_do_as_places(one: Position, other: Position) -> None:
    assert (str(one) < str(other)) == (one < other)
    assert (str(one) == str(other)) == (one == other)


GOOD = "0000000000000001_0000000000000002"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now ",
        "1_2",
        GOOD + "\n",
        "\n" + GOOD,
        " " + GOOD,
        GOOD + " ",
        GOOD + "\x00",
        GOOD[1:],
        "0" + GOOD,
        GOOD + "0",
        GOOD.replace("_", "-"),
        GOOD.replace("_", "__"),
        "00000000000_0001_0000000000000002",  # int() takes underscores between digits
        "+000000000000001_0000000000000002",
        "-000000000000001_0000000000000002",
        GOOD.replace("1", "١"),  # Arabic-Indic
        GOOD.replace("2", "２"),  # fullwidth
        GOOD.replace("1", "¹"),
        GOOD.replace("0", "𝟎"),
        "000000000000000a_0000000000000002",
        "0x00000000000001_0000000000000002",
    ],
)
def test_what_is_not_a_position_is_refused(text: str) -> None:
    with pytest.raises(PositionError) as refused:
        Position.parse(text)
    assert refused.value.code == "bad_position"
    assert text.strip() == "" or text not in str(refused.value), "what was sent is not repeated"


@given(st.text())
def test_any_text_is_a_position_or_refused(text: str) -> None:
    try:
        position = Position.parse(text)
    except PositionError:
        return
    assert str(position) == text


def test_a_record_shows_what_it_is() -> None:
    assert repr(Record(3, b"{}", None)) == "Record(3, b'{}')"
