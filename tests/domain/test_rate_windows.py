"""Sliding windows: never too many, and never told to wait in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain import rate_windows
from hub.domain.rate_windows import SECONDS, RateWindows
from hub.domain.untold import Untold

PAUSES = st.lists(
    st.floats(0, 200) | st.floats(0, 1) | st.sampled_from([0.0, 30.0, 59.999, 60.0, 120.0]),
    min_size=1,
    max_size=80,
)
MOST = st.integers(1, 12) | st.sampled_from([600, 10**6])


def weighted(hits: list[float], now: float) -> float:
    """What counts at one time, from the hits themselves."""
    minute, passed = divmod(now, SECONDS)
    return sum(
        1.0 if hit // SECONDS == minute else 1 - passed / SECONDS
        for hit in hits
        if hit // SECONDS in (minute, minute - 1)
    )


@given(MOST, st.floats(0, 10**9), PAUSES)
def test_never_more_than_most_count_and_whoever_waits_as_told_is_let_in(
    most: int, start: float, pauses: list[float]
) -> None:
    windows, now, hits = RateWindows(most), start, list[float]()
    for pause in pauses:
        now += pause
        free = weighted(hits, now) + 1 <= most + 1e-4
        wait = windows.hit("ann", now)
        if wait == 0:
            hits.append(now)
            assert weighted(hits, now) <= most + 1e-4
            continue
        assert not (free and weighted(hits, now) + 1 <= most - 1e-4), "there was room"
        assert 0 < wait <= 2 * SECONDS
        now += wait
        assert windows.hit("ann", now) == 0, (most, wait)
        hits.append(now)
        assert weighted(hits, now) <= most + 1e-4


@given(st.integers(1, 10), st.floats(0, 10**6), st.data())
def test_the_wait_is_not_longer_than_needed(most: int, start: float, data: st.DataObject) -> None:
    windows, now = RateWindows(most), start
    while (wait := windows.hit("ann", now)) == 0:
        now += data.draw(st.floats(0, 2))
    assert windows.hit("ann", now + wait * 0.99 - 0.01) > 0 or wait < 0.02


def test_rounding_makes_nobody_wait_twice() -> None:
    """A wait that ends, in floating-point numbers, a hair too early."""
    windows, now = RateWindows(7), 861008.9
    for pause in (7.3, 0.0, 0.0, 0.0, 0.0, 30.0, 0.0, 7.3):
        now += pause
        now += (wait := windows.hit("ann", now))
        assert not wait or windows.hit("ann", now) == 0
    now += 0.1
    wait = windows.hit("ann", now)
    assert wait == pytest.approx(8.4714, abs=0.001)
    assert windows.hit("ann", now + wait) == 0


def test_a_whole_minute_has_room_for_most() -> None:
    windows = RateWindows(3)
    assert [windows.hit("ann", 6.0) for _ in range(3)] == [0, 0, 0]
    # In the next minute, these three fade: one third is gone after 20 seconds.
    assert windows.hit("ann", 10.0) == pytest.approx(50 + 20)
    assert windows.hit("ann", 79.9) == pytest.approx(0.1)
    assert windows.hit("ann", 80.0) == 0
    assert windows.hit("ann", 80.0) == pytest.approx(20)
    assert windows.hit("ann", 180.0) == 0


def test_what_is_refused_is_not_counted() -> None:
    windows = RateWindows(1)
    assert windows.hit("ann", 0.0) == 0
    assert all(windows.hit("ann", 1.0) > 0 for _ in range(100))
    assert windows.hit("ann", 120.0) == 0


def test_each_name_has_a_count_of_its_own() -> None:
    windows = RateWindows(1)
    assert windows.hit("ann", 0.0) == 0
    assert windows.hit("bob", 0.0) == 0
    assert windows.hit("ann", 0.0) > 0


def test_memory_is_bounded_and_whoever_insists_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_windows, "NAMES", 10)
    windows = RateWindows(1)
    assert windows.hit("ann", 0.0) == 0
    for number in range(100):
        assert windows.hit(str(number), 0.0) == 0
        assert windows.hit("ann", 0.0) > 0
    assert len(windows) == 10


def test_what_others_have_counted_counts_here_and_they_are_told_of_the_rest() -> None:
    windows = RateWindows(10)
    windows.untold = untold = Untold(lambda: None)
    windows.hear({"ann": 7, "bob": 1}, 0.0)
    assert [windows.hit("ann", 1.0) for _ in range(3)] == [0, 0, 0]
    assert windows.hit("ann", 1.0) > 0
    assert windows.hit("bob", 1.0) == 0
    windows.spend("bob", 4, 1.0)
    assert untold.take() == {"ann": 3, "bob": 5}


def test_more_than_may_be_counted_makes_its_name_wait_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several hubs may let in so many before they hear of each other."""
    windows = RateWindows(10)
    windows.hear({"ann": 40}, 0.0)
    wait = windows.hit("ann", 0.0)
    assert wait > 60 + 40
    assert windows.hit("ann", wait + 0.1) == 0
    monkeypatch.setattr(rate_windows, "NAMES", 10)
    windows.hear({str(number): 1 for number in range(100)}, 0.0)
    assert len(windows) == 10
