"""Plain text in whole characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.framing import Text
from tests.support.cut_bodies import byte_by_byte, cuttings, outcome, written_with

BROKEN = written_with(
    *(b"a", "é".encode(), "中".encode(), "😀".encode(), b"\xef\xbb\xbf", b"\xff", b"\xc3"),
    *(b"\xe4\xb8", b"\xf0\x9f\x98", b"\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"),
)


@given(cut=cuttings(BROKEN | st.binary() | st.text().map(str.encode)), limit=st.integers(4, 9))
def test_any_cutting_gives_the_same_text_in_whole_characters(
    cut: tuple[bytes, list[bytes]], limit: int
) -> None:
    """The text is the one that decoding the whole body gives, broken bytes as U+FFFD."""
    body, reads = cut
    expected = body.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    for pieces in ([body], reads, byte_by_byte(body)):
        found = outcome(Text(limit), pieces)
        assert "".join(data.decode() for data in found.data) == expected
        assert all(1 <= len(data) <= limit for data in found.data)
        assert found.code is None


def test_what_is_whole_is_given_at_once() -> None:
    framing = Text()
    assert [chunk.data for chunk in framing.feed("né".encode()[:2])] == [b"n"]
    assert [chunk.data for chunk in framing.feed("é!".encode()[1:])] == ["é!".encode()]


def test_a_character_cut_off_at_the_end_is_shown_as_one_replacement() -> None:
    found = outcome(Text(), ["ab😀".encode()[:-1]])
    assert b"".join(found.data).decode() == "ab\ufffd"


def test_a_limit_below_one_character_still_gives_characters() -> None:
    assert b"".join(outcome(Text(1), ["😀é".encode()]).data).decode() == "😀é"
