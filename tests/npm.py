"""The public suite and the published client of the Durable Streams Protocol, from npm.

They are pinned in ``conformance/package-lock.json`` and installed at their first use. Node is
found as `web.node` finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from web import node

__all__ = ["FOLDER", "command", "install"]

FOLDER: Final = Path(__file__).parent / "conformance"


def install() -> None:
    """Install what the lock file names, unless it is there already."""
    node.install(FOLDER)


def command(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of that folder."""
    return [*node.find_node().node, str(FOLDER / script), *arguments]
