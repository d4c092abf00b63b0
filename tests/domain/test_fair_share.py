"""Nobody takes all the places of a stream of somebody else, and the owner may."""

from __future__ import annotations

import pytest

from hub.domain.fair_share import share


@pytest.mark.parametrize("most", [1, 2, 3, 20, 200, 1000])
def test_each_takes_half_of_what_the_others_have_left_until_nothing_is(most: int) -> None:
    taken: list[int] = []
    while sum(taken) < most:
        left = most - sum(taken)
        more = share(most, sum(taken))
        assert 1 <= more <= (left + 1) // 2, "a place for each as long as there is one"
        taken.append(more)
    assert share(most, most) == 0


def test_who_is_alone_keeps_what_it_has_when_others_come() -> None:
    assert share(20, 0) == 10
    assert share(20, 10) == 5
    assert share(20, 15) == 3
