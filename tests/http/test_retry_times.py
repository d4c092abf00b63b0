"""When clients are told to come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.http.retry_times import AWAY_MS, LOST_MS, WAIT_SECONDS, lost, moments, wait
from tests.support.strategies import quick


@quick
@given(st.integers(0, 2000))
def test_as_many_moments_as_clients_each_another_and_all_within_bounds(count: int) -> None:
    found = moments(count)
    assert len(found) == len(set(found)) == count
    assert all(AWAY_MS[0] <= one < AWAY_MS[1] for one in found)
    step = (AWAY_MS[1] - AWAY_MS[0]) / max(count, 1)
    for place, one in enumerate(sorted(found)):
        assert place * step - 1 <= one - AWAY_MS[0] <= (place + 1) * step, "evenly"


def test_more_clients_than_moments_are_spread_too() -> None:
    found = moments(20_000)
    assert len(found) == 20_000
    assert max(found.count(one) for one in set(found[:50])) <= 10
    assert all(AWAY_MS[0] <= one < AWAY_MS[1] for one in found)


def test_one_by_one_they_are_random_within_bounds() -> None:
    for draw, bounds in ((lost, LOST_MS), (wait, WAIT_SECONDS)):
        drawn = {draw() for _ in range(300)}
        assert bounds[0] <= min(drawn) <= max(drawn) <= bounds[1]
        assert len(drawn) > 2
