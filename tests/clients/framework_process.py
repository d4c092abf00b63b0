"""The frameworks of ``frameworks.py``, each in one process of the environment that has it.

The process stays until the tests end: to import a framework takes longer than all its questions.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE
from tests.support.pip import OPENAI_2, OPENAI_3

__all__ = ["FRAMEWORKS", "ask_framework"]

FRAMEWORKS: Final = {
    "pydantic-ai": OPENAI_3,
    "litellm": OPENAI_3,
    "llama-index": OPENAI_2,
    "instructor": OPENAI_2,
}
"""Which environment has it."""

_SCRIPT: Final = Path(__file__).parent / "frameworks.py"


async def ask_framework(
    client: str, asks: list[dict[str, Any]], *, together: bool = False
) -> list[dict[str, Any]]:
    """What a framework makes of each answer; asks and answers are as ``frameworks.py`` says.

    Raises:
        AssertionError: its process ended, or did not answer in time; with what it said.
    """
    if client not in _processes:
        _processes[client] = await asyncio.to_thread(_Process, client)
    asking = asyncio.to_thread(_processes[client].ask, {"asks": asks, "together": together})
    try:
        return await asyncio.wait_for(asking, PATIENCE)
    except TimeoutError:
        process = _processes.pop(client)
        process.end()  # so that the thread ends too
        raise AssertionError(f"{client} does not answer: {process.said()}") from None


class _Process:
    def __init__(self, client: str) -> None:
        environment = FRAMEWORKS[client]
        environment.install()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self._process = subprocess.Popen(
            environment.command(str(_SCRIPT), client),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        atexit.register(self.end)

    def ask(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # then there is no line either
            self._process.stdin.write(json.dumps(given).encode() + b"\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.said()
        found: list[dict[str, Any]] = json.loads(line)
        return found

    def said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


_processes: Final[dict[str, _Process]] = {}
