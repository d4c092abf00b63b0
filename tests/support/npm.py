"""The public suite and the published client of the Durable Streams Protocol, from npm.

They are pinned in ``conformance/package-lock.json`` and installed at their first use, or with
all other packages by ``python -m tests.support.npm``. Node is found as `web.node` finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from web import node
from web.build import WEB

__all__ = ["FOLDER", "command", "install", "main"]

FOLDER: Final = Path(__file__).parents[1] / "conformance"


def install() -> None:
    """Install what the lock file names, unless it is there already."""
    node.install(FOLDER)


def main() -> None:
    """Install all packages that tests use, before the first of them has to wait for it."""
    for folder in (FOLDER.parent, FOLDER, FOLDER.parent / "openid", WEB):
        node.install(folder)


def command(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of that folder."""
    return [*node.find_node().node, str(FOLDER / script), *arguments]


if __name__ == "__main__":
    main()
