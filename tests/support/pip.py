"""Tools from PyPI that read the OpenAPI document, in an environment of their own.

What they need is at odds with what the hub and its tests do: schemathesis is a plugin of pytest,
and the generator of clients brings its own ruff. They are pinned in ``tools/requirements.txt`` and
installed at their first use, or before it by ``python -m tests.support.pip``.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

__all__ = ["TOOLS", "command", "install", "main"]

TOOLS: Final = Path(__file__).parents[1] / "tools"
_REQUIRED: Final = TOOLS / "requirements.txt"
_WHERE: Final = Path(sys.prefix) / "tools"
_INSTALLED: Final = _WHERE / "requirements.txt"


def install() -> None:
    """Install what the file names, unless it is there already.

    Raises:
        AssertionError: it cannot be installed, which takes a network; pip says why.
    """
    _WHERE.mkdir(exist_ok=True)
    with (_WHERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        required = _REQUIRED.read_text("utf-8")
        if _INSTALLED.is_file() and _INSTALLED.read_text("utf-8") == required:
            return
        venv.create(_WHERE, with_pip=True)
        quiet = ("--quiet", "--disable-pip-version-check")
        asked = [*command("pip"), "install", *quiet, "--requirement", str(_REQUIRED)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"the tools could not be installed: {done.stderr[-2000:]}"
        _INSTALLED.write_text(required, "utf-8")


def command(module: str) -> list[str]:
    """The command that runs a module with what is installed there."""
    return [str(_WHERE / "bin" / "python"), "-m", module]


def main() -> None:
    """Install all of it, before the first test has to wait for it."""
    install()


if __name__ == "__main__":
    main()
