"""What several processes cost is measured: it runs, and the figures are of what was written."""

from __future__ import annotations

import pytest

from bench import nodes, workers
from bench.spread import Cost, Load, compare
from tests.support.redis_server import installed

SMALL = Load(streams=3, rate=100)


def check(cost: Cost) -> None:
    assert min(cost.engine, cost.owner, cost.follower) > 0
    assert 0 < cost.p50 <= cost.p99
    assert cost.rate > 0


def test_a_small_load_on_workers_is_measured() -> None:
    check(workers.measured_once(SMALL, seconds=0.5))


def test_a_small_load_on_nodes_is_measured() -> None:
    program = installed("redis")
    check(nodes.measured_once(SMALL, 0.5, program.path, program.environment))


def test_the_best_run_of_each_load_is_shown_with_what_it_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loads = (SMALL, Load(streams=5, rate=200))
    runs = iter(
        Cost(engine=cpu, owner=1, follower=1, p50=cpu, p99=cpu, rate=100)
        for cpu in (30, 10, 20, 60, 70, 50)
    )

    def slow(load: Load, cost: Cost) -> str:
        return "p50" if cost.p50 > 40 else ""

    assert compare("Redis", loads, 3, lambda load: next(runs), slow) == 1
    shown = capsys.readouterr().out
    assert "Redis µs" in shown
    rows = [line.split() for line in shown.splitlines() if "100" in line]
    assert [row[7] for row in rows] == ["10.0", "50.0"]
    assert ["p50" in row for row in rows] == [False, True]
    assert compare("Redis", [SMALL], 0, lambda load: Cost(1, 1, 1, 1, 1, 1), slow) == 0
