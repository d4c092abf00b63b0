"""The README gives a reason for each dependency in pyproject.toml and in web/package.json."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PAGE = json.loads((ROOT / "web/package.json").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")
TABLE = README.split("## Dependencies")[1]


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[\[<>=; ]", one)[0] for one in requirements]


DECLARED = sorted(
    {*names(PROJECT["dependencies"])}.union(
        *(names(extra) for extra in PROJECT["optional-dependencies"].values()),
        PAGE["dependencies"],
        PAGE["devDependencies"],
    )
)


@pytest.mark.parametrize("name", DECLARED)
def test_each_has_its_reason(name: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", TABLE, re.IGNORECASE)
