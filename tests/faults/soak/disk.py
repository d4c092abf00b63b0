"""A disk that can be full, and one that can be slow."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

__all__ = ["Disk", "can_trace", "slow"]

SIZE: Final = 1024 * 1024 * 1024


class Disk:
    """A folder, of a small disk of its own where that may be mounted, which needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = False
        self._ballast = folder / "ballast"

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.folder)]
        self.own = not subprocess.run(command, capture_output=True).returncode
        try:
            yield
        finally:
            if self.own:
                subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave no space."""
        with self._ballast.open("wb") as ballast:
            left = shutil.disk_usage(self.folder).free
            while left >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), left)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    left //= 2

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)


def can_trace() -> bool:
    """There is an strace, and it may trace: a container may forbid it."""
    if shutil.which("strace") is None:
        return False
    return not subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode


@contextlib.asynccontextmanager
async def slow(pid: int, seconds: float) -> AsyncIterator[None]:
    """Each ``fsync`` of a process takes so long. It may be killed meanwhile."""
    calls = "fsync,fdatasync"
    delay = f"inject={calls}:delay_enter={int(seconds * 1_000_000)}"
    command = ["-f", "-qq", "-e", f"trace={calls}", "-e", delay, "-o", os.devnull, "-p", str(pid)]
    tracer = await asyncio.create_subprocess_exec(
        "strace", *command, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.send_signal(signal.SIGINT)  # it lets go of the hub
        await tracer.wait()
