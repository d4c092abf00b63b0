"""Fields of a reply that go back to its provider."""

from __future__ import annotations

from hub.domain.provider_fields import placed
from tests.support.operations import operations


def test_a_field_stays_while_all_calls_before_it_are_left() -> None:
    fields = [{"n": n, "at": {"calls": n}} for n in range(4)]
    assert placed(fields, [0, 1, 2]) == fields
    assert placed(fields, [2, 0]) == fields[:2]
    assert placed(fields, []) == fields[:1]


def test_no_field_costs_a_walk_over_the_calls() -> None:
    fields = [{"at": {"calls": 10**9}}] * 100
    few, many = range(10), range(1_000)
    assert operations(lambda: placed(fields, many)) == operations(lambda: placed(fields, few))
