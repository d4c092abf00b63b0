"""docs/security.md names a test for each threat, and each of these tests is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

THREATS = (ROOT / "docs/security.md").read_text("utf-8").partition("## Threats\n")[2]
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in THREATS.partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| threat |")
]


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_there_are_threats() -> None:
    assert len(ROWS) >= 80


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_of_its_tests_is_there(row: tuple[str, ...]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])
    assert named
    for file, test in named:
        assert test in functions(file), f"{file} has no {test}"
