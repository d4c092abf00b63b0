"""No two timelines have one number, and no number is lower than one that somebody has seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.stores.redis.incarnations import Incarnation, Timeline, present

IDS = st.sampled_from(["a", "b"])
TIMELINES = st.builds(Timeline, IDS, IDS)
NUMBERS = st.integers(0, 50)
STORED = st.none() | st.builds(Incarnation, NUMBERS, NUMBERS, TIMELINES)


@given(STORED, TIMELINES, NUMBERS, NUMBERS)
def test_a_new_one_is_higher_than_all_that_is_known(
    stored: Incarnation | None, timeline: Timeline, known: int, now: int
) -> None:
    found = present(stored, timeline, known, now)
    assert found.timeline == timeline
    assert found.number >= known
    if found != stored:
        assert found.number > max(known, 0 if stored is None else stored.number)
        assert found.since == now <= found.number


@given(STORED, TIMELINES, NUMBERS, NUMBERS)
def test_all_who_come_later_find_the_same(
    stored: Incarnation | None, timeline: Timeline, known: int, now: int
) -> None:
    found = present(stored, timeline, known, now)
    assert present(found, timeline, found.number, now + 1000) == found
    assert present(found, timeline, 0, now + 1000) == found


def test_a_server_that_was_emptied_begins_another() -> None:
    timeline = Timeline("a", "b")
    first = present(None, timeline, 0, 1000)
    assert present(None, timeline, first.number, 1000).number == first.number + 1


def test_a_start_or_a_promotion_begins_another() -> None:
    first = present(None, Timeline("a", "b"), 0, 1000)
    for timeline in (Timeline("c", "b"), Timeline("a", "c")):
        later = present(first, timeline, 0, 900)
        assert (later.number, later.since) == (1001, 900), "also if the clock went back"


@given(st.builds(Incarnation, NUMBERS, NUMBERS, TIMELINES))
def test_one_comes_back_as_text(one: Incarnation) -> None:
    assert Incarnation.parse(str(one)) == one
