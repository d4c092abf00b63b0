"""Checks of the file and of the SQLite that reads it.

`wal_is_safe` is about SQLite's WAL-reset bug: in WAL mode, two connections that write or
checkpoint at the same moment could, very rarely, lose committed pages or damage the file. SQLite
had it from 3.7.0 to 3.51.2. It is fixed in 3.51.3 and later, in 3.50 from 3.50.7 on, and in 3.44
from 3.44.6 on (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from hub.domain.errors import StoreError
from hub.stores.sqlite.database import heed_interrupts, open_read_only
from hub.stores.sqlite.errors import explaining

__all__ = ["damage", "sqlite_version", "wal_is_safe"]

_FIXED: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first fixed release of each branch; all releases after the first entry are fixed."""


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
    """The first error that SQLite's ``quick_check`` finds in the file; ``None`` if it finds none.

    It reads the whole file; a hub may run on it.

    Raises:
        StoreError: the file cannot be read for another reason than damage.
    """
    try:
        with explaining(path), closing(open_read_only(path)) as database:
            heed_interrupts(database)
            found = str(database.execute("PRAGMA quick_check(1)").get)
    except StoreError as error:
        if error.code != "store_corrupt":
            raise
        return "it is not an SQLite database, or its first pages are damaged"
    return None if found == "ok" else found.splitlines()[-1]
