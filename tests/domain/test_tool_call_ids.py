"""The ids of tool calls: the provider's, or one that is always the same."""

from __future__ import annotations

from hub.domain.events import ToolCall
from hub.domain.tool_call_ids import CallIds

GENERATION = "gen_" + "0123456789abcdef" * 2


def test_the_id_of_the_provider_is_told_with_the_first_piece_only() -> None:
    ids = CallIds(GENERATION)
    pieces = [ToolCall(0, "call_x", "look"), ToolCall(0, arguments="{"), ToolCall(0, "call_x")]
    assert [ids.of(piece, offset) for offset, piece in enumerate(pieces)] == ["call_x", None, None]


def test_a_call_without_one_is_given_one_of_its_own() -> None:
    ids = CallIds(GENERATION)
    made = [ids.of(ToolCall(number, None, "look"), number) for number in range(12)]
    assert all(made)
    assert len(set(made)) == 12
    assert max(len(key or "") for key in made) <= 40, "OpenAI refuses longer ones"


def test_it_follows_from_the_generation() -> None:
    """The same in every format and after a restart; another in another generation."""
    piece = ToolCall(1, None, "look")
    assert CallIds(GENERATION).of(piece, 4) == CallIds(GENERATION).of(piece, 9)
    assert CallIds(GENERATION).of(piece, 4) != CallIds("gen_fff").of(piece, 4)


def test_a_piece_may_be_asked_about_again() -> None:
    """A frame is made again for a reader who could not be written to at once."""
    ids = CallIds(GENERATION)
    first = ids.of(ToolCall(0, None, "look"), 3)
    assert ids.of(ToolCall(0, arguments="{"), 4) is None
    assert ids.of(ToolCall(0, None, "look"), 3) == first


def test_an_id_that_comes_too_late_is_not_told() -> None:
    """Clients join what they are told: two ids would become one that is neither."""
    ids = CallIds(GENERATION)
    assert ids.of(ToolCall(0, None, "look"), 0)
    assert ids.of(ToolCall(0, "call_late"), 1) is None
