"""Leases end for hubs that do not renew them, and for nobody because the coordinator was away."""

from __future__ import annotations

import pytest

from hub.stores.coordinator.nodes import FIRST_LEASE, Nodes


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nodes(clock: Clock) -> Nodes:
    return Nodes(clock)


def test_a_lease_that_is_over_is_given_to_one_at_a_time(nodes: Nodes, clock: Clock) -> None:
    for node in "abc":
        assert nodes.renew(node, 1.0) == []
    for _ in range(3):
        clock.now += 0.3
        assert nodes.renew("b", 1.0) == nodes.renew("c", 1.0) == []
    clock.now += 0.2
    assert (nodes.renew("b", 1.0), nodes.renew("c", 1.0)) == (["a"], [])
    for _ in range(3):
        clock.now += 0.3
        assert nodes.renew("c", 1.0) == []
    clock.now += 0.2
    assert sorted(nodes.renew("c", 1.0)) == ["a", "b"]
    assert nodes.forget("a")


@pytest.mark.parametrize("pause", [0.6, 0.75, 0.99, 1.01])
def test_a_coordinator_that_stood_still_for_about_a_lease_ends_nobody(
    nodes: Nodes, clock: Clock, pause: float
) -> None:
    nodes.renew("a", 1.0)
    clock.now += 0.25
    nodes.renew("b", 1.0)
    clock.now += pause
    assert nodes.renew("b", 1.0) == []
    clock.now += 0.25
    assert nodes.renew("b", 1.0) == []
    assert nodes.renew("a", 1.0) == []


def test_a_hub_that_always_renews_late_ends_a_dead_one_all_the_same(
    nodes: Nodes, clock: Clock
) -> None:
    nodes.renew("a", 1.0)
    nodes.renew("b", 1.0)
    ended = []
    for _ in range(9):
        clock.now += 0.9
        ended += nodes.renew("b", 1.0)
    assert "a" in ended


def test_a_coordinator_that_stood_still_ends_nobody(nodes: Nodes, clock: Clock) -> None:
    nodes.renew("a", 1.0)
    nodes.renew("b", 1.0)
    clock.now += 5.0
    assert nodes.renew("a", 1.0) == []
    clock.now += 0.5
    assert nodes.renew("b", 1.0) == []


def test_whoever_is_only_known_by_a_generation_has_a_while(nodes: Nodes, clock: Clock) -> None:
    nodes.enlist("dead", "s", "g")
    for _ in range(round(2 * FIRST_LEASE)):
        assert nodes.renew("a", 1.5) == []
        clock.now += 0.5
    clock.now += 0.1
    assert nodes.renew("a", 1.5) == ["dead"]
    assert nodes.runs("dead") == [("s", "g")]
    assert not nodes.forget("dead")
    nodes.strike("dead", "s", "g")
    nodes.strike("dead", "s", "g")
    assert nodes.forget("dead")
    assert nodes.runs("dead") == []
