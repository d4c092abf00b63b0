"""The health of the file and of the SQLite that reads it.

The bug that `wal_is_safe` is about: two connections that write or checkpoint at the same
moment could, very rarely, lose committed pages or damage the file in WAL mode. SQLite had it
from 3.7.0 to 3.51.2; 3.51.3 and all later releases have the fix, and so have 3.50.7 and later
of 3.50, and 3.44.6 and later of 3.44 (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from hub.domain.errors import StoreError
from hub.stores.sqlite.errors import explaining

__all__ = ["damage", "sqlite_version", "wal_is_safe"]

STEPS: Final = 100_000
"""SQLite's instructions between two chances for Ctrl-C: about a millisecond."""

_FIXED: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first release of each line with the fix; the first one's goes on to all later lines."""


def sqlite_version() -> str:
    """The SQLite in use: the one that came with apsw, not the machine's."""
    return apsw.sqlite_lib_version()


def wal_is_safe(version: str) -> bool:
    """Whether a release of SQLite has the fix of the WAL-reset bug."""
    number = tuple(int(part) for part in version.split("."))
    newest, *branches = _FIXED
    return number >= newest or any(
        number[:2] == branch[:2] and number >= branch for branch in branches
    )


def damage(path: Path) -> str | None:
    """What SQLite's ``quick_check`` finds wrong in the file, first thing first; ``None`` if sound.

    It reads all of the file; a hub may run on it.

    Raises:
        StoreError: it cannot be read, for another reason than damage.
    """
    try:
        with explaining(path):
            database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                database.set_busy_timeout(5000)
                # Python looks for Ctrl-C only between its own steps.
                database.set_progress_handler(lambda: False, STEPS)
                found = str(database.execute("PRAGMA quick_check(1)").get)
            finally:
                database.close()
    except StoreError as error:
        if error.code != "store_corrupt":
            raise
        return "it is no SQLite database, or its first pages are damaged"
    return None if found == "ok" else found.splitlines()[-1]
