"""Fault C8: ``import hub.events`` loaded 646 modules, among them a server and a database.

What each module may load is in `tests.test_imports`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from tests.support.patience import PATIENCE

MOST: Final = 250
"""Modules besides those of a bare interpreter; 63 when this was written."""

COUNT: Final = """
import sys
before = len(sys.modules)
import {0}
print(len(sys.modules) - before, *sorted({{"aiohttp", "apsw", "asyncio"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("module", ["hub.domain.events", "hub.domain.errors"])
def test_an_import_of_the_events_loads_little(module: str) -> None:
    script = COUNT.format(module)
    count, *unwanted = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=PATIENCE
    ).stdout.split()
    assert int(count) < MOST
    assert unwanted == []
