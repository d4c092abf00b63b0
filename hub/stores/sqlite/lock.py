"""The lock file beside the database: one process at a time may use it.

SQLite alone would let a second process write, which the first one's memory would not know of.
The lock is ``flock``'s, so it ends with the process, however that ends. The process id in the
lock file is only for people.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from hub.domain.errors import StoreError

__all__ = ["FileLock", "holder"]

log = logging.getLogger("hub.store")

LOOK_SECONDS: Final = 0.05
"""Between two attempts to take a lock that another process has."""


class FileLock:
    """The right to write the database at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            StoreError: another process has it (``store_locked``), or it cannot be created.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._held = os.open(_beside(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = _process_in(self._held)
            self.release()
            raise StoreError(
                f"{self._path} is in use by another streamhub (process {process}): "
                "stop that one, or name another file in store.url",
                code="store_locked",
            ) from None
        except OSError as error:
            raise StoreError(f"cannot use {self._path}: {error.strerror}") from None
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, f"{os.getpid()}\n".encode(), 0)

    async def wait(self, seconds: float) -> None:
        """Take the lock, waiting up to ``seconds`` for another process to release it.

        Raises:
            StoreError: as `take`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        logged = False
        while True:
            try:
                self.take()
            except StoreError as error:
                if error.code != "store_locked" or loop.time() >= end:
                    raise
            else:
                return
            if not logged:
                logged = True
                process = holder(self._path) or "unknown"
                log.info(
                    "waiting up to %g s for process %s to leave %s", seconds, process, self._path
                )
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - loop.time())))

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


def holder(path: Path) -> str | None:
    """The id of the process that uses the database at ``path``; ``None`` if none does."""
    try:
        lock = os.open(_beside(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process_in(lock)
    finally:
        os.close(lock)
    return None


def _beside(path: Path) -> str:
    return f"{path}.lock"


def _process_in(lock: int | None) -> str:
    written = b"" if lock is None else os.pread(lock, 32, 0)
    return written.decode("ascii", "replace").strip() or "unknown"
