"""The public suite and the published client of the Durable Streams Protocol, from npm.

They are pinned in ``conformance/package-lock.json`` and installed at their first use. Node is
found as `tests.aimock` finds it.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.aimock import find_node

__all__ = ["FOLDER", "command", "install"]

FOLDER: Final = Path(__file__).parent / "conformance"


def install() -> None:
    """Install what the lock file names, unless it is there already."""
    wanted = json.loads((FOLDER / "package-lock.json").read_text("utf-8"))["packages"]
    with suppress(FileNotFoundError):
        if all(
            _installed(name) == wanted[name]["version"] for name in wanted if "@durable" in name
        ):
            return
    command = [*find_node().npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)


def command(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of that folder."""
    return [*find_node().node, str(FOLDER / script), *arguments]


def _installed(name: str) -> str:
    held = json.loads((FOLDER / name / "package.json").read_text("utf-8"))
    return str(held["version"])
