"""Processes that begin without an interpreter's start: see `tests.support.nursery`.

For whoever needs a hub in a process of its own, and does not test how it is started::

    hub = Forked("hub.cli:main", "serve", "--port", "0", stderr=log.fileno())
    hub.send_signal(signal.SIGTERM)
    assert await hub.ended() == 0
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import orjson

from tests.support.patience import PATIENCE
from tests.support.processes import environ

__all__ = ["Command", "Forked"]

HERE: Final = Path(__file__).parents[2]


class Forked:
    """A process that calls a function, ``module:name``, which finds its arguments in `sys.argv`.

    ``output`` and ``errors`` are the numbers of open files; the environment is that of `environ`
    if none is given.
    """

    def __init__(
        self,
        function: str,
        *arguments: str,
        output: int | None = None,
        errors: int | None = None,
        env: Mapping[str, str] | None = None,
        folder: Path = HERE,
    ) -> None:
        asked = {
            "function": function,
            "arguments": arguments,
            "environ": environ() if env is None else env,
            "folder": str(folder),
        }
        self._line, theirs = socket.socketpair()
        self._heard = b""
        self._pid = 0
        with theirs, Path(os.devnull).open("r+b") as nothing:
            void = nothing.fileno()
            files = [void if file is None else file for file in (void, output, errors)]
            socket.send_fds(_nursery(), [b"+"], [theirs.fileno(), *files])
        self._line.sendall(orjson.dumps(asked) + b"\n")
        self._ended: int | None = None

    @property
    def pid(self) -> int:
        while not self._pid:
            self._hear(self._line.recv(64))
        return self._pid

    @property
    def returncode(self) -> int | None:
        """How it ended, if it has: its exit code, or less than 0 for a signal."""
        if self._ended is None:
            with contextlib.suppress(BlockingIOError):
                self._hear(self._line.recv(64, socket.MSG_DONTWAIT))
        return self._ended

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended; how it did."""
        while self._ended is None:
            self._hear(self._line.recv(64))
        return self._ended

    async def ended(self) -> int:
        """Wait until it has ended; how it did."""
        async with asyncio.timeout(PATIENCE):
            while (code := self.returncode) is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it, unless the process has ended."""
        pid = self.pid
        if self.returncode is None:
            os.kill(pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _hear(self, more: bytes) -> None:
        """Its number comes first, and at last how it ended."""
        assert more, "the nursery has died"
        self._heard += more
        pid, told, rest = self._heard.partition(b"\n")
        if told:
            self._pid = int(pid)
        if rest.endswith(b"\n"):
            self._ended = int(rest)
            self._line.close()


class Command:
    """``streamhub`` with some words, as a forked process, and what it writes."""

    def __init__(self, *words: str, folder: Path) -> None:
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - `ended` does it
        output, errors = (file.fileno() for file in self._files)
        self._process = Forked("hub.cli:main", *words, output=output, errors=errors, folder=folder)

    def ended(self) -> tuple[int, str, str]:
        """Wait until it has; its exit code, its output and its errors."""
        code = self._process.wait()
        said = []
        for file in self._files:
            with file:
                file.seek(0)
                said.append(file.read().decode())
        return code, said[0], said[1]


@cache
def _nursery() -> socket.socket:
    """The one of this process, for as long as it lives."""
    ours, theirs = socket.socketpair()
    with theirs:
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environ(),
            cwd=HERE,
            pass_fds=[theirs.fileno()],
        )

    @atexit.register
    def end() -> None:
        ours.close()
        running.wait()

    # What it imports first takes a busy machine longer than the start of a hub may take.
    assert ours.recv(1), "the nursery has died"
    return ours
