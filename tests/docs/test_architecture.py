"""`docs/architecture.md` is about the code as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def packages() -> set[str]:
    """What lies in ``hub/``, but for the places of old names."""
    folders = {path.parent.name + "/" for path in (ROOT / "hub").glob("*/__init__.py")}
    return folders | {"app.py", "hub.py"}


def test_its_table_has_every_package() -> None:
    table = PAGE[PAGE.index("## Packages") : PAGE.index("## The path of a chunk")]
    assert set(re.findall(r"^\| `([a-z_./]+)` \|", table, re.MULTILINE)) == packages()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`((?:hub|tests|bench)/[\w./]*)`", PAGE))))
def test_every_place_that_it_names_is_there(named: str) -> None:
    assert (ROOT / named).exists()


def test_its_contents_lead_to_its_headings() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    anchors = [heading.lower().replace(",", "").replace(" ", "-") for heading in headings]
    assert re.findall(r"^- \[.+\]\(#(.+)\)$", PAGE, re.MULTILINE) == anchors
