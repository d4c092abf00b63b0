"""docs/nodes.md names a test for each fault, and each of these tests is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_security import functions

PAGE = (Path(__file__).parents[2] / "docs/nodes.md").read_text("utf-8")
FAULTS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.partition("## When something fails\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| fault |")
]


def named_in(row: tuple[str, ...]) -> list[str]:
    """The tests of a fault."""
    return re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", row[-1])


def test_there_are_faults() -> None:
    assert len(FAULTS) >= 12


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row[0])
def test_each_of_its_tests_is_there(row: tuple[str, ...]) -> None:
    assert named_in(row)
    for name in named_in(row):
        file, _, test = name.partition("::")
        assert test in functions(file), f"{file} has no {test}"
