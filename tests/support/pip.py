"""Packages from PyPI whose requirements are at odds with those of the hub and its tests.

Each set of them has a virtual environment of its own inside the one that runs the tests. Its
requirements are pinned in a file, and installed at their first use, or all of them before it by
``python -m tests.support.pip``.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

__all__ = ["OPENAI_2", "OPENAI_3", "TOOLS", "Environment", "main"]

_TESTS: Final = Path(__file__).parents[1]


class Environment:
    """A virtual environment called ``name`` with what a file of requirements pins."""

    def __init__(self, name: str, requirements: Path) -> None:
        self._requirements = requirements
        self._where = Path(sys.prefix) / name

    def install(self) -> None:
        """Install what the file names, unless it is there already.

        Raises:
            AssertionError: it cannot be installed, which takes a network; pip says why.
        """
        self._where.mkdir(exist_ok=True)
        installed = self._where / "requirements.txt"
        with (self._where / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            required = self._requirements.read_text("utf-8")
            if installed.is_file() and installed.read_text("utf-8") == required:
                return
            venv.create(self._where, with_pip=True)
            quiet = ("--quiet", "--disable-pip-version-check")
            file = ("--requirement", str(self._requirements))
            asked = [*self.command("-m", "pip"), "install", *quiet, *file]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            said = f"{self._where.name} could not be installed: {done.stderr[-2000:]}"
            assert done.returncode == 0, said
            installed.write_text(required, "utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command that runs Python with what is installed there."""
        return [str(self._where / "bin" / "python"), *arguments]


TOOLS: Final = Environment("tools", _TESTS / "tools" / "requirements.txt")
"""Tools that read the OpenAPI document: schemathesis is a plugin of pytest, and the generator of
clients brings its own ruff."""

OPENAI_2: Final = Environment("openai-2", _TESTS / "clients" / "environments" / "openai-2.txt")
"""Clients that cannot be installed beside a current openai-python 3: llama-index, instructor."""

OPENAI_3: Final = Environment("openai-3", _TESTS / "clients" / "environments" / "openai-3.txt")
"""Clients that need openai-python 3, or work with it: pydantic-ai, litellm."""


def main() -> None:
    """Install all of it, before the first test has to wait for it."""
    for environment in (TOOLS, OPENAI_2, OPENAI_3):
        environment.install()


if __name__ == "__main__":
    main()
