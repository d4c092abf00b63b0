"""Whatever is taken and given back, the sums are right, and nobody takes everything."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import LimitExceeded
from hub.domain.memory_budget import SMALL, MemoryBudget, parsed_size, request_size
from tests.support.strategies import quick

CALLERS = st.sampled_from([None, "ann", "bob"])
STEPS = st.lists(st.tuples(st.integers(0, 60), CALLERS, st.booleans()), max_size=40)


@quick
@given(STEPS)
def test_sums_are_those_of_what_is_held(steps: list[tuple[int, str | None, bool]]) -> None:
    budget = MemoryBudget(100)
    held: list[tuple[int, str | None]] = []
    for size, caller, give in steps:
        if give and held:
            budget.give(*held.pop(size % len(held)))
        else:
            with suppress(LimitExceeded):
                budget.take(size, caller)
                held.append((size, caller))
        sums: Counter[str | None] = Counter()
        for taken, by in held:
            sums[by] += taken
        assert budget.held == sums.total() <= 100
        for name in ("ann", "bob"):
            assert budget.held_by(name) == sums[name] <= budget.share == 80
    for one in held:
        budget.give(*one)
    assert budget.held == budget.held_by("ann") == budget.held_by("bob") == 0


def test_what_was_taken_for_a_block_is_given_back_after_an_error() -> None:
    budget = MemoryBudget(100)

    def fail() -> None:
        with budget.taken(50, "ann"):
            assert budget.held_by("ann") == 50
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert budget.held == budget.held_by("ann") == 0


def test_small_requests_take_nothing() -> None:
    assert request_size(b"x" * SMALL) == 0
    assert request_size(b"x" * (SMALL + 1)) == parsed_size(b"x" * (SMALL + 1)) > SMALL
