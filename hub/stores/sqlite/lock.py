"""One process at a time has the file, by a lock beside it.

SQLite alone would let a second process write in between, which the first one's memory does
not know of. The lock is ``flock``'s: it goes with the process, however that ends, and the
number in the lock file is only for people.
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
"""How often it is looked whether a process that had the lock has gone."""


class FileLock:
    """The right to write the database at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def take(self) -> None:
        """Have it from now on.

        Raises:
            StoreError: another process has it (``store_locked``), or there can be none here.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._held = os.open(_beside(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            has_it = _written_in(self._held)
            self.let_go()
            raise StoreError(
                f"{self._path} is in use by another streamhub (process {has_it}): "
                "stop that one, or name another file in store.url",
                code="store_locked",
            ) from None
        except OSError as error:
            raise StoreError(f"cannot use {self._path}: {error.strerror}") from None
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, f"{os.getpid()}\n".encode(), 0)

    async def wait(self, seconds: float) -> None:
        """Have it from now on, once the process that has it has gone, so many seconds at most.

        Raises:
            StoreError: as `take`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        told = False
        while True:
            try:
                self.take()
            except StoreError as error:
                if error.code != "store_locked" or loop.time() >= end:
                    raise
            else:
                return
            if not told:
                told = True
                has_it = holder(self._path) or "unknown"
                log.info(
                    "waiting %g s at most for process %s to leave %s", seconds, has_it, self._path
                )
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - loop.time())))

    def let_go(self) -> None:
        """Have it no more."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def holder(path: Path) -> str | None:
    """The number of the process that has the database at ``path`` now; ``None`` if none has."""
    try:
        looked = os.open(_beside(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(looked, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written_in(looked)
    finally:
        os.close(looked)
    return None


def _beside(path: Path) -> str:
    return f"{path}.lock"


def _written_in(lock: int | None) -> str:
    written = b"" if lock is None else os.pread(lock, 32, 0)
    return written.decode("ascii", "replace").strip() or "unknown"
