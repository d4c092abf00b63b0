"""The measurement of several processes: it runs, and its figures are of what was written."""

from __future__ import annotations

from bench.workers import Load, measured


def test_a_small_load_is_measured() -> None:
    cost = measured(Load(streams=3, rate=100), seconds=0.5)
    assert min(cost.coordinator, cost.owner, cost.follower) > 0
    assert 0 < cost.p50 <= cost.p99
    assert cost.rate > 0
