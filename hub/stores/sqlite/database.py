"""Connections to the database file, as all parts of the store open them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import apsw

from hub.domain.errors import StoreError

__all__ = ["BUSY_MS", "FOREVER", "heed_interrupts", "open_read_only", "open_read_write"]

BUSY_MS: Final = 5000

FOREVER: Final = 2**62
"""An offset after all others."""

STEPS: Final = 100_000
"""SQLite instructions between two chances for Ctrl-C: about a millisecond."""


def open_read_only(path: Path) -> apsw.Connection:
    """A connection for reading, also while a hub writes.

    Raises:
        apsw.Error: the file does not exist or cannot be opened.
    """
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    database.set_busy_timeout(BUSY_MS)
    return database


def open_read_write(path: Path, sync: Literal["full", "normal"] = "full") -> apsw.Connection:
    """The connection for writing, in WAL mode; creates the file if there is none.

    Raises:
        StoreError: the file cannot be created.
        apsw.Error: it cannot be opened, or is no database.
    """
    try:
        # SQLite would make it readable for others; its other files take the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror}") from None
    database = apsw.Connection(str(path))
    try:
        database.set_busy_timeout(BUSY_MS)
        database.pragma("journal_mode", "wal")
        database.pragma("synchronous", sync)
    except BaseException:
        database.close()
        raise
    return database


def heed_interrupts(database: apsw.Connection) -> None:
    """Let Ctrl-C end a long statement: Python notices it only between its own steps."""
    database.set_progress_handler(lambda: False, STEPS)
