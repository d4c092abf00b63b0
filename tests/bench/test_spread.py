"""What several processes cost is measured: it runs, and the figures are of what was written."""

from __future__ import annotations

from bench import nodes, workers
from bench.spread import Cost, Load
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
