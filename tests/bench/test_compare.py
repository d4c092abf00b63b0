"""The comparison of two checkouts measures both alike, and says which is which."""

from __future__ import annotations

import pytest

from bench import compare
from bench.peers import HUB_SSE
from bench.plan import Load
from bench.process import PROJECT


async def test_every_figure_is_measured_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "FOLLOWERS", (HUB_SSE,))
    monkeypatch.setattr(compare, "MEMORY_ROUNDS", 1)
    monkeypatch.setattr(compare, "BASELINE", 1)
    monkeypatch.setattr(compare, "CONNECTIONS", 3)
    monkeypatch.setattr(compare, "LOADS", (Load("load", rate=10, burst=2, seconds=0.2, ahead=1),))
    monkeypatch.setattr(compare, "RELAYED", {"quick": (10, 0, 5)})
    found = await compare.compare({"other": PROJECT, "this": PROJECT}, rounds=1)
    assert set(found) == {
        "KiB of an idle connection, Streamhub, SSE",
        "µs a delivery, load, Streamhub, SSE",
        "µs a relayed chunk, quick",
        "µs an append over HTTP",
        *(f"µs a record replayed, {title}" for title in compare.READS),
    }
    for title, held in found.items():
        assert {side: len(values) for side, values in held.items()} == {"other": 1, "this": 1}
        if "KiB" not in title:
            assert min(held["other"] + held["this"]) > 0, title


def test_the_table_has_the_least_and_the_median() -> None:
    made = compare.table({"cost": {"other": [4.0, 2.0, 3.0], "this": [3.0, 9.0, 6.0]}})
    cells = [list(column.cells) for column in made.columns]
    assert cells == [["cost"], ["2.00"], ["3.00"], ["1.500"], ["3.00"], ["6.00"], ["2.000"]]
